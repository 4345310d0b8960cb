"""The parameters of our own kinds of work, as a job's document gives them. Pure."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Params(BaseModel):
    """Base of all parameter models: an unknown field is an error, and values are not converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Echo(Params):
    """Returns its own parameters: for smoke tests and benches."""

    message: Annotated[str | None, Field(max_length=10_000)] = None
    data: Annotated[Any, Field(description="any JSON value, returned as it is")] = None
    sleep_seconds: Annotated[float | None, Field(ge=0, le=300, description="wait this long before returning")] = None


NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"  # of steps and variants: they become parts of keys and links


class Feature(StrEnum):
    """What an analysis can say of a picture; each is independent of the others."""

    LABELS = "labels"
    OBJECTS = "objects"
    FACES = "faces"
    MODERATION = "moderation"
    TEXT = "text"
    EMBEDDING = "embedding"
    CODES = "codes"
    COLORS = "colors"
    BLURHASH = "blurhash"
    PHASH = "phash"
    QUALITY = "quality"


class ImageAnalyze(Params):
    """Says what is to be seen in a picture."""

    features: Annotated[
        list[Feature], Field(min_length=1, max_length=len(Feature), json_schema_extra={"uniqueItems": True})
    ]

    @model_validator(mode="after")
    def _features_differ(self) -> "ImageAnalyze":
        if len(set(self.features)) < len(self.features):
            raise ValueError("a feature stands there twice")
        return self
