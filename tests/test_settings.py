"""Settings: every way to write a key, and what is said of each way to get one wrong."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.model.context import Grant, VisibilityMode
from pgsoftproxy.model.links import Reaction, Unprotected
from pgsoftproxy.model.policy import Mode, TableRule, Truncate, Upsert
from pgsoftproxy.model.routines import Action, RoutineRules
from pgsoftproxy.model.statements import StatementRules, Views
from pgsoftproxy.settings import Settings, load
from pgsoftproxy.settings.lines import join_key, key_lines, split_key
from pgsoftproxy.settings.reference import json_schema, key_tables, sections
from pgsoftproxy.settings.tables import Key

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "config" / "pgsoftproxy.toml"
CONTROL = '[control]\ndsn = "host=db"\n'  # two lines

BAD_FILES = {
    "wrong type": (
        "[listen]\nport = 'abc'",
        '4: listen.port: must be an integer between 0 and 65535, got "abc"',
    ),
    "out of range": (
        "[listen]\nport = 65536",
        "4: listen.port: must be an integer between 0 and 65535, got 65536",
    ),
    "boolean for a number": (
        "[listen]\nport = true",
        "4: listen.port: must be an integer between 0 and 65535, got true",
    ),
    "number for a boolean": (
        "[logs]\nsql_literals = 1",
        "4: logs.sql_literals: must be true or false, got 1",
    ),
    "number for a string": ("[listen]\nhost = 5", "4: listen.host: must be a host name or an address, got 5"),
    "empty host": (
        "[upstream]\nhost = ''",
        '4: upstream.host: must be a host or a list of hosts, each a name, an address or a socket directory, got ""',
    ),
    "list with one bad host": (
        "[upstream]\nhost = [\n  'a',\n  7,\n]",
        "6: upstream.host: must be a host or a list of hosts, each a name, an address or a socket directory, got 7",
    ),
    "no hosts": (
        "[upstream]\nhost = []",
        "4: upstream.host: must be a host or a list of hosts, each a name, an address or a socket directory, got []",
    ),
    "infinite": (
        "[limits]\nlogin_timeout = inf",
        "4: limits.login_timeout: must be a number of seconds above 0, at most 31536000, got Infinity",
    ),
    "unknown word": ("[logs]\nformat = 'xml'", '4: logs.format: must be "text" or "json", got "xml"'),
    "unknown section": ("[listn]\nport = 1", '3: unknown section "listn" (did you mean "listen"?)'),
    "unknown top-level key": ("", '1: unknown key "port"'),
    "unknown key": (
        '[tables."app.users"]\ncolum = "x"',
        '4: [tables."app.users"] unknown key "colum" (did you mean "column"?)',
    ),
    "unknown key, nothing near": ("[listen]\nqqq = 1", '4: [listen] unknown key "qqq"'),
    "unknown key of a database": (
        '[databases.x.tables."a.b"]\nmod = "observe"',
        '4: [databases.x.tables."a.b"] unknown key "mod" (did you mean "mode"?)',
    ),
    "unquoted table name": (
        "[tables.app.users]\nmode = 'observe'",
        '3: [tables.app] unknown key "users" (a table\'s name is one quoted key: [tables."app.users"])',
    ),
    "SQL quotes in a table name": (
        """[tables.'app."Users"']""",
        '3: [tables."app.\\"Users\\""] is written as the catalog stores the name, without SQL quotes',
    ),
    "half a table name": ('[tables."app."]', '3: [tables."app."] needs a schema and a name, as in app.users'),
    "section that is no table": (
        '[tables]\n"app.users" = 5',
        '4: [tables."app.users"] must be a table, got 5',
    ),
    "array of tables": ("[[roles]]\nrestore = true", "3: [roles] must be a table"),
    "wrong mode": ('[defaults]\nmode = "off"', '4: defaults.mode: must be "enforce" or "observe", got "off"'),
    "empty column": ('[defaults]\ncolumn = ""', '4: defaults.column: must be the name of a column, got ""'),
    "wrong visibility": (
        '[roles.dpo]\nvisibility = ["all",\n"some"]',
        '5: roles.dpo.visibility: must be a list of "live", "all", "deleted" and "as_of", got "some"',
    ),
    "word for a list": (
        '[roles.dpo]\nvisibility = "all"',
        '4: roles.dpo.visibility: must be a list of "live", "all", "deleted" and "as_of", got "all"',
    ),
    "unknown action": (
        '[routines]\nbodies = "ignore"',
        '4: routines.bodies: must be "refuse", "warn" or "allow", got "ignore"',
    ),
    "routine without a schema": (
        '[routines]\nallow = ["report"]',
        '4: routines.allow: must be a list of names with their schema, as in ["app.report"], got "report"',
    ),
    "dotted key": ("roles.dpo.restore = 3", "1: roles.dpo.restore: must be true or false, got 3"),
    "inline table": (
        "[limits]\nconnections = 5\n[roles]\ndpo = { restore = 'x' }",
        '6: roles.dpo.restore: must be true or false, got "x"',
    ),
    "not TOML": ("[listen]\nport = = 1", "4: column 8: Invalid value"),
    "not TOML, at the end": ('[listen]\nhost = """x', "4: Unterminated string (at end of document)"),
    "key twice": ("[listen]\nport = 1\nport = 2\n[logs]", "5: column 9: Cannot overwrite a value"),
}
FIRST = {"unknown top-level key": "port = 1\n", "dotted key": "roles.dpo.restore = 3\n"}
"""What must stand before the first section."""


