"""What `cython` offers to the modules of this room while they run as plain Python: names that do nothing.

Cython's own stand-in is much slower, and need not be installed. When these modules are compiled, the real thing takes
this module's place.
"""

from builtins import int as int
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

compiled: bool = False

bint = bool
uint = int
p_uchar = Any
nogil: Any = None
address: Any = None
double = float
Py_ssize_t = int


def cclass(thing: T) -> T:
    """Leave a class or function as it is."""
    return thing


cfunc = inline = final = cclass


def boundscheck(check: bool) -> Callable[[T], T]:
    """Return what leaves a function as it is."""
    return cclass


wraparound = boundscheck


def cast(kind: Any, value: T) -> T:
    """Return a value as it is."""
    return value


def declare(kind: type[T], value: Any = None, visibility: str = "private") -> T:
    """Declare an attribute or a constant, which Python needs only to have."""
    found: T = value
    return found
