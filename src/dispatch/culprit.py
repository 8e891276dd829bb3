"""Which contact the engine was busy with when it failed: read off where the error came from."""

from itertools import chain

from src.router.entities import Assignment, Contact


def culprit(error: BaseException | None) -> str | None:
    """The id of the contact that the innermost function with one at hand was about; None if there was none."""
    frames = []
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for value in chain.from_iterable(frame.f_locals.values() for frame in reversed(frames)):
        if isinstance(value, Contact):
            return value.id
        if isinstance(value, Assignment):
            return value.contact_id
    return None
