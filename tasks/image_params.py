"""The parameters of image.resize: which pictures to make of one, as literal small operations. Pure."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tasks.exif_tags import NAMES
from tasks.params import NAME_PATTERN, Params

MAX_SIDE = 16_383
COLOUR = r"^#([0-9a-fA-F]{6}|[0-9a-fA-F]{8})$"

Fit = Literal["inside", "cover", "contain", "fill", "outside"]
Compass = Literal["center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"]
Gravity = Literal[
    "center",
    "north",
    "northeast",
    "east",
    "southeast",
    "south",
    "southwest",
    "west",
    "northwest",
    "attention",
    "entropy",
    "face",
    "objects",
]
FormatName = Literal["auto", "jpeg", "png", "webp", "avif", "gif", "tiff"]
EngineName = Literal["auto", "vips", "pillow"]


class Crop(Params):
    """A part of the upright picture, cut out before anything is resized; what lies outside the picture is left out."""

    x: Annotated[float, Field(ge=0, description="left edge")]
    y: Annotated[float, Field(ge=0, description="upper edge")]
    width: Annotated[float, Field(gt=0)]
    height: Annotated[float, Field(gt=0)]
    unit: Annotated[Literal["px", "share"], Field(description="pixels, or shares (0 to 1) of the picture's sides")] = (
        "px"
    )

    @model_validator(mode="after")
    def _its_unit_is_meant(self) -> Self:
        if self.unit == "share" and max(self.x, self.y, self.width, self.height) > 1:
            raise ValueError("shares lie between 0 and 1; for pixels say unit 'px'")
        if self.unit == "px" and min(self.width, self.height) < 1:
            raise ValueError("width and height are less than a pixel; for shares of the sides say unit 'share'")
        return self


class Pad(Params):
    """Empty margins around the finished picture, in pixels (times dpr); `background` fills them."""

    top: Annotated[int, Field(ge=0, le=4096)] = 0
    right: Annotated[int, Field(ge=0, le=4096)] = 0
    bottom: Annotated[int, Field(ge=0, le=4096)] = 0
    left: Annotated[int, Field(ge=0, le=4096)] = 0


class Watermark(Params):
    """Another upload, laid over the finished picture."""

    upload: Annotated[str, Field(pattern=r"^upl_[0-9a-hjkmnp-tv-z]{26}$", description="the id of the upload")]
    gravity: Annotated[Compass, Field(description="where it lies")] = "southeast"
    margin: Annotated[int, Field(ge=0, le=4096, description="pixels (times dpr) from the edges")] = 16
    scale: Annotated[
        float, Field(gt=0, le=1, description="its width as a share of the picture's; it is made to fit its height, too")
    ] = 0.2
    opacity: Annotated[float, Field(gt=0, le=1)] = 1.0
    tile: Annotated[bool, Field(description="repeat it all over the picture")] = False


class Variant(Params):
    """One picture to make. The operations happen in the order in which they stand here, whatever the document's."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    trim: Annotated[
        int | None,
        Field(ge=0, le=254, description="cut off borders that differ from the top left pixel by at most this (0..255)"),
    ] = None
    crop: Annotated[Crop | None, Field(description="a part of the picture")] = None
    rotate: Annotated[Literal[0, 90, 180, 270], Field(description="degrees clockwise")] = 0
    flip: Annotated[Literal["horizontal", "vertical", "both"] | None, Field(description="mirror it")] = None
    width: Annotated[int | None, Field(ge=1, le=MAX_SIDE, description="pixels, times dpr")] = None
    height: Annotated[int | None, Field(ge=1, le=MAX_SIDE, description="pixels, times dpr")] = None
    dpr: Annotated[float, Field(ge=0.1, le=8, description="pixels of the device to one of the page")] = 1.0
    fit: Annotated[
        Fit,
        Field(
            description="inside: at most this size; outside: at least this size; cover: exactly this size, the rest "
            "cut off; contain: exactly this size, the rest filled with `background`; fill: exactly this size, distorted"
        ),
    ] = "inside"
    enlarge: Annotated[bool, Field(description="whether a smaller picture may be scaled up")] = False
    gravity: Annotated[
        Gravity,
        Field(
            description="what `cover` keeps, and where `contain` puts the picture: a compass point; attention or "
            "entropy: where most is to be seen; face or objects: what an image.analyze step of the same file has "
            "found, which this step uses; the centre where there are none"
        ),
    ] = "center"
    grayscale: Annotated[bool, Field(description="shades of grey")] = False
    blur: Annotated[float | None, Field(ge=0.3, le=100, description="Gaussian, its sigma in pixels of the result")] = (
        None
    )
    sharpen: Annotated[
        float | None, Field(ge=0.3, le=10, description="unsharp mask, its sigma in pixels of the result")
    ] = None
    watermark: Annotated[Watermark | None, Field(description="another upload, laid over it")] = None
    pad: Annotated[Pad | None, Field(description="margins around it")] = None
    background: Annotated[
        str | None,
        Field(
            pattern=COLOUR,
            description="#rrggbb or #rrggbbaa, behind transparent pixels and margins; default: none where the format "
            "has transparency, else white",
        ),
    ] = None
    format: Annotated[
        FormatName | None,
        Field(
            description="auto: by content (animation, transparency, photograph or drawing); default: as the input "
            "where it is one of these, else png for bmp and transparent pictures, jpeg for others"
        ),
    ] = None
    animated: Annotated[bool, Field(description="keep all frames where input and format can; else the first")] = True
    quality: Annotated[
        int | None, Field(ge=1, le=100, description="for jpeg, webp and avif; default 80, for avif 60")
    ] = None
    lossless: Annotated[bool, Field(description="for webp and avif")] = False
    effort: Annotated[
        int | None, Field(ge=0, le=10, description="of the encoder: 0 the quickest, 10 the smallest file")
    ] = None
    progressive: Annotated[bool, Field(description="for jpeg, and interlaced png")] = False
    max_bytes: Annotated[
        int | None, Field(ge=256, description="take the best quality, up to `quality`, whose file is no larger")
    ] = None
    metadata: Annotated[
        Literal["strip", "copyright", "all"],
        Field(description="strip: none; copyright: artist and copyright; all: with the place and serial numbers"),
    ] = "strip"
    keep_icc: Annotated[bool, Field(description="keep the picture's own colours and profile, instead of sRGB")] = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.fit in ("cover", "contain", "fill") and (self.width is None or self.height is None):
            raise ValueError(f"fit {self.fit!r} needs both width and height")
        if self.fit == "outside" and self.width is None and self.height is None:
            raise ValueError("fit 'outside' needs width, height or both")
        if self.gravity != "center" and self.fit not in ("cover", "contain"):
            raise ValueError(f"gravity {self.gravity!r} needs fit 'cover' or 'contain'")
        if self.fit == "contain" and self.gravity in ("attention", "entropy", "face", "objects"):
            raise ValueError(f"gravity {self.gravity!r} needs fit 'cover': with 'contain' nothing is cut off")
        if self.max_bytes is not None and (self.format in ("png", "gif", "tiff") or self.lossless):
            raise ValueError("max_bytes is reached by quality, which only jpeg, webp and avif have, if not lossless")
        if self.lossless and self.format in ("jpeg", "gif"):
            raise ValueError(f"{self.format} cannot be lossless; webp and avif can")
        return self


