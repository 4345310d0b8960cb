"""Laws that conditions obey whatever they are and whatever they are asked about; a second evaluator agrees."""

from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.condition_tree import Comparison, Exists, Joined, Joint, Node, Not, Operator, Path, Quantified, Quantifier
from tasks.conditions import MAX_TEXT, Condition, ConditionInvalid, Undecided, holds, parse

# Random trees over few names, so that their paths often lead somewhere.

names = st.sampled_from(["a", "a", "a", "b", "b", "b", "count", "odd key", "in"])
literals = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.5, 1.0, -0.0, 1e22])
    | st.text("ab'\"\\\né", max_size=2)
)
values = st.recursive(
    literals, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)
scalars = st.integers(-2, 2) | st.sampled_from([0.5, 1.0]) | st.text("ab", max_size=2)
things = st.fixed_dictionaries({"a": scalars, "b": st.lists(scalars, max_size=2) | scalars})
listed = st.lists(things, max_size=3) | st.lists(st.fixed_dictionaries({"b": st.lists(things, max_size=2)}), max_size=2)
results = st.dictionaries(names, values, max_size=5) | st.fixed_dictionaries(
    {"a": scalars | things, "b": listed | st.lists(scalars | things, max_size=3)}, optional={"in": values}
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
LIKELY = [("a",), ("b",), ("b", None, "a"), ("b", 0, "a"), ("b", "count"), ("a", "a"), ("b", None, "b")]
paths = st.sampled_from([Path(steps=steps) for steps in LIKELY]) | st.builds(
    lambda first, others: Path(steps=(first, *others)),
    names,
    st.lists(names | st.integers(-2, 2) | st.none(), max_size=2),
)
list_paths = st.just(Path(steps=("b",))) | paths.filter(lambda path: path.steps[-1] is not None)
ANY_LITERAL = [Operator.EQUAL, Operator.UNEQUAL, Operator.CONTAINS]
ORDER = [Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST]
comparisons = (
    st.builds(Comparison, path=paths, operator=st.sampled_from(ANY_LITERAL), operand=scalars | literals)
    | st.builds(Comparison, path=paths, operator=st.sampled_from(ORDER), operand=scalars)
    | st.builds(
        Comparison,
        path=paths,
        operator=st.sampled_from([Operator.STARTS_WITH, Operator.ENDS_WITH]),
        operand=st.text("ab", max_size=2),
    )
    | st.builds(
        Comparison,
        path=paths,
        operator=st.just(Operator.IN),
        operand=st.lists(literals, min_size=1, max_size=3).map(tuple),
    )
).filter(lambda one: one.operator is not Operator.UNEQUAL or None not in one.path.steps)
trees: st.SearchStrategy[Node] = st.recursive(
    comparisons | st.builds(Exists, path=paths),
    lambda inner: (
        st.builds(Not, inner=inner)
        | st.builds(Joined, joint=st.sampled_from(Joint), terms=st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(Quantified, quantifier=st.sampled_from(Quantifier), path=list_paths, inner=inner)
    ),
    max_leaves=6,
)
WORDS = """
    a b .c [0] [*] ['x'] == != < <= > >= in contains starts_with ends_with and or not exists any all ( ) [1,2] , 1 -0
    0.5 1e5 'x' "y\\u00e9" true false null matches ' " \\ : é
"""
soups = st.lists(st.sampled_from(WORDS.split()), max_size=14).map(" ".join)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A condition with a piece cut out, and perhaps a word in its place."""
    text = str(draw(trees))
    start = draw(st.integers(0, len(text)))
    word = draw(st.just("") | st.sampled_from(WORDS.split()))
    return text[:start] + word + text[start + draw(st.integers(0, 5)) :]


def outcome(tree: Node, value: Any) -> bool | None:
    """None is undecided."""
    try:
        return holds(Condition(text="", tree=tree), value)
    except Undecided:
        return None


# A second evaluator, by other means: it makes lists of all values first and reckons with 0, ½ and 1.

HALF = 0.5


def leads_to(value: Any, steps: tuple[Any, ...]) -> list[list[Any]]:
    """The values in lists of one; empty lists for those that are missing."""
    if not steps:
        return [[value]]
    step, rest = steps[0], steps[1:]
    if step is None:
        if type(value) is not list:
            return [[]]
        return [found for element in value for found in leads_to(element, rest)]
    if type(value) is dict:
        return leads_to(value[step], rest) if step in value else [[]]
    if type(value) is list and step == "count":
        return leads_to(sum(1 for _ in value), rest)
    if type(value) is list and type(step) is int:
        indexed = {**dict(enumerate(value)), **{at - len(value): one for at, one in enumerate(value)}}
        return leads_to(indexed[step], rest) if step in indexed else [[]]
    return [[]]


def like(one: Any, other: Any) -> bool:
    classes = {int: "number", float: "number"}
    return classes.get(type(one), type(one)) == classes.get(type(other), type(other))


def degree_of_comparison(found: list[Any], operator: str, operand: Any) -> float:
    if not found:
        return HALF
    [value] = found
    if operator == "in":
        return float(any(like(value, one) and value == one for one in operand))
    if operator == "==":
        return float(like(value, operand) and value == operand)
    if operator == "!=":
        return 1 - float(like(value, operand) and value == operand)
    if operator == "contains" and type(value) is list:
        return float(any(like(one, operand) and one == operand for one in value))
    if operator in ("contains", "starts_with", "ends_with"):
        if type(value) is not str or type(operand) is not str:
            return HALF
        at = [start for start in range(len(value) + 1) if value[start : start + len(operand)] == operand]
        wanted = {"contains": bool(at), "starts_with": 0 in at, "ends_with": len(value) - len(operand) in at}
        return float(wanted[operator])
    if not like(value, operand) or type(value) not in (int, float, str):
        return HALF
    pair = ([ord(one) for one in value], [ord(one) for one in operand]) if type(value) is str else (value, operand)
    less, equal = pair[0] < pair[1], pair[0] == pair[1]
    return float({"<": less, "<=": less or equal, ">": not less and not equal, ">=": not less}[operator])


def degree(tree: Node, value: Any) -> float:
    if isinstance(tree, Not):
        return 1 - degree(tree.inner, value)
    if isinstance(tree, Joined):
        degrees = [degree(term, value) for term in tree.terms]
        return min(degrees) if tree.joint == "and" else max(degrees)
    if isinstance(tree, Exists):
        return float(any(leads_to(value, tree.path.steps)))
    if isinstance(tree, Quantified):
        elements = leads_to(value, (*tree.path.steps, None))
        degrees = [degree(tree.inner, found[0]) if found else HALF for found in elements]
        return max(degrees, default=0.0) if tree.quantifier == "any" else min(degrees, default=1.0)
    every = [degree_of_comparison(found, tree.operator, tree.operand) for found in leads_to(value, tree.path.steps)]
    return max(every, default=0.0)


@settings(max_examples=300)
@given(tree=trees, value=results)
def test_it_agrees_with_another_evaluator(tree: Node, value: Any) -> None:
    assert {False: 0, None: HALF, True: 1}[outcome(tree, value)] == degree(tree, value)


@given(tree=trees)
@example(tree=parse("not a == -0.0 and (b == 1.0 or b == 1 or b == true) and (c == 1 and d == 1)").tree)
def test_its_canonical_form_means_the_same(tree: Node) -> None:
    if len(str(tree)) <= MAX_TEXT:
        assert repr(parse(str(tree)).tree) == repr(tree)  # repr, since 1, 1.0 and True are equal to Python


@settings(max_examples=300)
@given(text=damaged() | soups | st.text() | st.text(st.characters(categories=["Cs", "L", "P", "S", "Z", "C", "N"])))
def test_any_text_is_a_condition_or_is_refused(text: str) -> None:
    try:
        condition = parse(text)
    except ConditionInvalid as exc:
        refused = exc
    else:
        canonical = str(condition)
        assert condition.text == text
        if len(canonical) <= MAX_TEXT:
            assert repr(parse(canonical)) == repr(replace(condition, text=canonical))
        return
    assert 1 <= refused.position <= len(text) + 1
    assert "\n" not in refused.detail


@given(tree=trees, value=json_values | values)
def test_any_value_is_decided_or_undecided(tree: Node, value: Any) -> None:
    assert outcome(tree, value) in (True, False, None)


@given(one=trees, other=trees, value=results)
def test_kleenes_laws_hold_where_undecided_too(one: Node, other: Node, value: Any) -> None:
    def joined(joint: Joint, *terms: Node) -> Node:
        return Joined(joint=joint, terms=terms)

    def same(left: Node, right: Node) -> bool:
        return outcome(left, value) is outcome(right, value)

    not_one, not_other = Not(inner=one), Not(inner=other)
    assert same(Not(inner=not_one), one)
    assert same(Not(inner=joined(Joint.AND, one, other)), joined(Joint.OR, not_one, not_other))
    assert same(Not(inner=joined(Joint.OR, one, other)), joined(Joint.AND, not_one, not_other))
    for joint, neutral in ((Joint.AND, joined(Joint.OR, one, other)), (Joint.OR, joined(Joint.AND, one, other))):
        assert same(joined(joint, one, other), joined(joint, other, one))
        assert same(joined(joint, one, one), one)
        assert same(joined(joint, one, neutral), one)  # absorption
    if outcome(one, value) is None:
        assert outcome(joined(Joint.OR, one, not_one), value) is None  # no excluded middle


@given(path=list_paths, inner=trees, value=results)
def test_all_is_not_any_that_does_not(path: Path, inner: Node, value: Any) -> None:
    every = Quantified(quantifier=Quantifier.ALL, path=path, inner=inner)
    some = Quantified(quantifier=Quantifier.ANY, path=path, inner=Not(inner=inner))
    assert outcome(every, value) is outcome(Not(inner=some), value)


@given(tree=trees, value=results, name=names)
def test_taking_something_away_never_turns_a_decision_around(tree: Node, value: dict[str, Any], name: str) -> None:
    """Moderation cannot pass because its result is missing; only `exists` may see the difference."""
    if "exists" in str(tree):
        return
    less = {key: child for key, child in value.items() if key != name}
    assert outcome(tree, less) in (outcome(tree, value), None)
