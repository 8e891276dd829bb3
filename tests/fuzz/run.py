"""Coverage-guided fuzzing of one target with atheris: `python -m tests.fuzz.run TARGET [libFuzzer's options]`.

`make test-fuzz` runs all of them. What it finds is kept as a file, which goes into the corpus with its mending.
"""

import sys

import atheris

with atheris.instrument_imports(include=["src", "tests.fuzz", "defusedxml", "jwt"]):
    from tests.fuzz import targets


def main() -> None:
    """Fuzz until libFuzzer is done; its options follow the target's name."""
    name, options = sys.argv[1], sys.argv[2:]
    target = targets.TARGETS[name]
    atheris.Setup([sys.argv[0], *options], lambda data: targets.tried(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
