"""Find names outside ASCII, which a database of another encoding than UTF8 may read in another way than the proxy.

There the server folds letters by the locale and cuts names at other places, and conversion may make one character of
two. Knows tokens only.
"""

from pglast.parser import ParseError, scan

from pgsoftproxy.rewrite.tokens import COMMENTS, STRINGS


def has_foreign_names(sql: str) -> bool:
    """Tell whether a text has a name outside ASCII, be it by an escape or in a search_path."""
    if not sql.isascii() and "search_path" in sql.lower():
        return True
    try:
        tokens = scan(sql)
    except (ParseError, UnicodeEncodeError):
        return True
    return any(
        token.name == "UIDENT" or not sql[token.start : token.end + 1].isascii()
        for token in tokens
        if token.name not in COMMENTS and token.name not in STRINGS
    )
