"""The vocabulary: kinds of work, their parameters and limits, queues, priorities, templates. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, model_validator

MAX_STEPS = 100
KINDS_GROUP = "millrace.kinds"  # the entry-point group in which installed packages offer kinds of their own


class Queue(StrEnum):
    """The queues; which workers serve them stands in the pools' files, deploy/k8s/pools/."""

    IMAGES = "images"
    AI = "ai"
    CALLS = "calls"
    DEFAULT = "default"


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """The lower, the sooner: 0 (high), 3 (normal), 6 (low), Redis' own steps."""
        return {Priority.HIGH: 0, Priority.NORMAL: 3, Priority.LOW: 6}[self]

    @classmethod
    def of_rank(cls, rank: int) -> "Priority":
        return next(priority for priority in cls if priority.rank == rank)


class Params(BaseModel):
    """Base of all parameter models: an unknown field is an error, and values are not converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When a failed step is tried again: times in seconds, `max_attempts` counts the first attempt too.

    Before attempt n + 1 it waits a random time up to `first_seconds` * 2^(n - 1), at most `longest_seconds` (full
    jitter: AWS Architecture Blog, "Exponential Backoff And Jitter", 2015). An attempt that could only begin later than
    `deadline_seconds` after the first one is not made.
    """

    max_attempts: int = 3
    first_seconds: float = 2.0
    longest_seconds: float = 3600.0
    deadline_seconds: float = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of work.

    `run` names a function `module:function` that only workers load; it is called with (tasks.work.Work, params) and
    returns the step's result, a JSON value. Times in seconds. `retry` holds for all errors but those whose code stands
    in `retry_by_code`. `memory_mib` is what the work may take on top of an idle child of a prefork pool.
    """

    name: str
    summary: str
    params: type[BaseModel]
    run: str
    queue: Queue = Queue.DEFAULT
    needs_file: bool = False  # works on a picture or another file: the job's input, or an output of the step it uses
    makes_files: bool = False  # has outputs that later steps may work on
    retry: Retry = Retry()
    retry_by_code: Mapping[str, Retry] = field(default_factory=dict)
    max_losses: int = 3  # of its worker: then the step is taken for what kills them
    soft_time_limit: int = 540
    time_limit: int = 600
    memory_mib: int = 1024
    max_result_bytes: int = 262_144


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

    @model_validator(mode="after")
    def _has_a_size(self) -> "Variant":
        if self.width is None and self.height is None:
            raise ValueError("give width, height or both")
        if self.fit == "cover" and (self.width is None or self.height is None):
            raise ValueError("fit 'cover' needs both width and height")
        return self


class ImageResize(Params):
    """Makes smaller pictures of one, from a single decode."""

    variants: Annotated[list[Variant], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _names_differ(self) -> "ImageResize":
        names = [variant.name for variant in self.variants]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"variant names must differ; {', '.join(twice)} stands there twice")
        return self


class HttpCall(Params):
    """Posts JSON to a URL whose host the operator has allowed (OUTBOUND_ALLOW)."""

    url: HttpUrl
    body: Annotated[Any, Field(description="what to post; default: the job's id and the results of the steps used")] = (
        None
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0


_BUILT_IN = (
    Kind(
        name="image.resize",
        summary="Makes smaller pictures of one, from a single decode.",
        params=ImageResize,
        run="tasks.resize:run",
        queue=Queue.IMAGES,
        needs_file=True,
        makes_files=True,
        soft_time_limit=110,
        time_limit=120,
    ),
    Kind(
        name="http.call",
        summary="Posts JSON to a third party.",
        params=HttpCall,
        run="tasks.call:run",
        queue=Queue.CALLS,
        retry=Retry(max_attempts=5),
    ),
    Kind(
        name="echo",
        summary="Returns its own parameters.",
        params=Echo,
        run="tasks.echo:run",
    ),
)

TEMPLATES: Mapping[str, Mapping[str, Any]] = {
    "thumbnails": {
        "steps": {
            "thumbs": {
                "kind": "image.resize",
                "variants": [
                    {"name": "small", "width": 320, "height": 320, "format": "webp"},
                    {"name": "medium", "width": 1024, "height": 1024, "format": "webp"},
                    {"name": "large", "width": 2048, "height": 2048, "format": "jpeg"},
                ],
            }
        }
    },
}


def kinds(found: Sequence[Kind] = ()) -> Mapping[str, Kind]:
    """All kinds by name: ours, those of installed packages, and `found`.

    A package offers kinds by entry points of the group `millrace.kinds`, each of which loads to a Kind. Raises
    ValueError when two packages offer the same name.
    """
    offered = [_loaded(entry) for entry in entry_points(group=KINDS_GROUP)]
    by_name: dict[str, Kind] = {}
    for kind in (*_BUILT_IN, *offered, *found):
        if not isinstance(kind, Kind):
            raise ValueError(f"an entry point of {KINDS_GROUP} must be a tasks.names.Kind, not {kind!r}")
        if kind.name in by_name:
            raise ValueError(f"two installed packages offer the kind {kind.name!r}")
        if taken := {"kind", "use"} & set(kind.params.model_fields):
            raise ValueError(f"the parameters of kind {kind.name!r} have a field {min(taken)!r}, which every step has")
        by_name[kind.name] = kind
    return by_name


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as exc:
        package = entry.dist.name if entry.dist else "an installed package"
        raise ImportError(f"the kind {entry.name!r} that {package} offers cannot be loaded: {exc!r}") from exc


KINDS: Mapping[str, Kind] = kinds()
