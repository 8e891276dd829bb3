"""The conftest of the copy: few tapes, always the same ones, and no search for shorter ones that fail."""

from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

import src

assert Path(__file__).parent in Path(src.__path__[0]).parents, "the copy is not what is tested"

settings.register_profile(
    "quick",
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("quick")
