"""What is known of a network: a TOML file beside it says which file, which rights, which input and what it is for."""

import hashlib
import importlib.util
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.errors import TasksError


class ModelRefused(TasksError):
    """A model of MODELS_DIR cannot be used as it is: its worker must not start."""


class Decoder(StrEnum):
    """How a network's output becomes what a feature answers."""

    CLASSES = "classes"  # a probability for each name
    VECTOR = "vector"  # a point in a space where similar pictures are near
    SSD = "ssd"  # boxes as y1 x1 y2 x2 in 0..1, and a score for each box and class
    YUNET = "yunet"  # faces on three grids, with five landmarks each
    SHARES = "shares"  # a probability for each name, all of them told


Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Input(_Table):
    """The tensor that a network takes: (value 0..255 - mean) / divisor, by channel in the order of `channels`.

    `fit` is how a picture gets its size: `crop` takes the centred square of `share` of the shorter side, `stretch`
    distorts the picture and then takes the central `share` of it, `pad` scales the longer side and fills up with 0 at
    the right and the bottom. `resample`: `bilinear` and `bicubic` with, `plain` (bilinear) without smoothing when
    shrinking. `recompressed`: the picture is a JPEG once more before it is looked at, as it was in the training.
    """

    name: str
    width: Annotated[int, Field(ge=1, le=4096)]
    height: Annotated[int, Field(ge=1, le=4096)]
    layout: Literal["nchw", "nhwc"] = "nchw"
    channels: Literal["rgb", "bgr"] = "rgb"
    fit: Literal["crop", "stretch", "pad"] = "stretch"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    resample: Literal["bilinear", "bicubic", "plain"] = "bilinear"
    mean: tuple[Finite, Finite, Finite] = (0.0, 0.0, 0.0)
    divisor: Annotated[Finite, Field(gt=0)] = 1.0
    recompressed: bool = False

    @property
    def reach(self) -> tuple[float, float]:
        """Width and height of the whole picture in pixels that the network can make use of."""
        return self.width / self.share, self.height / self.share


class Serves(_Table):
    """A feature that a network serves: `output` is the name of the tensor, for decoders that read only one."""

    decoder: Decoder
    output: str = ""
    names: Annotated[str | list[str], Field(description="a JSON file beside the manifest, or the names")] = []
    most: Annotated[int, Field(ge=1, le=1000)] = 100
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    overlap: Annotated[float, Field(gt=0, le=1)] = 0.5


class Group(_Table):
    """How callers that come together share one batch: who comes first waits so long for others."""

    milliseconds: Annotated[float, Field(gt=0, le=1000)]
    most: Annotated[int, Field(ge=2, le=256)] = 8


class Run(_Table):
    """Where a network runs: in this process, or on a server that speaks the Open Inference Protocol (KServe v2)."""

    on: Literal["onnxruntime", "server"] = "onnxruntime"
    providers: Annotated[list[str], Field(min_length=1, description="the first that is there is used")] = [
        "CPUExecutionProvider"
    ]
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    batches: Annotated[bool, Field(description="whether the network takes several pictures at once")] = True
    url: str = ""
    model: str = ""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    group: Group | None = None

    @model_validator(mode="after")
    def _has_its_server(self) -> "Run":
        if (self.on == "server") != bool(self.url):
            raise ValueError("'url' belongs to a model that runs on a server, and to no other")
        if self.group is not None and not self.batches:
            raise ValueError("'group' is for networks that take several pictures at once ('batches')")
        return self

    @property
    def survives_fork(self) -> bool:
        """Whether what is made before a fork works in the child: on the CPU it does, and a client is not connected."""
        return self.on == "server" or self.providers == ["CPUExecutionProvider"]


class _Document(_Table):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    version: str
    licence: str
    source: str
    file: str = ""
    package: Annotated[str, Field(description="the installed package in which the file is; default: beside this")] = ""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    input: Input
    run: Run = Run()
    features: Mapping[str, Serves] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A network as its manifest describes it; `file` is None for one that runs on a server.

    `installed` is false where the file belongs to a package that is not installed here.
    """

    name: str
    version: str
    licence: str
    source: str
    file: Path | None
    package: str
    sha256: str
    input: Input
    run: Run
    features: Mapping[str, Serves]
    installed: bool = True

    def verify(self) -> None:
        """Raise ModelRefused unless the file is there and is the one that the manifest means."""
        if self.file is None:
            return
        try:
            with self.file.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise ModelRefused(f"model {self.name}: {self.file} cannot be read: {exc.strerror or exc}") from exc
        if found != self.sha256:
            raise ModelRefused(
                f"model {self.name}: {self.file} has the SHA-256 {found}, and its manifest says {self.sha256}; "
                "put the right file there, or change the manifest if you trust this one"
            )


def read_folder(folder: Path) -> list[Manifest]:
    """All manifests (*.toml) of a folder, by name. Raises ModelRefused."""
    if not folder.is_dir():
        raise ModelRefused(f"MODELS_DIR: there is no folder {folder}")
    found = [read(path) for path in sorted(folder.glob("*.toml"))]
    if not found:
        raise ModelRefused(f"MODELS_DIR: there is no manifest (*.toml) in {folder}")
    served: dict[str, str] = {}
    for manifest in found:
        for feature in manifest.features:
            if other := served.get(feature):
                raise ModelRefused(f"{folder}: the models {other} and {manifest.name} both serve {feature!r}")
            served[feature] = manifest.name
    return found


def read(path: Path) -> Manifest:
    """One manifest. Raises ModelRefused with the field that is wrong."""
    try:
        document = _Document.model_validate_json(json.dumps(tomllib.loads(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as exc:
        raise ModelRefused(f"{path}: {exc}") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        at = ".".join(map(str, first["loc"]))
        raise ModelRefused(f"{path}: {at or 'the manifest'}: {first['msg']}") from exc
    if document.run.on == "onnxruntime" and not (document.file and document.sha256):
        raise ModelRefused(f"{path}: a model that runs here needs its 'file' and 'sha256'")
    folder = _folder_of(document.package) if document.package else path.parent
    return Manifest(
        name=document.name,
        version=document.version,
        licence=document.licence,
        source=document.source,
        file=folder / document.file if folder is not None and document.run.on == "onnxruntime" else None,
        package=document.package,
        sha256=document.sha256,
        input=document.input,
        run=document.run,
        features={name: _with_names(path, name, serves) for name, serves in document.features.items()},
        installed=folder is not None,
    )


def _folder_of(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # of a parent that is not there, or no name at all
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


def _with_names(path: Path, feature: str, serves: Serves) -> Serves:
    if isinstance(serves.names, list):
        return serves
    try:
        names: Any = json.loads((path.parent / serves.names).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelRefused(f"{path}: features.{feature}.names: {exc}") from exc
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelRefused(f"{path}: features.{feature}.names: {serves.names} must be a JSON list of strings")
    return serves.model_copy(update={"names": names})
