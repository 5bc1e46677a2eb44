"""docs/sql-semantics.md names for each statement form what shows it, and every file of cases is named there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.oracle.cases import load_cases

ROOT = Path(__file__).parent.parent.parent
SEMANTICS = ROOT / "docs" / "sql-semantics.md"
SHOWN_BY = "shown by"
NOT_COVERED = "not covered yet"
CASES = {(case.file, case.name) for case in load_cases()}
PROOF = re.compile(
    r"\[(?P<label>\w+)\]\((?P<target>\.\./tests/[\w/]+\.(?P<kind>sql|py))\): `?(?P<name>[^`]+)`?"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table of the document: its first cell, and its last, which names what shows it."""

    line: int
    form: str
    what: str
    proofs: tuple[str, ...]


def tables() -> Iterator[list[tuple[int, list[str]]]]:
    """Yield the tables of the document, each as its header and rows of cells with their line numbers."""
    table: list[tuple[int, list[str]]] = []
    for number, line in enumerate([*SEMANTICS.read_text().split("\n"), ""], 1):
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip()[1:-1].split("|")]
            if set(cells[0]) != {"-"}:
                table.append((number, cells))
        elif table:
            yield table
            table = []


ROWS = [
    Row(number, cells[0], cells[1], tuple(cells[-1].split("; ")))
    for _, *rows in tables()
    for number, cells in rows
]


def is_shown(proof: str) -> bool:
    """Tell whether a proof names a case or a test that exists, by a link to its file."""
    parts = PROOF.fullmatch(proof)
    if parts is None or Path(parts["target"]).stem != parts["label"]:
        return False
    if parts["kind"] == "sql":
        return (parts["label"], parts["name"]) in CASES
    file = SEMANTICS.parent / parts["target"]
    return (
        file.exists() and re.search(rf"^(async )?def {parts['name']}\(", file.read_text(), re.M) is not None
    )


def test_every_table_says_what_shows_its_rows() -> None:
    found = list(tables())
    assert len(found) >= 4
    for (_, header), *rows in found:
        assert header[-1] == SHOWN_BY
        assert [number for number, cells in rows if len(cells) != len(header)] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.form[:60])
def test_a_statement_form_names_cases_or_tests_that_exist(row: Row) -> None:
    if NOT_COVERED in row.what:
        assert row.proofs == ("none",), f"line {row.line}"
    else:
        assert [proof for proof in row.proofs if not is_shown(proof)] == [], f"line {row.line}"


def test_every_file_of_cases_shows_a_statement_form() -> None:
    found = (PROOF.fullmatch(proof) for row in ROWS for proof in row.proofs)
    named = {proof["label"] for proof in found if proof is not None and proof["kind"] == "sql"}
    assert {file for file, _ in CASES} - named == set()


def test_a_proof_that_is_not_there_is_noticed() -> None:
    file = "[deletes](../tests/cases/deletes.sql)"
    assert is_shown(f"{file}: delete by key")
    assert not is_shown(f"{file}: delete by magic")
    assert not is_shown(file)
    assert not is_shown("[updates](../tests/cases/deletes.sql): delete by key")
    assert not is_shown("[test_coverage](../tests/oracle/test_coverage.py): `test_nothing`")
