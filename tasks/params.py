"""The parameters of our own kinds of work, as a job's document gives them. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

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


class Variant(Params):
    """One picture to make: at least one of width and height; the proportions are kept."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    width: Annotated[int | None, Field(ge=1, le=16_383, description="pixels")] = None
    height: Annotated[int | None, Field(ge=1, le=16_383, description="pixels")] = None
    fit: Annotated[
        Literal["inside", "cover"],
        Field(description="inside: at most this size; cover: exactly this size, the centre cropped"),
    ] = "inside"
    format: Annotated[
        Literal["jpeg", "png", "webp"] | None, Field(description="default: as the input, where it is one of these")
    ] = None
    quality: Annotated[int, Field(ge=1, le=100, description="for jpeg and webp")] = 80
    background: Annotated[
        str, Field(pattern=r"^#[0-9a-fA-F]{6}$", description="stands behind transparent pixels in jpeg")
    ] = "#ffffff"
    enlarge: Annotated[bool, Field(description="whether a smaller input may be scaled up")] = False
    gravity: Annotated[
        Literal["center", "face", "objects"],
        Field(
            description="what `cover` keeps in the picture: its centre, or the faces or objects that an image.analyze "
            "step of the same file has found, which this step uses; the centre where there are none"
        ),
    ] = "center"

    @model_validator(mode="after")
    def _has_a_size(self) -> "Variant":
        if self.width is None and self.height is None:
            raise ValueError("give width, height or both")
        if self.fit == "cover" and (self.width is None or self.height is None):
            raise ValueError("fit 'cover' needs both width and height")
        if self.gravity != "center" and self.fit != "cover":
            raise ValueError(f"gravity {self.gravity!r} needs fit 'cover': with 'inside' nothing is cropped")
        return self


class ImageResize(Params):
    """Makes smaller pictures of one, from a single decode."""

    GRAVITIES: ClassVar[Mapping[str, str]] = {"face": "faces", "objects": "objects"}  # → the feature of an analysis

    variants: Annotated[list[Variant], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _names_differ(self) -> "ImageResize":
        names = [variant.name for variant in self.variants]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variant names must differ; {', '.join(twice)} stands there twice")
        return self

    @property
    def focus(self) -> frozenset[str]:
        """The features of an analysis that the variants' gravities speak of."""
        return frozenset(self.GRAVITIES[variant.gravity] for variant in self.variants if variant.gravity != "center")


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
