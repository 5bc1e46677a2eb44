"""What comes of running the twins: answers, how many agreed, what did not. Values only."""

from dataclasses import dataclass

from tests.relations.schemas import Schema

Answer = tuple[str | None, ...]
"""`ok` and the command tag, or the SQLSTATE, the message, and the fields that say which row of which key."""


@dataclass(slots=True)
class Disagreement(Exception):
    """What the two answered differently, with all that led there."""

    seed: int
    schema: Schema
    log: list[str]
    answers: tuple[object, object]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"seed {self.seed}",
                *self.schema.ddl(soft=False),
                *self.log,
                *(repr(answer) for answer in self.answers),
            ]
        )


class Abandoned(Exception):
    """A deleted row had to keep a key that it never had a parent for: nothing after that can be compared."""


@dataclass(slots=True)
class Tally:
    """How many statements agreed, how many of these a key refused, and of these again, where another key was named.

    `abandoned` counts the sequences that ended with a deleted row that has to keep its key.
    """

    statements: int = 0
    refused: int = 0
    otherwise: int = 0
    abandoned: int = 0

    def add(self, other: "Tally") -> None:
        """Count another's too."""
        self.statements += other.statements
        self.refused += other.refused
        self.otherwise += other.otherwise
        self.abandoned += other.abandoned
