"""The configuration: its tree of sections and keys, and how file, environment and flags fill it.

The only room that imports pydantic. Imported by the composition root and the command line alone; everything
below is handed plain values.
"""

from pgsoftproxy.settings.load import load, load_text, read
from pgsoftproxy.settings.tree import Settings

__all__ = ["Settings", "load", "load_text", "read"]
