"""How the server reads a name: folded, and cut off at 63 bytes. Knows neither texts nor what a name means."""

NAME_BYTES = 63
"""NAMEDATALEN - 1: no name is longer in the server, and it compares names up to there."""


def fold(word: str) -> str:
    """Fold an unquoted word as the server does in UTF8: ASCII letters only.

    >>> fold("GRÖSSE")
    'grÖsse'
    """
    if word.isascii():
        return word.lower()
    return "".join(char.lower() if char.isascii() else char for char in word)


def cut(name: str) -> str:
    """Cut a name off where the server does in UTF8, never in the middle of a character."""
    if len(name) * 4 <= NAME_BYTES:
        return name
    return name.encode(errors="replace")[:NAME_BYTES].decode(errors="ignore")
