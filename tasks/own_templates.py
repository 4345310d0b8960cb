"""Finds what a document of a tenant names: a shipped template, or one of the tenant's own."""

from functools import cache

from storage import templates
from storage.database import Tx
from storage.templates import OwnTemplate
from tasks.errors import TemplateUnknown
from tasks.template_overrides import Override
from tasks.templates import SHIPPED, Resolve, Template, shipped, split


def resolver(tx: Tx, *, hold: bool = False) -> Resolve:
    """What finds templates for the tenant: shipped ones without a question, one of its own with one query.

    It is for one transaction, and asks once for each reference. With `hold` nobody deletes what was found before the
    transaction ends.
    """

    @cache
    def resolve(reference: str) -> Template:
        named = split(reference)
        if named is None or named[0] in SHIPPED:
            return shipped(reference)
        name, version = named
        found = templates.find(tx, name, version, hold=hold)
        if found is None:
            raise _unknown(tx, name, version)
        return template_of(found)

    return resolve


def template_of(found: OwnTemplate) -> Template:
    """The template in a row: what it says was checked when it was put."""
    return Template(
        name=found.name,
        version=found.version,
        description=found.description,
        steps=found.steps,
        overrides={name: Override.model_validate(one) for name, one in found.overrides.items()},
        created_at=found.created_at,
    )


def _unknown(tx: Tx, name: str, version: int | None) -> TemplateUnknown:
    newest = None if version is None else templates.find(tx, name)
    if newest is not None:
        return TemplateUnknown(name, version=version, newest=newest.version)
    return TemplateUnknown(name, known=[*SHIPPED, *templates.names(tx)])
