"""The soak's verdict: a leak is seen through noise, and what merely comes and goes is not taken for one."""

from random import Random

from bench.soak import SAMPLE_S, Sample, verdict


def soaked(minutes: float, *, leak_mib_per_hour: float = 0.0, leaked_files_per_hour: float = 0.0) -> list[Sample]:
    """A run that warms up, then wavers, with a step now and then as allocators make them, and perhaps a leak."""
    rng, samples = Random(1), list[Sample]()
    for number in range(int(minutes * 60 / SAMPLE_S)):
        at_s = number * SAMPLE_S
        warm = min(1.0, at_s / 300)
        memory = 100 + 40 * warm + rng.random() + leak_mib_per_hour * at_s / 3600 + (20 if number % 50 == 7 else 0)
        files = 150 + rng.randrange(30) + int(leaked_files_per_hour * at_s / 3600)
        samples.append(Sample(at_s, memory, 200.0, files, 3, 90))
    return samples


def broken(samples: list[Sample]) -> set[str]:
    return {name for name, _, _, holds in verdict(samples) if not holds}


def test_what_comes_and_goes_is_no_leak() -> None:
    assert set() == broken(soaked(60))
    assert set() == broken(soaked(20))


def test_a_leak_is_seen() -> None:
    assert {"service_mib"} == broken(soaked(60, leak_mib_per_hour=20))
    assert {"service_mib"} == broken(soaked(20, leak_mib_per_hour=60))
    assert {"files"} == broken(soaked(60, leaked_files_per_hour=40))
