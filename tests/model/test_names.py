"""How names are read: folded, cut off, and split out of a search_path, as the server does it."""

import pytest

from pgsoftproxy.model.names import cut, fold
from pgsoftproxy.model.parsing import parse_search_path


def test_only_ascii_letters_fold() -> None:
    assert fold("GRÖSSE") == "grÖsse"
    assert fold("\N{KELVIN SIGN}") == "\N{KELVIN SIGN}"  # its lower case is an ASCII letter


def test_name_is_cut_at_63_bytes_and_never_inside_a_character() -> None:
    assert cut("x" * 70) == "x" * 63
    assert cut("x" * 62 + "ü") == "x" * 62
    assert cut("ü" * 40) == "ü" * 31
    assert cut("ü" * 31 + "x") == "ü" * 31 + "x"


@pytest.mark.parametrize(
    ("text", "schemas"),
    [
        ("", ()),
        (" ", ()),
        ("app", ("app",)),
        ("App , PUBLIC", ("app", "public")),
        ('"App",  "$user" ,$user', ("App", "$user", "$user")),
        ('"a""b", "a,b"', ('a"b', "a,b")),
        ('app, "", public', ("app", "public")),
        ("ÜBER, app", ("Über", "app")),
        ("app\u00a0", None),
        ("app\v", None),
        ("a" * 70 + ", app", ("a" * 63, "app")),
    ],
)
def test_search_path_is_split_as_the_server_splits_it(text: str, schemas: tuple[str, ...] | None) -> None:
    if schemas is None:
        with pytest.raises(ValueError, match="invalid search_path"):
            parse_search_path(text)
    else:
        assert parse_search_path(text) == schemas


@pytest.mark.parametrize("text", ["app,", ",app", "a b", '"app', 'app "x"', "a,,b"])
def test_search_path_that_the_server_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid search_path"):
        parse_search_path(text)
