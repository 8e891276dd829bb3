"""`cordboard`: serve, migrate, tenants, apply, export, schema, openapi, asyncapi, problems, replay, simulate."""

import asyncio
import gc
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from threading import Thread
from typing import Annotated, Any, TypeVar

import typer
import yaml

from src.cli.configuration import command as configuration
from src.cli.simulate.command import command as simulate
from src.errors import StartupError
from src.tls import trusted

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
tenants = typer.Typer(no_args_is_help=True, help="Isolated contact centres within one service.")
app.add_typer(tenants, name="tenants")
app.command("simulate")(simulate)


def one_line(command: Callable[..., T]) -> Callable[..., T]:
    """A start that fails ends with one clear line and status 1, not with a traceback."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> T:
        try:
            return command(*args, **kwargs)
        except StartupError as error:
            print(f"cordboard: {error}", file=sys.stderr)
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            print("Stopped.")
            raise typer.Exit(0) from None

    return wrapped


def _settings() -> Any:  # noqa: ANN401  # Settings, imported only when a command needs it
    from pydantic import ValidationError  # noqa: PLC0415

    from src.config import Settings  # noqa: PLC0415

    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "CORDBOARD_" + "_".join(str(each) for each in first["loc"]).upper()
        raise StartupError(f"{name}: {first['msg']}") from error


for _each in (configuration.apply, configuration.export, configuration.schema):
    app.command()(one_line(_each))


@app.command()
@one_line
def serve() -> None:
    """Run the service. Settings come from CORDBOARD_… variables; nothing is needed on the embedded default."""
    gc.disable()  # what is imported stays; `server` enables it again
    Thread(target=trusted, daemon=True).start()  # the disk is read beside the imports
    from src.app import ground, server  # noqa: PLC0415  # importing the whole service is slow
    from src.cli.logs import configure  # noqa: PLC0415

    settings = _settings()
    configure(settings.log_format)
    if not settings.database_url:
        settings.data_dir = ground.data_dir(settings)
        print("Starting PostgreSQL …", flush=True)

    def announce(notice: Any) -> None:  # noqa: ANN401  # a Notice or None
        if notice is not None:
            print(f"\n  Admin key of tenant {ground.DEFAULT_TENANT} (told once, keep it):\n")
            print(f"    {notice.admin_key}\n")
        print(
            f"Cordboard listens on http://{settings.host}:{settings.port} (/wallboard, API: /docs). Ctrl-C ends it.",
            flush=True,
        )

    server.serve(settings, announce)
    print("Stopped.")


@app.command()
@one_line
def migrate() -> None:
    """Bring the database's schema up to date."""
    from src.app import ground  # noqa: PLC0415

    with ground.database(_prepared(ground)):
        print("The schema is up to date.")


def _prepared(ground: Any) -> Any:  # noqa: ANN401  # the module; Settings
    settings = _settings()
    if not settings.database_url:
        settings.data_dir = ground.data_dir(settings)
    return settings


@tenants.command("create")
@one_line
def create_tenant(name: Annotated[str, typer.Argument(help="the tenant's name, unique in the service")]) -> None:
    """Make a tenant and print its admin key, once."""
    from src.app import ground  # noqa: PLC0415

    settings = _prepared(ground)
    with ground.database_beside(settings) as url:
        notice = asyncio.run(ground.make_tenant(settings, url, name))
    print(f"Admin key of tenant {name} (told once, keep it):\n{notice.admin_key}")


Check = Annotated[Path | None, typer.Option(help="compare with this file instead of printing")]


@app.command()
def openapi(check: Check = None) -> None:
    """Print the OpenAPI document, or check that a file still equals it."""
    from src.app.service import build_api  # noqa: PLC0415

    _document(build_api().openapi(), check)


@app.command()
def asyncapi(check: Check = None) -> None:
    """Print the AsyncAPI document of streams and webhooks, or check that a file still equals it."""
    from src.api.asyncapi import document  # noqa: PLC0415

    _document(document(), check)


def _document(found: Any, check: Path | None) -> None:  # noqa: ANN401  # any JSON
    text = yaml.dump(found, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
    if check is None:
        print(text, end="")
    elif not check.exists() or check.read_text("utf-8") != text:
        print(f"{check} is not what the code says; run: make openapi", file=sys.stderr)
        raise typer.Exit(1)


class _Plain(yaml.SafeDumper):
    """Without anchors: what stands twice is written twice, for readers that are no YAML programs."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002  # any JSON
        return True


@app.command()
def problems() -> None:
    """Print the page that lists every code with which something may be refused."""
    from src.api.problems import page  # noqa: PLC0415

    print(page(), end="")


@app.command()
@one_line
def reseal() -> None:
    """Seal all stored secrets anew with CORDBOARD_SECRET_KEY; those in CORDBOARD_PREVIOUS_SECRET_KEYS may go then.

    The service may run meanwhile, if it knows both keys.
    """
    from src.app import ground  # noqa: PLC0415
    from src.store import reseal as sealing  # noqa: PLC0415

    settings = _prepared(ground)
    with ground.database_beside(settings) as url:
        number = asyncio.run(sealing.reseal(url, ground.sealer_of(settings)))
    print(f"{number} rows are sealed with the present key.")


@app.command()
@one_line
def replay(
    tenant: Annotated[str, typer.Argument(help="the tenant's name")] = "default",
    archive: Annotated[Path | None, typer.Option(help="fold what was dropped too, from this folder")] = None,
) -> None:
    """Fold the journal anew and compare with the tables. Run it while nothing writes.

    Where old events were dropped it goes on from the checkpoint that was written then.
    """
    from src.app import ground  # noqa: PLC0415

    settings = _prepared(ground)
    with ground.database_beside(settings) as url:
        differences = asyncio.run(ground.compare(url, tenant, archive))
    for each in differences:
        print(each)
    if differences:
        raise typer.Exit(1)
    print(f"The tables of tenant {tenant} are the fold of its journal.")


if __name__ == "__main__":
    app()
