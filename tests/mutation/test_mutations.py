"""Each fault of `mutations` is put into a copy of the engine; the tape or an example must notice.

CI tries one of them. `make test-mutations` tries all.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
COPIED = (
    *("pyproject.toml", "src/__init__.py", "src/errors.py", "src/router", "tests/property/tape"),
    *("tests/property/test_engine_tape.py", "tests/support/__init__.py", "tests/support/centre.py"),
    *("tests/unit/test_engine.py", "tests/unit/test_classify.py", "tests/unit/test_hours.py"),
    "tests/unit/test_restraint.py",
)
UNTOLD = "def check(*told: object) -> None: ..."
"""The copy is the engine alone: how its events are told is tested elsewhere."""

TESTS = ("tests/unit", "tests/property/test_engine_tape.py")
TAPES = 150
TEST_TIMEOUT_S = 60
"""A fault that makes the engine hang is noticed by that."""

SAMPLE = os.environ.get("CORDBOARD_TEST_MUTATIONS", "1")
"""How many are tried, or `all`."""


def _sample() -> list[Mutation]:
    """The same each time: a run of CI says something of the change, not of the day."""
    return list(MUTATIONS if SAMPLE == "all" else MUTATIONS[: int(SAMPLE)])


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """The engine and its tests, to be changed."""
    examples = (each.relative_to(ROOT) for each in (ROOT / "tests/unit").glob("test_policy_*.py"))
    for each in (*COPIED, *map(str, examples)):
        source, target = ROOT / each, tmp_path / each
        if not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copy(Path(__file__).parent / "quick.py", tmp_path / "conftest.py")
    (tmp_path / "tests/support/told.py").write_text(UNTOLD)
    yield tmp_path
    shutil.rmtree(tmp_path)


def _run(folder: Path) -> tuple[int, str]:
    """Run the tests of a copy up to the first that fails: the exit code, and what they say."""
    fixed = {"CORDBOARD_TEST_TAPES": str(TAPES), "CORDBOARD_TEST_FIRST_TAPE": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = os.environ | fixed
    options = ("-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", f"--timeout={TEST_TIMEOUT_S}")
    command = [sys.executable, "-m", "pytest", *options, *TESTS]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout[-2000:] + done.stderr[-2000:]


def test_every_mutation_still_finds_its_place() -> None:
    places = Counter((each.file, each.old) for each in MUTATIONS)
    assert all(count == 1 for count in places.values()), "a mutation is there twice"
    for each in MUTATIONS:
        text = (ROOT / "src/router" / each.file).read_text()
        assert text.count(each.old) == 1, f"{each.file}: {each.old!r} stands there {text.count(each.old)} times"


@pytest.mark.skipif(SAMPLE != "all", reason="the same tests run beside this one")
def test_nothing_is_noticed_where_nothing_is_broken(copy: Path) -> None:
    code, said = _run(copy)
    assert code == 0, said


@pytest.mark.parametrize("mutation", _sample(), ids=lambda each: f"{each.file}: {each.why}")
def test_somebody_notices(mutation: Mutation, copy: Path) -> None:
    path = copy / "src/router" / mutation.file
    path.write_text(path.read_text().replace(mutation.old, mutation.new))
    code, said = _run(copy)
    assert code != 0, f"nobody notices that {mutation.why}"
    assert code == 1, f"the tests did not run: {said}"
