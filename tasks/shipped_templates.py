"""The templates that come with the platform, as data. Pure.

By name, a list of versions, oldest first: a change is a further entry, since what a version means never changes. A new
name may be one that a tenant has already given to a template of its own: rename those in the migration that comes
with it, and say so in the changelog.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_FORMATS = ["auto", "webp", "jpeg", "png", "avif"]
_SIDE = {"type": "integer", "minimum": 16, "maximum": 8192}


def _quality(step: str, pictures: int) -> dict[str, Any]:
    return {
        "description": "of JPEG, WebP and AVIF; default: 80, for AVIF 60",
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
        "at": [f"/{step}/variants/{number}/quality" for number in range(pictures)],
    }


def _format(step: str, pictures: int, default: str | None = None) -> dict[str, Any]:
    return {
        "description": "of all pictures; auto: by what is in them",
        "type": "string",
        "enum": _FORMATS,
        "default": default,
        "at": [f"/{step}/variants/{number}/format" for number in range(pictures)],
    }


def _side(description: str, at: str, default: int) -> dict[str, Any]:
    """Width and height of one picture."""
    return {**_SIDE, "description": description, "default": default, "at": [f"{at}/width", f"{at}/height"]}


_THUMBS = {
    "kind": "image.resize",
    "variants": [
        {"name": "small", "width": 320, "height": 320, "format": "webp"},
        {"name": "medium", "width": 1024, "height": 1024, "format": "webp"},
        {"name": "large", "width": 2048, "height": 2048, "format": "jpeg"},
    ],
}
_OF_THUMBS = {
    "small": _side("longest side of the small picture, in pixels", "/thumbs/variants/0", 320),
    "medium": _side("longest side of the medium picture, in pixels", "/thumbs/variants/1", 1024),
    "large": _side("longest side of the large picture, in pixels", "/thumbs/variants/2", 2048),
    "quality": _quality("thumbs", 3),
    "format": _format("thumbs", 3),
}

_MODERATED = {
    "check": {
        "kind": "image.analyze",
        "features": ["moderation"],
        "stop_when": {
            "condition": "moderation.nsfw >= ",
            "code": "moderation_rejected",
            "message": "the picture was taken for one that is not safe for work",
        },
    },
    "thumbs": {**_THUMBS, "use": ["check"]},
}

_FEATURES = ["labels", "objects", "faces", "embedding", "codes", "colors", "blurhash", "phash", "quality"]
_ALL_FEATURES = [*_FEATURES, "moderation", "text"]

_PORTRAIT = {
    "look": {"kind": "image.analyze", "features": ["faces"]},
    "avatar": {
        "kind": "image.resize",
        "use": ["look"],
        "variants": [
            {"name": "avatar", "width": 512, "height": 512, "fit": "cover", "gravity": "face", "format": "webp"}
        ],
    },
}

_AVATAR = {
    "avatars": {
        "kind": "image.resize",
        "variants": [
            {
                "name": "avatar-",
                "width": 256,
                "height": 256,
                "fit": "cover",
                "gravity": "attention",
                "format": "webp",
            }
        ],
    }
}

_RESPONSIVE = {
    "pictures": {
        "kind": "image.resize",
        "variants": [
            {"name": "w", "width": 1280, "format": "webp", "enlarge": False},
            {"name": "fallback", "width": 1280, "format": "jpeg", "enlarge": False},
        ],
    }
}

SHIPPED: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "thumbnails": [
        {
            "description": "Three sizes: 320 and 1024 pixels as WebP, 2048 as JPEG.",
            "steps": {"thumbs": _THUMBS},
            "overrides": _OF_THUMBS,
        }
    ],
    "thumbnails-moderated": [
        {
            "description": "The same three sizes, after a check that ends the job if the picture is not safe for work.",
            "steps": _MODERATED,
            "overrides": {
                **_OF_THUMBS,
                "nsfw": {
                    "description": "the job ends as moderation_rejected from this score on, 0 to 1",
                    "type": "number",
                    "minimum": 0,
                    "maximum": 1,
                    "default": 0.8,
                    "append": ["/check/stop_when/condition"],
                },
            },
        }
    ],
    "describe": [
        {
            "description": "What is to be seen in a picture: all that can be told of it but moderation and text.",
            "steps": {"look": {"kind": "image.analyze", "features": _FEATURES}},
            "overrides": {
                "features": {
                    "description": "what is to be told",
                    "type": "string",
                    "enum": _ALL_FEATURES,
                    "max_items": len(_ALL_FEATURES),
                    "default": _FEATURES,
                    "at": ["/look/features"],
                }
            },
        }
    ],
    "portrait": [
        {
            "description": "A square picture of 512 pixels around the faces.",
            "steps": _PORTRAIT,
            "overrides": {
                "size": _side("its sides, in pixels", "/avatar/variants/0", 512),
                "quality": _quality("avatar", 1),
                "format": _format("avatar", 1, "webp"),
            },
        }
    ],
    "avatar": [
        {
            "description": "Square pictures of 64, 128 and 256 pixels around what catches the eye, as WebP.",
            "steps": _AVATAR,
            "overrides": {
                "sizes": {
                    "description": "their sides, in pixels; each is named avatar-SIZE",
                    "type": "integer",
                    "minimum": 16,
                    "maximum": 2048,
                    "max_items": 10,
                    "default": [64, 128, 256],
                    "repeat": "/avatars/variants/0",
                    "at": ["/avatars/variants/0/width", "/avatars/variants/0/height"],
                    "append": ["/avatars/variants/0/name"],
                },
                "gravity": {
                    "description": "what is kept of the picture",
                    "type": "string",
                    "enum": ["attention", "entropy", "center", "north"],
                    "default": "attention",
                    "at": ["/avatars/variants/0/gravity"],
                },
                "quality": _quality("avatars", 1),
                "format": _format("avatars", 1, "webp"),
            },
        }
    ],
    "responsive": [
        {
            "description": "Widths from 320 to 1920 pixels as WebP, none enlarged, and a JPEG for old browsers.",
            "steps": _RESPONSIVE,
            "overrides": {
                "widths": {
                    "description": "in pixels; each is named wWIDTH",
                    "type": "integer",
                    "minimum": 16,
                    "maximum": 8192,
                    "max_items": 12,
                    "default": [320, 640, 960, 1280, 1920],
                    "repeat": "/pictures/variants/0",
                    "at": ["/pictures/variants/0/width"],
                    "append": ["/pictures/variants/0/name"],
                },
                "fallback": {
                    "description": "width of the JPEG, in pixels",
                    **_SIDE,
                    "default": 1280,
                    "at": ["/pictures/variants/1/width"],
                },
                "quality": _quality("pictures", 2),
                "format": {
                    "description": "of all pictures but the JPEG",
                    "type": "string",
                    "enum": _FORMATS,
                    "default": "webp",
                    "at": ["/pictures/variants/0/format"],
                },
            },
        }
    ],
}
