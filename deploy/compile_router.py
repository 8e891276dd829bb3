"""Compile the engine (`src/router`) to machine code, into `build/compiled`: `make compiled` runs it.

What comes out is a copy of the package that goes before the checkout where `PYTHONPATH` names it, as in the Docker
image; the checkout stays as it is, and nothing of this is needed to install or run the service. Modules that define
msgspec Structs stay as they are: these classes are made by msgspec and not by the compiler. So does `native`, which
tells the compiler of classes.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from mypyc.build import mypycify
from setuptools import setup

INTO: Final = Path("build/compiled")


def main() -> None:
    """Copy the package, and compile the copy's router."""
    shutil.rmtree(INTO, ignore_errors=True)
    shutil.copytree("src", INTO / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree("migrations", INTO / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("pyproject.toml", INTO)
    os.chdir(INTO)
    modules = sorted(Path("src/router").rglob("*.py"))
    compiled = [str(each) for each in modules if _is_compiled(each)]
    sys.argv[1:] = ["build_ext", "--inplace"]
    setup(name="cordboard-compiled", packages=[], ext_modules=mypycify(compiled, opt_level="3"))
    shutil.rmtree("build")
    shutil.rmtree(".mypy_cache", ignore_errors=True)


def _is_compiled(module: Path) -> bool:
    return module.stem not in {"__init__", "native"} and "Struct" not in module.read_text("utf-8")


if __name__ == "__main__":
    main()
