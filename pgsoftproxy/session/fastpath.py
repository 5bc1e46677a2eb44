"""Which functions a FunctionCall message may call: those of large objects, as libpq and its like call them.

A function is named by its OID there. Must not know queues nor what the arguments mean.
"""

from typing import Final

LARGE_OBJECT_FUNCTIONS: Final = {
    715: "lo_create",
    952: "lo_open",
    953: "lo_close",
    954: "loread",
    955: "lowrite",
    956: "lo_lseek",
    957: "lo_creat",
    958: "lo_tell",
    964: "lo_unlink",
    1004: "lo_truncate",
    3170: "lo_lseek64",
    3171: "lo_tell64",
    3172: "lo_truncate64",
}
"""Their OIDs are the same in every database of every version (src/include/catalog/pg_proc.dat), as clients rely on.

They reach large objects and nothing else. What another OID stands for is not known here, so it is refused.
"""


def is_of_large_objects(head: bytes) -> bool:
    """Tell whether a FunctionCall whose body begins with `head` calls one of them."""
    return len(head) == 4 and int.from_bytes(head, "big") in LARGE_OBJECT_FUNCTIONS
