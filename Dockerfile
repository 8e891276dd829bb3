# The service with everything it needs. Without CORDBOARD_DATABASE_URL it brings its own PostgreSQL, kept in /data.

FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/cordboard/venv
ENV PATH=/opt/cordboard/venv/bin:$PATH
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/cordboard
# The dependencies are a layer of their own, which lasts until the lock changes.
# With traces over OpenTelemetry: --build-arg LOCK=otel
ARG LOCK=service
COPY requirements/service.txt requirements/otel.txt requirements/
RUN pip install --require-hashes --only-binary :all: --requirement requirements/$LOCK.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY migrations migrations
# Editable, as in a checkout: the migrations lie beside the package.
RUN pip install --no-deps --no-build-isolation --editable .
# The engine as machine code, in a copy of the package that goes before the other. What compiles it, and the centre that it
# is tried with, stay behind.
COPY requirements/compile.txt requirements/
COPY deploy/compile_router.py deploy/
COPY bench/centre.py bench/
RUN pip install --require-hashes --only-binary :all: --target /opt/compiler --requirement requirements/compile.txt \
    && PYTHONPATH=/opt/compiler python deploy/compile_router.py \
    && rm -r bench deploy \
    && python -m compileall -q src build/compiled/src \
    && cd /tmp && PYTHONPATH=/opt/cordboard/build/compiled python -c "import src.router.engine as e; assert e.__file__.endswith('.so')"

FROM python:3.13-slim-bookworm
# The number is fixed, so that a volume keeps its owner; the name is there because PostgreSQL asks for it.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin cordboard \
    && install --directory --owner cordboard --group cordboard --mode 0700 /data
COPY --from=build /opt/cordboard /opt/cordboard
ENV PATH=/opt/cordboard/venv/bin:$PATH \
    PYTHONPATH=/opt/cordboard/build/compiled \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    CORDBOARD_HOST=0.0.0.0 \
    CORDBOARD_PORT=8000 \
    CORDBOARD_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['CORDBOARD_PORT']}/healthz\", timeout=4)"]
ENTRYPOINT ["cordboard"]
CMD ["serve"]
