"""The documents about templates, and how these become them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from tasks.job_document import Document
from tasks.template_overrides import Override
from tasks.templates import Template


class TemplateSummary(Document):
    """A version of a template in a listing."""

    name: str
    version: int
    reference: Annotated[str, Field(description="NAME@VERSION: what names this very version in a job")]
    shipped: Annotated[bool, Field(description="it comes with the platform")]
    description: str
    overrides: Annotated[dict[str, Override], Field(description="what a job's `with` may change, and nothing else")]
    created_at: Annotated[datetime | None, Field(description="null: it comes with the platform")]


class TemplateDocument(TemplateSummary):
    """A version of a template with its steps, before the overrides' defaults are put in."""

    steps: dict[str, dict[str, Any]]


class TemplatePage(Document):
    """Templates by name, or versions from the newest on; `next_cursor` is null on the last page."""

    data: list[TemplateSummary]
    next_cursor: str | None


def template_document(template: Template) -> TemplateDocument:
    """The template with its steps."""
    return TemplateDocument(**_summary(template), steps=dict(template.steps))


def template_summary(template: Template) -> TemplateSummary:
    """The template without its steps."""
    return TemplateSummary(**_summary(template))


def _summary(template: Template) -> dict[str, Any]:
    return {
        "name": template.name,
        "version": template.version,
        "reference": template.reference,
        "shipped": template.created_at is None,
        "description": template.description,
        "overrides": dict(template.overrides),
        "created_at": template.created_at,
    }
