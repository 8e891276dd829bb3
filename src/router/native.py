"""What the compiler is told of a class; the interpreter passes it over.

`acyclic`: nothing that an object of the class holds leads back to it. Compiled, the garbage collector then has nothing
to do with it: an object is smaller, and making and freeing one does not touch its neighbours.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

__all__ = ["mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:
    T = TypeVar("T")

    def mypyc_attr(**_: bool) -> Callable[[T], T]:
        """Leave a class as it is."""
        return lambda cls: cls
