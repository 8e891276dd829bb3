"""Compile the engine (`src/router`) to machine code, into `build/compiled`: `make compiled` runs it.

What comes out is a copy of the package that goes before the checkout where `PYTHONPATH` names it, as in the Docker
image; the checkout stays as it is, and nothing of this is needed to install or run the service. Modules that define
msgspec Structs stay as they are: these classes are made by msgspec and not by the compiler. So does `native`, which
tells the compiler of classes.

With gcc it is compiled twice: what the first build does most often, when it plays a contact centre (`bench/centre.py`),
the second one does fastest.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from mypyc.build import mypycify
from setuptools import Extension, setup

INTO: Final = Path("build/compiled")
CHECKOUT: Final = Path.cwd()
HIDDEN: Final = "-fvisibility=hidden"
WATCHED: Final = "-fprofile-generate"
LEARNED: Final = ("-fprofile-use", "-fprofile-correction", "-Wno-missing-profile")
PLAY: Final = """
from bench.centre import Centre, Size
for size in (Size(100), Size(1_000), Size(1_000, unique=True), Size(300, full=True), Size(300, waiting=2_000)):
    centre = Centre(size, lambda _: None)
    centre.drain()
    for _ in range(15):
        centre.live(centre.coming(200))
        centre.drain()
"""


def main() -> None:
    """Copy the package, and compile the copy's router."""
    shutil.rmtree(INTO, ignore_errors=True)
    shutil.copytree("src", INTO / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree("migrations", INTO / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("pyproject.toml", INTO)
    os.chdir(INTO)
    modules = sorted(Path("src/router").rglob("*.py"))
    compiled = [str(each) for each in modules if _is_compiled(each)]
    extensions = mypycify(compiled, opt_level="3")
    if _is_gcc():
        _build(extensions, HIDDEN, WATCHED)
        play = {**os.environ, "PYTHONPATH": os.pathsep.join((str(Path.cwd()), str(CHECKOUT)))}
        subprocess.run([sys.executable, "-P", "-c", PLAY], env=play, check=True)  # noqa: S603  # our own
        _build(extensions, *LEARNED)
    else:
        _build(extensions, HIDDEN)
    shutil.rmtree("build")
    shutil.rmtree(".mypy_cache", ignore_errors=True)


def _build(extensions: list[Extension], *flags: str) -> None:
    for each in extensions:
        kept = [flag for flag in each.extra_compile_args if flag != WATCHED]
        each.extra_compile_args = [*kept, *flags]
        each.extra_link_args = list(flags)
    sys.argv[1:] = ["build_ext", "--inplace", "--force"]
    setup(name="cordboard-compiled", packages=[], ext_modules=extensions)


def _is_gcc() -> bool:
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC")
    said = subprocess.run([*compiler.split(), "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return "Free Software Foundation" in said


def _is_compiled(module: Path) -> bool:
    return module.stem not in {"__init__", "native"} and "Struct" not in module.read_text("utf-8")


if __name__ == "__main__":
    main()
