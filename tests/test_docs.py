"""What the documents say is so: links lead somewhere, configurations load, rewritten statements are real."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pgsoftproxy.model.catalog import Catalog, Column, Relation, UniqueIndex
from pgsoftproxy.model.context import Context, Values, Variables
from pgsoftproxy.model.policy import Policy, TableRule, compile_policy
from pgsoftproxy.rewrite.plan import Refused, Rewritten
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.settings import load

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
SEMANTICS = ROOT / "docs" / "sql-semantics.md"
CONTROL = '[control]\ndsn = "postgresql://pgsoftproxy@127.0.0.1/app"\n'


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", path.read_text(), re.DOTALL | re.MULTILINE)


def prose(path: Path) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors that headings make, by GitHub's rule."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> Iterator[str]:
    """Yield the targets of links and pictures that are not on another site."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" not in target:
            yield target


@pytest.mark.parametrize("document", NAMES)
def test_links_lead_to_files_and_headings_that_exist(document: str) -> None:
    path = ROOT / document
    broken = []
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_shows_a_configuration_of_ten_lines_that_loads(tmp_path: Path) -> None:
    text = blocks(README, "toml")[0]
    assert len(text.splitlines()) == 10
    file = tmp_path / "pgsoftproxy.toml"
    file.write_text(text)
    settings = load(file, {})
    assert settings.listen.port == 6543
    assert [rule.pattern for rule in settings.rules()] == ["app.*"]
    assert {mode.value for mode in settings.grants()["support"].visibility} == {"live", "all", "deleted"}


@pytest.mark.parametrize("document", NAMES)
def test_every_configuration_in_the_documents_loads(document: str, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(ROOT / document, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(text if "[control]" in text else CONTROL + text)
        assert load(file, {}).control.dsn


def test_the_annotated_configuration_loads() -> None:
    assert load(ROOT / "config" / "pgsoftproxy.toml", {}).rules()


@pytest.mark.parametrize("document", NAMES)
def test_every_make_target_that_is_named_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE)
    assert {first or second for first, second in code} <= targets


def test_the_readme_names_make_demo_and_make_test_on_its_first_screen() -> None:
    screen = README.read_text().split("## ")[0]
    assert re.findall(r"^make (\S+)", screen, re.MULTILINE) == ["demo", "test"]
    assert "docs/statement.svg" in screen


@pytest.mark.parametrize("picture", sorted(path.name for path in ROOT.glob("docs/*.svg")))
def test_pictures_are_well_formed_and_say_what_they_show(picture: str) -> None:
    root = ElementTree.parse(ROOT / "docs" / picture).getroot()  # noqa: S314 - our own file
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert root.findtext(f"{space}title") and root.findtext(f"{space}desc")
    assert "prefers-color-scheme: dark" in (root.findtext(f"{space}style") or "")


def policy() -> tuple[Policy, Context]:
    """Return a policy over the tables that the documents use, and the context of an ordinary role."""
    kept = (Column("id", "bigint", not_null=True), Column("deleted_at", "timestamp with time zone"))
    live = "(deleted_at IS NULL)"
    users = Relation(
        1,
        "public",
        "users",
        columns=(*kept, Column("email", "text"), Column("name", "text")),
        unique_indexes=(UniqueIndex("users_email", ("email",), live),),
    )
    orders = Relation(2, "public", "orders", columns=(*kept, Column("user_id", "bigint")))
    catalog = Catalog("app", 180000, {1: users, 2: orders})
    compiled, problems = compile_policy([TableRule("public.*")], {}, catalog)
    assert problems == ()
    return compiled, Context(Variables.at_start(Values(user="app")), "app")


def squeezed(sql: str) -> str:
    """Return SQL with every run of blanks as one."""
    return " ".join(sql.split())


def rewritten(sql: str) -> str:
    """Return what is sent for a statement."""
    plan = rewrite(sql, *policy())
    assert isinstance(plan, Rewritten)
    return squeezed(plan.sql)


def readme_rows() -> list[tuple[str, str]]:
    """Return the statements of the README's table that are complete, with what PostgreSQL receives."""
    table = README.read_text().split("## What it does to SQL")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", table, re.MULTILINE)
    return [(sent, received) for sent, received in rows if "..." not in sent + received]


def test_the_readme_has_complete_examples() -> None:
    assert len(readme_rows()) >= 2


@pytest.mark.parametrize(("sent", "received"), readme_rows())
def test_the_readme_shows_what_is_really_sent(sent: str, received: str) -> None:
    assert rewritten(sent) == received


def test_the_readme_names_statements_that_are_really_refused() -> None:
    named = re.search(
        r"^\| `(TRUNCATE [^`]+)`, `(DROP [^`]+)` \| a statement that fails", README.read_text(), re.M
    )
    assert named is not None
    for sql in named.groups():
        plan = rewrite(sql, *policy())
        assert isinstance(plan, Refused)
        assert plan.refusal.sqlstate == "0A000"


def test_the_semantics_show_what_reads_really_become() -> None:
    pairs = [block.replace("\n    ", " ").splitlines() for block in blocks(SEMANTICS, "sql")]
    assert len(pairs) == 3
    for sent, received in pairs:
        assert rewritten(sent) == squeezed(received)


def rows_of_comparison() -> list[list[str]]:
    """Return the cells of the table that compares the proxy with others."""
    text = (ROOT / "docs" / "operations.md").read_text().split("\n## Beside PgBouncer")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_each_point_of_the_comparison_is_shown_by_a_test() -> None:
    rows = rows_of_comparison()
    assert len(rows) >= 25
    for row in rows:
        assert len(row) == 6 and all(row), row
        shown = re.findall(r"\]\(\.\./(tests/\S+\.py)\)", row[2])
        assert shown, row
        for name in shown:
            assert (
                "\ndef test_" in (ROOT / name).read_text() or "\nasync def test_" in (ROOT / name).read_text()
            )


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    inside = [path for path in (ROOT / "pgsoftproxy").iterdir() if path.suffix == ".py" or path.is_dir()]
    rooms = {path.stem for path in inside if not path.stem.startswith("_")}
    assert {room for room in rooms if f"`{room}`" not in text and f"`{room}/`" not in text} == set()


def test_the_architecture_names_only_modules_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "pgsoftproxy"
    rooms = "|".join(path.name for path in package.iterdir() if path.is_dir() and path.name[0] != "_")
    for name in re.findall(rf"`((?:{rooms})/[a-z_/]*)(?:\.py)?`", text):
        assert (package / name).is_dir() or (package / f"{name}.py").is_file(), name


def test_the_decisions_are_numbered_without_gaps_and_say_which_rivals_lost() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    for number, path in enumerate(files, 1):
        text = path.read_text()
        assert text.startswith(f"# {number}. ")
        assert "\n## Decision\n" in text and "\n## Rivals\n" in text
