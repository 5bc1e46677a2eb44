"""What the demo prints: 80 columns, coloured on a terminal, plain text otherwise.

Knows how things look, not what they mean.
"""

from collections.abc import Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from pgsoftproxy.db.demo_client import Answer

WIDTH = 80
SHOWN_ROWS = 6
MARGIN = (0, 0, 0, 2)


class Screen:
    """Print the demo's steps."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=False)
        if self._console.width > WIDTH or not self._console.is_terminal:
            self._console.width = WIDTH
        self._unicode = self._console.encoding.startswith("utf")
        self._lexer = Syntax("", "postgresql", theme="ansi_dark", background_color="default")

    def title(self, text: str) -> None:
        """Print the demo's name."""
        self._print(Text(text, style="bold"))

    def step(self, number: int, title: str) -> None:
        """Open a numbered step."""
        self._print()
        line = "─" if self._unicode else "-"
        heading = Text(f"{number}  {title}", style="bold")
        self._print(Rule(heading, align="left", characters=line, style="dim"))

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._note(text, "")

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values in two columns; values are never cut, so that they can be copied."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            line = Text.assemble("  ", (name.ljust(width), "dim"), "  ", (value, "cyan"))
            self._console.print(line, soft_wrap=True)

    def query(self, who: str, sql: str) -> None:
        """Print a statement after the prompt of the role that runs it."""
        prompt = f"{who}=> "
        self._code(prompt, sql, "bold green" if who != "direct" else "bold magenta")

    def command(self, text: str) -> None:
        """Print a command after the prompt of a shell."""
        self._print(Padding(Text.assemble(("$ ", "bold cyan"), text), MARGIN))

    def received(self, sql: str) -> None:
        """Print the text that PostgreSQL received."""
        self._code("server received: ", sql.rstrip(), "bold yellow")

    def answer(self, answer: Answer) -> None:
        """Print what came back: a table and the tag, or the error."""
        if answer.error is not None:
            error = answer.error
            self._note(f"ERROR:  {error.sqlstate}: {error.message}", "red")
            if error.hint:
                self._note(f"HINT:  {error.hint}", "dim red")
            return
        if answer.columns:
            self._table(answer.columns, answer.rows[:SHOWN_ROWS])
            if len(answer.rows) > SHOWN_ROWS:
                self._note(f"... and {len(answer.rows) - SHOWN_ROWS:,} more rows", "dim")
        self._note(answer.tag, "bold")

    def check(self, text: str) -> None:
        """Print that something held."""
        mark = "✓" if self._unicode else "ok:"
        self._note(f"{mark} {text}", "green")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table of our own."""
        self._table(columns, rows)

    def failure(self, message: str, detail: str) -> None:
        """Print why the demo failed."""
        self._print()
        self._print(Text(f"The demo failed: {message}", style="bold red"))
        if detail:
            self._note(detail, "")

    def end(self, text: str) -> None:
        """Print the last line."""
        self._print()
        self._print(Text(text, style="bold green"))

    def _print(self, *shown: RenderableType) -> None:
        if self._console.is_terminal:
            self._console.print(*shown)
            return
        with self._console.capture() as captured:
            self._console.print(*shown)
        for line in captured.get().splitlines():  # rich fills lines up with blanks
            self._console.file.write(line.rstrip() + "\n")
        self._console.file.flush()

    def _note(self, text: str, style: str) -> None:
        self._print(Padding(Text(text, style=style), MARGIN))

    def _code(self, prompt: str, sql: str, style: str) -> None:
        grid = Table.grid(padding=0)
        grid.add_column(no_wrap=True)
        grid.add_column()
        code = self._lexer.highlight(sql)
        code.rstrip()
        code.no_wrap, code.overflow = False, "fold"
        grid.add_row(Text(prompt, style=style), code)
        self._print(Padding(grid, MARGIN))

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        table = Table(box=box.SIMPLE_HEAD if self._unicode else box.ASCII2, pad_edge=False, show_edge=False)
        for index, name in enumerate(columns):
            numeric = all(type(row[index]) in {int, float} for row in rows)
            table.add_column(Text(name), justify="right" if numeric and rows else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(_shown(value)) for value in row))
        self._print(Padding(table, MARGIN))


def _shown(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, float):
        return f"{value:,.0f}"
    return str(value)
