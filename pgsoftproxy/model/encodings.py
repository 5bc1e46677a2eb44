"""The client encodings that can be served, by the Python codec that texts in them are read by. Knows no text."""

from functools import lru_cache

CODECS = {
    "utf8": "utf-8",
    "unicode": "utf-8",
    "sqlascii": "utf-8",
    "latin1": "latin-1",
    "iso88591": "latin-1",
}
"""By their name as clean_encoding_name leaves it."""
UNKNOWN_CODEC = "ascii"
"""Stands for an encoding that the proxy could not follow: only ASCII is sure to be what it seems then, and of that no
backslash, because standard_conforming_strings may have changed as well."""


@lru_cache(maxsize=64)
def codec_of(encoding: str) -> str | None:
    """Return the Python codec for a client_encoding, None if it is not one that can be served."""
    return CODECS.get("".join(letter for letter in encoding.lower() if letter.isascii() and letter.isalnum()))
