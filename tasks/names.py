"""The vocabulary: kinds of work, their parameters and limits, queues, priorities. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel

from tasks import call_params, fetch_params
from tasks.analysis import Analysis
from tasks.errors import Flaw
from tasks.image_facts import ImageFacts
from tasks.image_params import ImageInfo, ImageResize
from tasks.params import Echo, Feature, ImageAnalyze
from tasks.params import Params as Params  # for kinds of other packages

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


def _nothing(_params: Any) -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of work.

    `run` names a function `module:function` that only workers load; it is called with (tasks.work.Work, params) and
    returns the step's result, a JSON value. Times in seconds. `retry` holds for all errors but those whose code stands
    in `retry_by_code`. `prepare` names a function that a worker of the kind's queue calls with its WorkerSettings
    before it forks its slots: what that loads, they share. `memory_mib` is what the work may take on top of an idle
    child of a prefork pool. `schedules` are applied at every start of the scheduler: each the document of a schedule,
    with the name of its `tenant` if that is not the platform's own; see tasks.scheduled.
    """

    name: str
    summary: str
    params: type[BaseModel]
    run: str
    queue: Queue = Queue.DEFAULT
    needs_file: bool = False  # works on a picture or another file: the job's input, or an output of the step it uses
    no_files: tuple[str, ...] = ()  # media types of what is none for it, such as web pages: not fetched by URL for it
    makes_files: bool = False  # has outputs that later steps may work on,
    makes_files_if: Callable[[Any], bool] | None = None  # or has them by its parameters
    call_seconds: float = 0.0  # its `url` leads to a third party, for so long at most: budgets hold, see tasks.gate
    retry: Retry = Retry()
    retry_by_code: Mapping[str, Retry] = field(default_factory=dict)
    retry_of: Callable[[Any], Retry] | None = None  # by its parameters, instead of `retry`
    max_losses: int = 3  # of its worker: then the step is taken for what kills them
    soft_time_limit: int = 540
    time_limit: int = 600
    group: int = 1  # of steps that take milliseconds one hint names so many, where they wait in numbers
    memory_mib: int = 1024
    max_result_bytes: int = 262_144
    prepare: str = ""
    result: type[BaseModel] | None = None  # what `run` returns, for the OpenAPI document
    tells: Callable[[Any], frozenset[str]] | None = None  # the fields of the result, from the parameters
    for_platform: bool = False  # housekeeping: no tenant may ask for it
    uploads: Callable[[Any], frozenset[str]] = _nothing  # the ids of the uploads that its parameters name
    is_shared: bool = False  # what it makes of a file is known by the file's SHA-256: see tasks.renditions
    focus: Callable[[Any], frozenset[str]] = _nothing  # fields of an analysis of the same file that it must be given
    flaws: Callable[[Any, Collection[str], str], Iterable[Flaw]] | None = None  # of (parameters, use, pointer)
    schedules: Sequence[Mapping[str, Any]] = ()

    def makes(self, params: Any) -> bool:
        """Whether a step with these parameters has outputs that later steps may work on."""
        return self.makes_files or (self.makes_files_if is not None and self.makes_files_if(params))

    def policy(self, params: Any) -> Retry:
        """When a step with these parameters is tried again."""
        return self.retry if self.retry_of is None else self.retry_of(params)

    def for_params(self, params: Any) -> "Kind":
        """The kind as a step with these parameters has it."""
        return self if self.retry_of is None else replace(self, retry=self.retry_of(params))


def _told_by_analysis(params: ImageAnalyze) -> frozenset[str]:
    always = Analysis.model_fields.keys() - set(Feature)
    return frozenset(always | {feature.value for feature in params.features})


_WEB_PAGES = ("application/xhtml+xml", "text/html")  # a login page, say, in a picture's place

_BUILT_IN = (
    Kind(
        name="image.resize",
        summary="Makes pictures of one, from a single decode.",
        params=ImageResize,
        run="tasks.resize:run",
        queue=Queue.IMAGES,
        needs_file=True,
        no_files=_WEB_PAGES,
        makes_files=True,
        soft_time_limit=110,
        time_limit=120,
        tells=lambda _: frozenset({"outputs"}),
        uploads=lambda params: params.uploads,
        is_shared=True,
        focus=lambda params: params.focus,
    ),
    Kind(
        name="image.info",
        summary="Says what a picture is, without a network.",
        params=ImageInfo,
        run="tasks.info:run",
        queue=Queue.IMAGES,
        needs_file=True,
        no_files=_WEB_PAGES,
        soft_time_limit=110,
        time_limit=120,
        result=ImageFacts,
        tells=lambda _: frozenset(ImageFacts.model_fields),
    ),
    Kind(
        name="image.analyze",
        summary="Says what is to be seen in a picture.",
        params=ImageAnalyze,
        run="tasks.analyze:run",
        prepare="tasks.vision.models:preload",
        queue=Queue.AI,
        needs_file=True,
        no_files=_WEB_PAGES,
        soft_time_limit=280,  # a page of small print takes a minute to read
        time_limit=300,
        retry_by_code={code: Retry(max_attempts=1) for code in ("feature_not_installed", "answer_too_large")},
        max_result_bytes=1_048_576,
        result=Analysis,
        tells=_told_by_analysis,
    ),
    Kind(
        name="http.call",
        summary="Calls a third party.",
        params=call_params.HttpCall,
        run="tasks.call:run",
        queue=Queue.CALLS,
        makes_files_if=call_params.makes_files,
        call_seconds=60,  # unless its timeout says otherwise
        max_result_bytes=call_params.MOST_RESULT_BYTES,
        retry_of=lambda params: Retry(max_attempts=params.max_attempts, deadline_seconds=params.deadline_seconds),
        tells=lambda params: frozenset({"status", "headers", "outputs" if call_params.makes_files(params) else "body"}),
        flaws=call_params.flaws,
    ),
    Kind(
        name="input.fetch",
        summary="Fetches a file from a URL.",
        params=fetch_params.InputFetch,
        run="tasks.fetch:run",
        queue=Queue.CALLS,
        makes_files=True,
        call_seconds=480,
        retry=Retry(max_attempts=12),
        tells=lambda _: frozenset({"status", "outputs", "redirected_to"}),
        flaws=fetch_params.flaws,
    ),
    Kind(
        name="echo",
        summary="Returns its own parameters.",
        params=Echo,
        run="tasks.echo:run",
        group=100,
    ),
    Kind(
        name="platform.retention",
        summary="Deletes what was kept for long enough: ended jobs, keys, records of firings.",
        params=Params,
        run="tasks.retention:run",
        for_platform=True,
    ),
)


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
        if taken := {"kind", "use", "stop_when"} & set(kind.params.model_fields):
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
TENANT_KINDS: Mapping[str, Kind] = {name: kind for name, kind in KINDS.items() if not kind.for_platform}