class ImageResize(Params):
    """Makes pictures of one, from a single decode."""

    GRAVITIES: ClassVar[Mapping[str, str]] = {"face": "faces", "objects": "objects"}  # → the feature of an analysis

    variants: Annotated[list[Variant], Field(min_length=1, max_length=20)]
    page: Annotated[int, Field(ge=1, le=10_000, description="of a multi-page TIFF or a PDF")] = 1
    allow_truncated: Annotated[bool, Field(description="make what there is of a file that is cut short")] = False
    engine: Annotated[EngineName, Field(description="what makes them; auto: as the operator has set")] = "auto"

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [variant.name for variant in self.variants]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variant names must differ; {', '.join(twice)} stands there twice")
        return self

    @property
    def focus(self) -> frozenset[str]:
        """The features of an analysis that the variants' gravities speak of."""
        return frozenset(self.GRAVITIES[one.gravity] for one in self.variants if one.gravity in self.GRAVITIES)

    @property
    def uploads(self) -> frozenset[str]:
        """The ids of the uploads that its watermarks are."""
        return frozenset(one.watermark.upload for one in self.variants if one.watermark is not None)


class ImageInfo(Params):
    """Says what a picture is, from its header and a few of its pixels: no network looks at it."""

    exif: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]] | None,
        Field(
            max_length=64, description="the EXIF fields to tell, such as GPSInfo; default: camera, lens, exposure, time"
        ),
    ] = None
    page: Annotated[int, Field(ge=1, le=10_000, description="of a multi-page TIFF or a PDF")] = 1

    @field_validator("exif")
    @classmethod
    def _fields_are_known(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if name not in NAMES:
                near = get_close_matches(name, sorted(NAMES), n=1)
                raise ValueError(f"there is no EXIF field {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return names