def problems_of(
    tmp_path: Path, text: str, environ: dict[str, str] | None = None, *flags: str
) -> tuple[str, ...]:
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {}, flags)
    return tuple(problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems)


def loaded(tmp_path: Path, text: str = "", environ: dict[str, str] | None = None, *flags: str) -> Settings:
    path = tmp_path / "p.toml"
    path.write_text(CONTROL + text)
    return load(path, environ or {}, flags)


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_gets_one_line_with_file_line_and_reason(tmp_path: Path, name: str) -> None:
    text, problem = BAD_FILES[name]
    whole = FIRST[name] + CONTROL if name in FIRST else CONTROL + text
    (line,) = problems_of(tmp_path, whole)
    assert line.startswith(f"p.toml:{problem}")


def test_all_problems_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = '[roles.x]\nrestore = 1\n[control]\ndsn = "host=x"\n[listen]\nport = -1\n[zzz]\n'
    lines = problems_of(tmp_path, text, {"PGSOFTPROXY_LOGS__LEVEL": "loud"})
    assert [line.split(" ")[0] for line in lines] == [
        "p.toml:2:",
        "p.toml:6:",
        "p.toml:7:",
        "PGSOFTPROXY_LOGS__LEVEL:",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[listen]\nport = 1", 'p.toml:1: section [control] is missing: it needs the key "dsn"'),
        ("[listen]\n\n[control]\nrefresh_interval = 5", 'p.toml:3: [control] key "dsn" is missing'),
    ],
)
def test_a_missing_control_dsn_is_told(tmp_path: Path, text: str, problem: str) -> None:
    assert problems_of(tmp_path, text) == (problem,)


def test_the_dsn_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "dsn"
    secret.write_text("postgresql://u:hunter2@h/d\n")
    for text, environ in (
        (f"[control]\ndsn_file = '{secret}'\n", {}),
        ("[control]\n", {"PGSOFTPROXY_CONTROL__DSN_FILE": str(secret)}),
        ("", {"PGSOFTPROXY_CONTROL__DSN_FILE": str(secret)}),
    ):
        path = tmp_path / "p.toml"
        path.write_text(text)
        settings = load(path, environ)
        assert settings.control.dsn == "postgresql://u:hunter2@h/d"
        assert "hunter2" not in repr(settings)


def test_a_dsn_and_a_file_that_holds_another_are_refused(tmp_path: Path) -> None:
    lines = problems_of(tmp_path, CONTROL, {"PGSOFTPROXY_CONTROL__DSN_FILE": "/run/dsn"})
    assert lines == ("PGSOFTPROXY_CONTROL__DSN_FILE: control.dsn_file: cannot stand beside control.dsn",)


def test_a_file_of_the_dsn_that_is_missing_or_wrong_is_told_without_its_text(tmp_path: Path) -> None:
    secret = tmp_path / "dsn"
    text = f"[listen]\n[control]\ndsn_file = '{secret}'\n"
    (line,) = problems_of(tmp_path, text)
    assert line == "p.toml:3: control.dsn_file: dsn: cannot be read: No such file or directory"
    for written in (b"hunter2", b"", b"host=h password=hunter2 ="):
        secret.write_bytes(written)
        (line,) = problems_of(tmp_path, text)
        assert line.startswith("dsn: control.dsn: must be a connection string")
        assert "hunter2" not in line
    secret.write_bytes(b"hunter2 \xff")
    (line,) = problems_of(tmp_path, text)
    assert line == "p.toml:3: control.dsn_file: dsn:1: is not UTF-8"
    assert problems_of(tmp_path, "[control]\ndsn_file = 5\n")[-1].startswith(
        "p.toml:2: control.dsn_file: must be the path of a file"
    )


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file or directory"):
        load(tmp_path / "nowhere.toml", {})


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"[control]\n# ok\ndsn = '\xff'\n")
    with pytest.raises(ConfigError, match=r"p\.toml:3: is not UTF-8"):
        load(path, {})


