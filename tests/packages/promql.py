"""Read PromQL strictly: which series and labels an expression names, and which labels its result has.

Must not know alerts or dashboards.
"""

from collections.abc import Iterable, Iterator

import promql_parser as ql

from tests.packages.series import OPEN, known

TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus puts on each series of a scrape."""
OVER_COUNTERS = frozenset({"rate", "increase", "irate"})
COUNTS = ("_total", "_bucket", "_count", "_sum")
KEPT_LEFT = frozenset({"and", "unless"})


def faults(text: str) -> list[str]:
    """Return what is wrong with an expression: a syntax error, a name or value that no scrape shows."""
    try:
        expression = ql.parse(text)
    except ValueError as error:
        return [str(error)]
    found = [fault for node in nodes(expression) for fault in _faults(node)]
    if not found:
        try:
            _labels(expression)
        except ValueError as error:
            found.append(str(error))
    return found


def nodes(expression: ql.Expr) -> list[ql.Expr]:
    """Return every node of an expression, from the top."""
    found: list[ql.Expr] = []
    ql.walk(expression, lambda node: found.append(node))
    return found


def names(text: str) -> set[str]:
    """Return the names of the series that an expression reads."""
    read = (node.name for node in nodes(ql.parse(text)) if isinstance(node, ql.VectorSelector))
    return {name for name in read if name is not None}


def _faults(node: ql.Expr) -> Iterator[str]:
    if isinstance(node, ql.VectorSelector):
        yield from _faults_of_selector(node)
    elif isinstance(node, ql.Call):
        over = {name for argument in node.args for name in names(str(argument))} if node.args else set()
        gauges = {name for name in over if not name.endswith(COUNTS)}
        if node.func.name in OVER_COUNTERS and gauges:
            yield f"{node.func.name} of a gauge: {', '.join(sorted(gauges))}"


def _faults_of_selector(node: ql.VectorSelector) -> Iterator[str]:
    if node.name is None or node.name not in known():
        yield f"there is no series {node.name}"
        return
    labels = known()[node.name]
    for matcher in node.matchers.matchers:
        if matcher.name in TARGET:
            continue
        if matcher.name not in labels:
            yield f"{node.name} has no label {matcher.name}"
        elif matcher.name not in OPEN:
            unknown = set(matcher.value.split("|")) - labels[matcher.name]
            if unknown:
                yield f"{node.name}: {matcher.name} is never {', '.join(sorted(unknown))}"


def result_labels(text: str) -> frozenset[str]:
    """Return the labels that a result can have. Raises ValueError where one is named that is not there."""
    return _labels(ql.parse(text))


def _labels(expression: ql.Expr) -> frozenset[str]:
    if isinstance(expression, ql.VectorSelector):
        return TARGET | frozenset(known()[expression.name or ""])
    if isinstance(expression, ql.MatrixSelector):
        return _labels(expression.vector_selector)
    if isinstance(expression, ql.ParenExpr | ql.UnaryExpr | ql.SubqueryExpr):
        return _labels(expression.expr)
    if isinstance(expression, ql.AggregateExpr):
        return _of_aggregate(expression)
    if isinstance(expression, ql.BinaryExpr):
        return _of_binary(expression)
    if isinstance(expression, ql.Call):
        inner = [_labels(argument) for argument in expression.args]
        joined: frozenset[str] = frozenset().union(*inner)
        if expression.func.name != "histogram_quantile":
            return joined
        if "le" not in joined:
            raise ValueError("histogram_quantile over what has no label le")
        return joined - {"le"}
    return frozenset()


def _of_aggregate(expression: ql.AggregateExpr) -> frozenset[str]:
    inner = _labels(expression.expr)
    if expression.modifier is None:
        return frozenset()
    labels = _present(expression.modifier.labels, inner)
    return labels if expression.modifier.type == ql.AggModifierType.By else inner - labels


def _of_binary(expression: ql.BinaryExpr) -> frozenset[str]:
    left, right = _labels(expression.lhs), _labels(expression.rhs)
    operator = str(expression.op)
    if isinstance(expression.rhs, ql.NumberLiteral) or operator in KEPT_LEFT:
        kept = left
    elif isinstance(expression.lhs, ql.NumberLiteral):
        kept = right
    else:
        kept = left & right if operator == "or" else left
    matching = expression.modifier.matching if expression.modifier is not None else None
    if matching is not None:
        labels = _present(matching.labels, left | right)
        kept_by_match = left - labels if matching.type == ql.LabelModifierType.Exclude else labels
        return kept if operator in KEPT_LEFT else kept_by_match
    if left and right and left != right and operator not in {"or"}:
        raise ValueError(f"the sides of {operator} have different labels: {sorted(left)}, {sorted(right)}")
    return kept


def _present(labels: Iterable[str], inner: frozenset[str]) -> frozenset[str]:
    missing = set(labels) - inner
    if missing:
        raise ValueError(f"there is no label {', '.join(sorted(missing))}")
    return frozenset(labels)
