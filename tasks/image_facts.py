"""What kind image.info says of a picture. Pure."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.analysis import Named


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Animation(_Told):
    """`seconds` of all frames together; `loop`: how often they are played, 0 without end, null where nobody says."""

    seconds: Annotated[float, Field(ge=0)]
    loop: Annotated[int | None, Field(ge=0)]


class ImageFacts(_Told):
    """From the file's header and a few of its pixels. Sides in pixels of the picture as people see it.

    `colors`, `blurhash` and `phash` are what image.analyze says under these names.
    """

    format: Annotated[str, Field(description="jpeg, png, webp, gif, tiff, bmp, avif, heic or pdf, by the content")]
    content_type: Annotated[str, Field(description="by the content, whatever the upload said")]
    bytes: Annotated[int, Field(description="of the file")]
    width: Annotated[int, Field(ge=1, description="with the orientation applied")]
    height: Annotated[int, Field(ge=1, description="with the orientation applied")]
    megapixels: Annotated[float, Field(description="of one frame or page")]
    orientation: Annotated[
        int, Field(ge=1, le=8, description="as EXIF counts; from 5 on, width and height changed places")
    ]
    frames: Annotated[int, Field(ge=1, description="of an animation")]
    pages: Annotated[int, Field(ge=1, description="of a TIFF or PDF")]
    animation: Annotated[Animation | None, Field(description="null for one frame")]
    color_space: Literal["gray", "rgb", "cmyk", "lab"]
    bits: Annotated[int, Field(ge=1, description="of a channel, in the file")]
    has_alpha: Annotated[bool, Field(description="the file can hold transparency")]
    transparent: Annotated[
        bool, Field(description="something can be seen through it; of an animation, the first frame")
    ]
    profile: Annotated[str | None, Field(description="the name of the ICC profile in it")]
    exif: Annotated[dict[str, Any], Field(description="the fields that were asked for and that it has")]
    colors: Annotated[list[Named], Field(description="`name` is #rrggbb, `score` its share")]
    blurhash: Annotated[str, Field(description="BlurHash of 4 by 3 waves, on white")]
    thumbhash: Annotated[str, Field(description="ThumbHash in base64, with its transparency")]
    phash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="DCT hash of 64 bits")]
