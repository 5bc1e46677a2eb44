"""What `[statements]` leaves to the configuration: refuse it, forward it with a warning, or forward it."""

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.routines import Action
from pgsoftproxy.model.statements import StatementClass
from pgsoftproxy.rewrite.plan import Warned
from pgsoftproxy.rewrite.resolve import Surroundings


def apply_choice(
    kind: StatementClass, surroundings: Surroundings, message: str, hint: str
) -> tuple[Warned, ...]:
    """Return what to tell of a statement of this class that may pass; raises StatementRefused if it may not."""
    match surroundings.policy.statements.action(kind):
        case Action.REFUSE:
            raise StatementRefused(
                message,
                hint=f'{hint} The configuration may say otherwise: [statements] {kind.value} = "warn".',
            )
        case Action.WARN:
            return (Warned(kind.value, message),)
        case Action.ALLOW:
            return ()
