"""`?template=thumbnails&quality=70`: the job's document that a query stands for, its values still text."""

from typing import Any

from starlette.datastructures import QueryParams

from tasks.errors import Flaw, InvalidDocument, TemplateUnknown
from tasks.templates import Resolve, read
from tasks.values import MAX_FLAWS, escape

TEMPLATE = "template"
_ABOUT_THE_REQUEST = frozenset({"tenant"})  # for whom it is made, see api.auth


def document_of(query: QueryParams) -> dict[str, Any] | None:
    """The document, None without a query. Raises InvalidDocument for what does not stand once, beside a template."""
    given = [(name, text) for name, text in query.multi_items() if name not in _ABOUT_THE_REQUEST]
    if not given:
        return None
    names = [name for name, _ in given]
    flaws = [
        Flaw(pointer=_pointer(name), detail="stands in the query twice; the values of a list have commas between")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if TEMPLATE not in names:
        detail = "says what is changed of a template, which the query does not name: ?template=NAME"
        flaws += [Flaw(pointer=_pointer(name), detail=detail) for name in dict.fromkeys(names)]
    if flaws:
        raise InvalidDocument(flaws[:MAX_FLAWS])
    texts = {name: text for name, text in sorted(given) if name != TEMPLATE}
    return {TEMPLATE: query[TEMPLATE], **({"with": texts} if texts else {})}


def with_values(document: dict[str, Any], templates: Resolve) -> dict[str, Any]:
    """The document with its texts read as the template's overrides say; as it is if there is no such template."""
    texts = document.get("with")
    if texts is None:
        return document
    try:
        return {**document, "with": read(templates(document[TEMPLATE]), texts)}
    except TemplateUnknown:
        return document


def _pointer(name: str) -> str:
    return "/template" if name == TEMPLATE else f"/with/{escape(name[:64])}"
