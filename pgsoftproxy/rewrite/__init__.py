"""SQL text in, plan out. Pure: no I/O, no clock, no sockets. The only room that imports the SQL parser.

The modules that every statement goes through may be compiled: as they are, under the same names.
"""

from pathlib import Path
from typing import Final

from pgsoftproxy.compiled import folder_of

_compiled = folder_of(Path(__file__).parent)
COMPILED: Final = _compiled is not None
if _compiled is not None:
    __path__.insert(0, _compiled)