def test_a_byte_order_mark_and_crlf_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xef\xbb\xbf[control]\r\ndsn = 'host=db'\r\n[tables.'a.b']\r\n")
    assert load(path, {}).rules()[0].origin == f"{path}:3"


def test_arrays_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    lines = problems_of(tmp_path, CONTROL + "x = " + "[" * 20_000 + "]" * 20_000)
    assert len(lines) == 1
    assert lines[0].startswith("p.toml:")


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:hunter2@h/d?wrong=1",
        "host=h password=hunter2 =",
        "host=h pasword=hunter2",
        "hunter2",
        "",
    ],
)
@pytest.mark.parametrize("source", ["file", "variable", "flag"])
def test_a_bad_dsn_is_told_without_its_password(tmp_path: Path, dsn: str, source: str) -> None:
    text = f"[control]\ndsn = '{dsn}'\n" if source == "file" else "[control]\n"
    environ = {"PGSOFTPROXY_CONTROL__DSN": dsn} if source == "variable" else {}
    flags = (f"control.dsn={dsn}",) if source == "flag" else ()
    (line,) = problems_of(tmp_path, text, environ, *flags)
    assert "control.dsn: must be a connection string" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "text",
    [
        "[upstream]\nhost = 'postgresql://u:hunter2@h/d'",
        "[upstream]\nport = 'postgresql://u:hunter2@h/d'",
        "[upstream]\nport = 'host=x password=hunter2'",
        "[control]\nurl = 'postgresql://u:hunter2@h/d'\ndsn = 'host=x'",
        "[control]\ndsn = ['postgresql://u:hunter2@h/d']",
        "[control]\ndsn = 'postgresql://u:hunter2@h/d",
    ],
)
def test_a_password_in_the_wrong_place_is_not_told_either(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in "\n".join(problems_of(tmp_path, text))


def test_a_flag_without_an_equals_sign_is_told_without_its_value(tmp_path: Path) -> None:
    lines = problems_of(tmp_path, CONTROL, {}, "control dsn=password=hunter2")
    assert lines == ("--set control dsn: must be section.key=value",)


def test_settings_print_without_the_dsn(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "[control]\ndsn = 'postgresql://u:hunter2@h/d'\n")
    assert "hunter2" not in repr(settings) + str(settings)


def load_text(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "q.toml"
    path.write_text(text)
    return load(path, {})


def test_defaults_hold_where_the_file_is_silent(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert (settings.listen.host, settings.listen.port) == ("127.0.0.1", 6543)
    assert (settings.upstream.hosts, settings.upstream.connect_timeout) == (("127.0.0.1",), 10.0)
    assert settings.control.refresh_interval == 30.0
    assert settings.limits.statement_bytes == 16 * 2**20
    assert settings.rules() == ()
    assert settings.grants() == {}


def test_environment_stands_above_the_file_and_flags_above_the_environment(tmp_path: Path) -> None:
    environ = {"PGSOFTPROXY_LISTEN__PORT": "2", "PGSOFTPROXY_METRICS__PORT": "2"}
    settings = loaded(
        tmp_path, "[listen]\nport = 1\nhost = '::'\n[metrics]\nport = 1\n", environ, "metrics.port=3"
    )
    assert (settings.listen.host, settings.listen.port, settings.metrics.port) == ("::", 2, 3)


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("LISTEN__PORT", "0x10", ("listen", "port"), 16),
        ("LISTEN__HOST", "0.0.0.0", ("listen", "host"), "0.0.0.0"),  # noqa: S104 (an address like any)
        ("LISTEN__HOST", '"quoted"', ("listen", "host"), "quoted"),
        ("LOGS__SQL_LITERALS", "true", ("logs", "sql_literals"), True),
        ("LIMITS__IDLE_TIMEOUT", "1.5", ("limits", "idle_timeout"), 1.5),
        ("LIMITS__IDLE_TIMEOUT", "2", ("limits", "idle_timeout"), 2.0),
        ("UPSTREAM__HOST", '["a", "b"]', ("upstream", "host"), ("a", "b")),
        ("CONTROL__DSN", "host=x\nport=5", ("control", "dsn"), "host=x\nport=5"),
        ("DEFAULTS__COLUMN", "2026-01-31", ("defaults", "column"), "2026-01-31"),
        ("DEFAULTS__DELETED_BY", "", ("defaults", "deleted_by"), ""),
    ],
)
def test_a_variable_reads_as_toml_or_else_as_text(
    tmp_path: Path, variable: str, value: str, key: tuple[str, str], expected: object
) -> None:
    settings = loaded(tmp_path, "", {f"PGSOFTPROXY_{variable}": value})
    assert getattr(getattr(settings, key[0]), key[1]) == expected


def test_a_variable_is_named_where_its_value_is_wrong(tmp_path: Path) -> None:
    lines = problems_of(
        tmp_path, CONTROL, {"PGSOFTPROXY_LISTEN__PORT": "abc", "PGSOFTPROXY_LISTEN__PROT": "1"}
    )
    assert lines == (
        'PGSOFTPROXY_LISTEN__PORT: listen.port: must be an integer between 0 and 65535, got "abc"',
        'PGSOFTPROXY_LISTEN__PROT: [listen] unknown key "prot" (did you mean "port"?)',
    )


def test_a_flag_is_named_where_its_value_is_wrong(tmp_path: Path) -> None:
    lines = problems_of(tmp_path, CONTROL + "[listen]\nport = 1", {}, "listen.port=abc", 'tables."a.b".mod=x')
    assert lines == (
        '--set listen.port: listen.port: must be an integer between 0 and 65535, got "abc"',
        '--set tables."a.b".mod: [tables."a.b"] unknown key "mod" (did you mean "mode"?)',
    )


def test_a_variable_below_a_value_is_told(tmp_path: Path) -> None:
    lines = problems_of(tmp_path, CONTROL + "[listen]\nport = 1", {"PGSOFTPROXY_LISTEN__PORT__X": "1"})
    assert lines == (
        "PGSOFTPROXY_LISTEN__PORT__X: listen.port: must be an integer between 0 and 65535, got a table",
    )


def test_variables_of_kubernetes_and_others_are_passed_over(tmp_path: Path) -> None:
    environ = {"PGSOFTPROXY_PORT": "tcp://10.0.0.1:6543", "PGSOFTPROXY_METRICS_PORT": "x", "HOME__X": "y"}
    assert loaded(tmp_path, "", environ) == loaded(tmp_path)


def test_a_variable_in_capitals_is_folded_and_any_other_taken_as_it_is(tmp_path: Path) -> None:
    environ = {"PGSOFTPROXY_ROLES__DPO__RESTORE": "true", "PGSOFTPROXY_ROLES__Support__RESTORE": "true"}
    assert set(loaded(tmp_path, "", environ).roles) == {"dpo", "Support"}


def test_a_flag_may_add_a_table_without_keys(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path, "[tables.'a.b']\nmode = 'observe'\n", {}, 'tables."a.c"={}', "tables={'a.b'={}}"
    )
    assert [(rule.pattern, rule.mode, rule.origin) for rule in settings.rules()] == [
        ("a.b", Mode.OBSERVE, f"{tmp_path}/p.toml:3"),
        ("a.c", Mode.ENFORCE, '--set tables."a.c"'),
    ]


def test_rules_inherit_from_defaults_and_know_their_line(tmp_path: Path) -> None:
    text = """
        [defaults]
        column = "gone"
        mode = "observe"
        deleted_by = "who"
        deletion_id = "did"
        upsert = "revive"
        truncate = "soft"
        [tables."app.users"]
        mode = "enforce"
        deleted_by = ""
        upsert = "error"
        truncate = "refuse"
        [tables."app.*"]
        created_at = "born"
    """
    file = f"{tmp_path}/p.toml"
    assert loaded(tmp_path, text).rules() == (
        TableRule("app.users", "gone", None, "did", None, Mode.ENFORCE, None, f"{file}:11"),
        TableRule(
            "app.*",
            "gone",
            "who",
            "did",
            "born",
            Mode.OBSERVE,
            None,
            f"{file}:16",
            Upsert.REVIVE,
            Truncate.SOFT,
        ),
    )


def test_a_rule_of_one_database_inherits_from_the_same_name_in_tables(tmp_path: Path) -> None:
    text = """
        [tables."app.users"]
        column = "gone"
        deleted_by = "who"
        [databases."my db".tables."app.users"]
        mode = "observe"
        deleted_by = ""
        [databases."my db".tables."app.other"]
    """
    file = f"{tmp_path}/p.toml"
    assert loaded(tmp_path, text).rules()[1:] == (
        TableRule("app.users", "gone", None, None, None, Mode.OBSERVE, "my db", f"{file}:7"),
        TableRule("app.other", "deleted_at", None, None, None, Mode.ENFORCE, "my db", f"{file}:10"),
    )


def test_grants_always_hold_live(tmp_path: Path) -> None:
    text = '[roles.support]\nvisibility = ["all", "as_of"]\nrestore = true\n[roles.dpo]\nhard_delete = true\n'
    live = VisibilityMode.LIVE
    assert loaded(tmp_path, text).grants() == {
        "support": Grant(frozenset({live, VisibilityMode.ALL, VisibilityMode.AS_OF}), restore=True),
        "dpo": Grant(frozenset({live}), hard_delete=True),
    }


def test_routines_are_refused_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    assert loaded(tmp_path).routine_rules() == RoutineRules()
    text = '[routines]\nexisting = "warn"\nopaque = "allow"\nallow = ["app.report", "public.a.b"]\n'
    assert loaded(tmp_path, text).routine_rules() == RoutineRules(
        existing=Action.WARN,
        opaque=Action.ALLOW,
        allow=frozenset({("app", "report"), ("public", "a.b")}),
    )


def test_statements_that_show_rows_past_the_rewriter_are_refused_unless_the_file_says_otherwise(
    tmp_path: Path,
) -> None:
    assert loaded(tmp_path).statement_rules() == StatementRules()
    text = '[statements]\nviews = "refuse"\nstatistics = "warn"\ncopy_to_server = "allow"\n'
    assert loaded(tmp_path, text).statement_rules() == StatementRules(
        views=Views.REFUSE, statistics=Action.WARN, copy_to_server=Action.ALLOW
    )


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        loaded(tmp_path).listen.port = 1


LINES = '''\
# [listen] in a comment
"quoted key" = "a # [x] = \\" 'b' \\\\"
a.b . "c.d" = 'it''s'

[t]   # comment = 1
s = """
[not] = "a" \\""" table
x = 1"""
l = \'\'\'
[not]\'\'\'
list = [ # one
  "a,]",   # two
  [1, 2],
  { x = 1, "y.z" = [
     3 ] },
]
d = 2026-01-31T00:00:00Z
inf = -inf
[ t . "u v" ]
k = { a.b = 1, c = "}" }
[[many]]
k = 1
[[many]]
other = 2
["\\u00e9\\"\\\\"]
last = ""'''.replace("'it''s'", "'it is'")


def test_every_key_and_element_has_its_line() -> None:
    lines = key_lines(LINES)
    assert lines == {
        ("quoted key",): 2,
        ("a",): 3,
        ("a", "b"): 3,
        ("a", "b", "c.d"): 3,
        ("t",): 5,
        ("t", "s"): 6,
        ("t", "l"): 9,
        ("t", "list"): 11,
        ("t", "list", 0): 12,
        ("t", "list", 1): 13,
        ("t", "list", 1, 0): 13,
        ("t", "list", 1, 1): 13,
        ("t", "list", 2): 14,
        ("t", "list", 2, "x"): 14,
        ("t", "list", 2, "y.z"): 14,
        ("t", "list", 2, "y.z", 0): 15,
        ("t", "d"): 17,
        ("t", "inf"): 18,
        ("t", "u v"): 19,
        ("t", "u v", "k"): 20,
        ("t", "u v", "k", "a"): 20,
        ("t", "u v", "k", "a", "b"): 20,
        ("t", "u v", "k", "c"): 20,
        ("many",): 21,
        ("many", "k"): 22,
        ("many", "other"): 24,
        ('é"\\',): 25,
        ('é"\\', "last"): 26,
    }


def key_paths(node: object, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if isinstance(node, dict):
        return {below for key, inner in node.items() for below in key_paths(inner, (*path, key))} | {path}
    if isinstance(node, list):
        return {below for inner in node for below in key_paths(inner, path)} | {path}
    return {path}


@given(
    st.integers(0, len(LINES)),
    st.integers(0, 12),
    st.sampled_from(["", "\n", '"', "'", "#", "[", "]", "{", "}", "=", ",", ".", " ", "\\", "a", "a = 1\n"]),
)
@settings(max_examples=2000, deadline=None)
def test_every_text_that_is_toml_gets_lines_for_its_own_keys(at: int, length: int, insert: str) -> None:
    text = LINES[:at] + insert + LINES[at + length :]
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = {tuple(part for part in path if isinstance(part, str)) for path in key_lines(text)}
    assert found | {()} == key_paths(data)


@pytest.mark.parametrize("path", [("a", "b"), ("tables", "app.users"), ('q"\\', "é", ""), ("x y",)])
def test_a_key_path_that_is_written_reads_back(path: tuple[str, ...]) -> None:
    assert split_key(join_key(path)) == path


def keys() -> set[tuple[str, str]]:
    return {(section, name) for section, model in sections(Settings, ()) for name in leaves(model)}


def leaves(model: type[BaseModel]) -> list[str]:
    return list(model.model_fields)


def test_the_sample_file_holds_every_default_and_loads(tmp_path: Path) -> None:
    settings = load(SAMPLE, {})
    built_in = loaded(tmp_path)
    for section in ("listen", "upstream", "metrics", "logs", "limits", "defaults", "routines"):
        assert getattr(settings, section) == getattr(built_in, section)
    assert settings.control.refresh_interval == built_in.control.refresh_interval


def test_the_sample_file_shows_every_key_and_loads_with_all_of_them(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=\S)", "", SAMPLE.read_text(), flags=re.MULTILINE)
    # One key of the file stands for another.
    settings = load_text(tmp_path, re.sub(r"^dsn_file = .*$", "", text, flags=re.MULTILINE))
    written = {path for path in key_lines(text) if all(isinstance(part, str) for part in path)}
    table = {("tables", "app.users"), ("databases", "reporting", "tables", "app.users"), ("roles", "support")}
    keys = {("keys", "app.comments.author"), ("keys", "app.orders.orders_user_id_fkey")}
    assert {str(key) for path in written for key in path[2:] if path[:2] in keys} == set(leaves(Key))
    plain = {
        (name,)
        for name in ("listen", "upstream", "control", "metrics", "logs", "limits", "defaults", "routines")
    }
    for section in table | plain:
        model: object = settings
        for part in section:
            model = model[part] if isinstance(model, dict) else getattr(model, part)
        assert isinstance(model, BaseModel)
        for key in leaves(type(model)):
            assert (*section, key) in written, f"{section} lacks {key}"


def test_the_schema_file_is_what_the_settings_print() -> None:
    printed = (ROOT / "config" / "pgsoftproxy.schema.json").read_text()
    assert printed == json_schema(), "python -m pgsoftproxy.settings > config/pgsoftproxy.schema.json"


def test_the_documentation_holds_every_key_as_the_settings_print_it() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert text.endswith(key_tables()), "python -m pgsoftproxy.settings keys"
    for section, name in keys():
        assert f"### `[{section}]`" in text
        assert f"| `{name}` |" in text


def test_keys_become_rules(tmp_path: Path) -> None:
    settings = load_text(
        tmp_path,
        CONTROL
        + """
        [keys."app.orders.by_user"]
        on_delete = "restrict"
        unprotected = "hard"
        [databases.other.keys."app.notes.owner.user"]
        columns = ["owner_id"]
        references = "app.users"
        type_column = "owner_type"
        type_value = "User"
        """,
    )
    word, declared = settings.key_rules()
    assert (word.table, word.name, word.on_delete) == ("app.orders", "by_user", Reaction.RESTRICT)
    assert (word.unprotected, word.references, word.database) == (Unprotected.HARD, None, None)
    assert (declared.table, declared.name, declared.database) == ("app.notes", "owner.user", "other")
    assert (declared.columns, declared.references, declared.referenced) == (("owner_id",), "app.users", ())
    assert (declared.type_column, declared.type_value) == ("owner_type", "User")
    assert declared.origin.endswith("q.toml:7")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[keys."app.orders"]', "needs a schema, a table and a key"),
        ('[keys."app.orders.k"]\non_delete = "explode"', 'must be "cascade", "restrict"'),
        ('[keys."app.orders.k"]\ncolumns = "a"', "must be a list of columns"),
    ],
)
def test_wrong_keys_are_told(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, f"{CONTROL}\n{text}")
    assert reason in caught.value.problems[0]
