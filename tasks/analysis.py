"""What an analysis of a picture says: the result of kind image.analyze. Pure."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Size(_Told):
    """Pixels of the picture as people see it: its orientation is applied."""

    width: int
    height: int


class Point(_Told):
    """As shares of the upright picture's width and height; a landmark may lie outside of it."""

    x: float
    y: float


class Box(_Told):
    """Left, top, width and height as shares of the upright picture's sides."""

    x: Share
    y: Share
    width: Share
    height: Share


class Named(_Told):
    """A name and how sure it is, 0..1."""

    name: str
    score: Share


class Found(Named):
    """Something at a place in the picture."""

    box: Box


class Landmarks(_Told):
    """Left and right as the person sees them."""

    right_eye: Point
    left_eye: Point
    nose: Point
    right_mouth: Point
    left_mouth: Point


class Face(Found):
    """A face; its name is always `face`: nobody is recognised."""

    landmarks: Landmarks


class Word(_Told):
    """What stands between two spaces."""

    text: str
    score: Share
    box: Box


class Line(Found):
    """A line of print, in reading order; its name is always `line`. The polygon begins at the text's own top left."""

    text: str
    polygon: list[tuple[float, float]]
    words: list[Word]


class Code(Found):
    """A QR or bar code; its name is the format. Content that is no text has `bytes_base64` in its place."""

    text: str | None
    bytes_base64: str | None
    truncated: Annotated[bool, Field(description="whether there is more than is told here")]


class Quality(_Told):
    """`sharpness`, `exposure` (the mean), `contrast`, and the shares of pixels that are black or white."""

    sharpness: Share
    exposure: Share
    contrast: Share
    shadows_clipped: Share
    highlights_clipped: Share
    blurred: bool
    underexposed: bool
    overexposed: bool


class ModelUsed(_Told):
    """What answered a feature, its rights, and the milliseconds that it took; models that answer two run once."""

    name: str
    version: str
    licence: str
    milliseconds: Annotated[float, Field(ge=0)]


class FeatureError(_Told):
    """Why a feature has no answer: `code` is stable, `message` for people."""

    code: str
    message: str


class Analysis(_Told):
    """One field for each feature that was asked for and has an answer; lists begin with the surest or the first read.

    `partial` says that some have none after all attempts (or, while the step is retrying, so far): `errors` says why.
    """

    picture: Size
    labels: Annotated[list[Named] | None, Field(description="ImageNet classes")] = None
    objects: Annotated[list[Found] | None, Field(description="COCO classes, each with its box")] = None
    faces: Annotated[list[Face] | None, Field(description="boxes and landmarks; nobody is recognised")] = None
    moderation: Annotated[dict[str, Share] | None, Field(description="`nsfw` and `safe`")] = None
    text: Annotated[list[Line] | None, Field(description="lines of print in reading order, with their words")] = None
    embedding: Annotated[list[float] | None, Field(description="1280 numbers, of length 1 together")] = None
    codes: Annotated[list[Code] | None, Field(description="QR and bar codes with their content")] = None
    colors: Annotated[list[Named] | None, Field(description="`name` is #rrggbb, `score` its share")] = None
    blurhash: Annotated[str | None, Field(description="BlurHash of 4 by 3 waves: a placeholder to show at once")] = None
    phash: Annotated[str | None, Field(pattern=r"^[0-9a-f]{16}$", description="DCT hash of 64 bits")] = None
    quality: Annotated[Quality | None, Field(description="sharpness and exposure")] = None
    models: dict[str, ModelUsed]
    partial: bool
    errors: dict[str, FeatureError]
