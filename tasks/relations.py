"""How the steps of a job stand on each other: no circles, one file for each, what one is to be told. Pure."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from tasks import conditions
from tasks.errors import Flaw
from tasks.spec import StepSpec
from tasks.values import escape


def related(specs: Sequence[StepSpec], at: str, flaws: list[Flaw]) -> list[StepSpec]:
    """The steps with `file_from`; adds what is wrong between them, which are right by themselves, to the flaws.

    `at` is the pointer of their object.
    """
    makers = {spec.name for spec in specs if spec.kind.makes(spec.checked)}
    linked = [_linked(spec, makers) for spec in specs]
    flaws += _all_flaws(linked, at)
    return linked


def _linked(spec: StepSpec, makers: Set[str]) -> StepSpec:
    file_from = next((name for name in spec.use if name in makers), None)
    return spec if file_from == spec.file_from else replace(spec, file_from=file_from)


def _all_flaws(specs: Sequence[StepSpec], at: str) -> list[Flaw]:
    by_name = {spec.name: spec for spec in specs}
    uses = {spec.name: spec.use for spec in specs if spec.use}
    try:
        if uses:
            TopologicalSorter(uses).prepare()
    except CycleError as exc:
        circle = " → ".join(reversed(exc.args[1]))
        return [Flaw(pointer=at, detail=f"steps use one another in a circle: {circle}")]
    return [flaw for spec in specs for flaw in _flaws(spec, by_name, f"{at}/{escape(spec.name)}")]


def _flaws(spec: StepSpec, by_name: Mapping[str, StepSpec], at: str) -> Iterator[Flaw]:
    makers = [name for name in spec.use if by_name[name].kind.makes(by_name[name].checked)]
    if spec.kind.needs_file and len(makers) > 1:
        detail = (
            f"a step of kind {spec.kind.name} uses at most one step that makes files, and works on its largest one; "
            "without such a step it works on the job's own file"
        )
        yield Flaw(pointer=f"{at}/use", detail=detail)
        return
    if spec.kind.flaws is not None:
        yield from spec.kind.flaws(spec.checked, spec.use, at)
    for feature in sorted(spec.kind.focus(spec.checked)):
        if not any(_tells(by_name[name], feature) and by_name[name].file_from == spec.file_from for name in spec.use):
            detail = (
                f"must name an image.analyze step that works on the same file and has {feature!r} among its features: "
                "a gravity of this step asks for it"
            )
            yield Flaw(pointer=f"{at}/use", detail=detail)
    if spec.stop_when is not None and spec.kind.tells is not None:
        told = spec.kind.tells(spec.checked)
        for root in sorted(conditions.parse(spec.stop_when.condition).roots - told):
            detail = f"speaks of {root!r}, which this step's result will not have; it has: {', '.join(sorted(told))}"
            yield Flaw(pointer=f"{at}/stop_when", detail=detail)


def _tells(spec: StepSpec, feature: str) -> bool:
    return spec.kind.tells is not None and feature in spec.kind.tells(spec.checked)
