"""The refusals that docs/sql-semantics.md knows of and random statements may meet, with what to call them."""

import re

REFUSALS: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (state, re.compile(message), reason)
    for state, message, reason in (
        (
            "0A000",
            r"^ON CONFLICT without a target on protected table",
            "ON CONFLICT DO NOTHING without a target",
        ),
        ("0A000", r"^column alias list of table", "alias list that hides the deletion column"),
        (
            "0A000",
            r"may be NULL or false: RETURNING cannot tell",
            "RETURNING a boolean deletion column that may be NULL",
        ),
        (
            "0A000",
            r"^OLD and NEW in RETURNING of a MERGE",
            "OLD and NEW in RETURNING of a MERGE that deletes",
        ),
        ("0A000", r"^system column .* in RETURNING of a DELETE", "system column in RETURNING of a DELETE"),
        ("0A000", r"^unqualified column .* in RETURNING", "unqualified column in RETURNING of a DELETE"),
        (
            "0A000",
            r"^unqualified column .* in a sub-select of RETURNING",
            "unqualified column in RETURNING of a DELETE",
        ),
        ("0A000", r"^RETURNING \* of a DELETE", "RETURNING * of a DELETE beside another source"),
        ("0A000", r"^materialized view .* holds rows of", "materialized view"),
        (
            "0A000",
            r"^view .* runs inside the server, past the proxy",
            "view that calls a function which reads",
        ),
        (
            "0A000",
            r"runs inside the server, past the proxy.*; it names",
            "function that names a protected table",
        ),
        (
            "0A000",
            r"runs inside the server, past the proxy; the proxy cannot see",
            "function that runs SQL or reads files",
        ),
        ("0A000", r"shows values of deleted rows of protected tables$", "statistics of values"),
        ("0A000", r"^table .* shows rows of protected table", "unprotected parent of a protected child"),
    )
)


def reason_of(error: dict[str, str]) -> str | None:
    """Return what a documented refusal is called, or None."""
    return next(
        (
            reason
            for state, message, reason in REFUSALS
            if state == error["C"] and message.search(error["M"]) and error.get("H")
        ),
        None,
    )
