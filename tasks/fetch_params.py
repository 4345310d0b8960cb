"""The parameters of input.fetch, which are also the `input` of a job's document. Pure."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from tasks import expressions
from tasks.addresses import MAX_URL, parse_url
from tasks.call_params import MOST_OBJECT_BYTES, HeaderName, HeaderValue
from tasks.errors import Flaw
from tasks.flaws import listed
from tasks.params import Params

ROOTS = ("secrets",)
MAX_FILENAME = 255

_NAME = "[A-Za-z0-9!#$&^_.+-]{1,64}"
TypePattern = Annotated[str, StringConstraints(pattern=rf"^!?({_NAME}/({_NAME}|\*)|\*/\*)$")]


class InputFetch(Params):
    """Fetches a file from a URL. Values of headers may hold secrets, such as {{secrets.archive}}."""

    url: Annotated[str, Field(min_length=1, max_length=MAX_URL)]
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=50)] = Field(default_factory=dict)
    filename: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_FILENAME,
            pattern=r"^[^\x00-\x1f\x7f/\\]*$",
            description="default: what the answer calls it, or the end of the URL's path",
        ),
    ] = None
    max_bytes: Annotated[
        int | None, Field(ge=1, le=MOST_OBJECT_BYTES, description="a larger file fails; default: as for an upload")
    ] = None
    types: Annotated[
        list[TypePattern] | None,
        Field(
            min_length=1,
            max_length=20,
            description="media types that are taken, such as `image/*`, or, with a `!` before them, that are not; "
            "default: all, but no web page where a step wants a picture",
        ),
    ] = None

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if "{{" in url:
            raise ValueError("is not filled in, but by schedules ({{schedule.…}}); headers may hold {{secrets.…}}")
        parse_url(url)
        return url

    def takes(self, media_type: str) -> bool:
        """Whether a file of this type, in lower case, is taken."""
        wanted, refused = _sorted_out(self.types or ())
        is_refused = any(_fits(media_type, pattern) for pattern in refused)
        return not is_refused and (not wanted or any(_fits(media_type, pattern) for pattern in wanted))

    @property
    def taken(self) -> str:
        """The types that are taken, in words."""
        wanted, refused = _sorted_out(self.types or ())
        return (listed(wanted) or "anything") + (f" but {listed(refused)}" if refused else "")


def flaws(params: InputFetch, _use: Collection[str], at: str) -> Iterator[Flaw]:
    """What is wrong with the expressions in the headers."""
    yield from expressions.flaws(dict(params.headers), at=f"{at}/headers", steps=(), roots=ROOTS)


def _sorted_out(types: Sequence[str]) -> tuple[list[str], list[str]]:
    """Patterns that are taken, and those that are not."""
    lower = [pattern.lower() for pattern in types]
    return [one for one in lower if one[0] != "!"], [one[1:] for one in lower if one[0] == "!"]


def _fits(media_type: str, pattern: str) -> bool:
    main, _, sub = pattern.partition("/")
    return main in ("*", media_type.partition("/")[0]) and sub in ("*", media_type.partition("/")[2])
