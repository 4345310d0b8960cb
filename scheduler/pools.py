"""The pools, one file each: a Deployment that says how a replica runs, a ScaledObject that says how many there are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scheduler import scaledobject, triggers
from scheduler.errors import InvalidPool
from scheduler.scaledobject import ScaledObject
from tasks.errors import Flaw
from tasks.names import Queue

FOLDER = Path(__file__).parent.parent / "deploy" / "k8s" / "pools"
"""Where the pools of this project stand; POOLS_DIR names another folder."""

_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
# Written in C, which takes a tenth of the time; a PyYAML that was built without libyaml has it not.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """A group of equal workers.

    `command` starts one, with `$(NAME)` for variables; `env` is what its Deployment sets in so many words, `names` are
    the variables that hold the replica's name, the rest comes from where it runs. `slots` is how many steps one replica
    works on at a time, `grace_seconds` how long it may take to end.
    """

    name: str
    namespace: str | None
    command: tuple[str, ...]
    env: Mapping[str, str]
    names: tuple[str, ...]
    queues: tuple[str, ...]
    slots: int
    grace_seconds: float
    scaled: ScaledObject
    rules: tuple[triggers.Rule, ...]

    def command_for(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """The command with `$(NAME)` replaced as Kubernetes does; a name that `env` lacks stays as it is."""
        return tuple(_REFERENCE.sub(lambda found: env.get(found[1], found[0]), word) for word in self.command)


def load(folder: Path = FOLDER) -> dict[str, Pool]:
    """Read all pools of a folder, by name. Raises InvalidPool, which names the file."""
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise InvalidPool([Flaw(pointer="", detail="there is no pool: no file that ends in .yaml")], file=str(folder))
    pools: dict[str, Pool] = {}
    for file in files:
        try:
            pool = parse(list(yaml.load_all(file.read_text(encoding="utf-8"), Loader=_LOADER)))
        except InvalidPool as exc:
            raise InvalidPool(exc.flaws, file=file.name) from exc
        except yaml.YAMLError as exc:
            raise InvalidPool([Flaw(pointer="", detail=" ".join(str(exc).split()))], file=file.name) from exc
        if pool.name != file.stem:
            flaw = Flaw(pointer="/metadata/name", detail=f"must be the file's, {file.stem!r}, not {pool.name!r}")
            raise InvalidPool([flaw], file=file.name)
        for other in pools.values():
            if twice := set(pool.queues) & set(other.queues):
                flaw = Flaw(
                    pointer="", detail=f"queue {min(twice)!r} is that of {other.name!r} already: both would grow"
                )
                raise InvalidPool([flaw], file=file.name)
        pools[pool.name] = pool
    return pools


def parse(documents: Sequence[Any]) -> Pool:
    """Read a pool from the documents of its file. Raises InvalidPool."""
    found = {str(document.get("kind")): document for document in documents if isinstance(document, dict)}
    if set(found) != {"Deployment", "ScaledObject"} or len([d for d in documents if d is not None]) != 2:
        raise _flawed("", "a pool is one Deployment and one ScaledObject")
    scaled = scaledobject.parse(found["ScaledObject"])
    try:
        return _pool(found["Deployment"], scaled)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
        raise _flawed("", f"the Deployment is not as Kubernetes has it: {type(exc).__name__}: {exc}") from exc


def _pool(deployment: Mapping[str, Any], scaled: ScaledObject) -> Pool:
    name = _at(deployment, "metadata", "name")
    if scaled.spec.scale_target_ref.name != name:
        raise _flawed("/spec/scaleTargetRef/name", f"must be the Deployment's, {name!r}")
    pod = _at(deployment, "spec", "template", "spec")
    containers = _at(pod, "containers")
    if "replicas" in deployment["spec"]:
        raise _flawed("/spec/replicas", "the scaler decides that: leave it out, or each apply undoes what it did")
    worker = containers[0]
    command = tuple(str(word) for word in (*worker.get("command", ()), *worker.get("args", ())))
    queues = tuple((_option(command, "-Q", "--queues") or "").split(","))
    if unknown := [queue for queue in queues if queue not in set(Queue)]:
        raise _flawed("/spec/template/spec/containers/0", f"-Q: there is no queue {unknown[0]!r}; see tasks/names.py")
    slots = _option(command, "-c", "--concurrency") or ""
    if not slots.isdecimal() or int(slots) < 1:
        raise _flawed("/spec/template/spec/containers/0", "-c: say how many steps a replica works on at a time")
    return Pool(
        name=name,
        namespace=scaled.metadata.namespace,
        command=command,
        env={item["name"]: item["value"] for item in worker.get("env", ()) if "value" in item},
        names=tuple(item["name"] for item in worker.get("env", ()) if _is_name(item)),
        queues=queues,
        slots=int(slots),
        grace_seconds=float(pod.get("terminationGracePeriodSeconds", 30)),
        scaled=scaled,
        rules=tuple(
            triggers.parse(trigger, name, f"/spec/triggers/{place}", every=scaled.spec.polling_interval)
            for place, trigger in enumerate(scaled.spec.triggers)
        ),
    )


def _is_name(variable: Mapping[str, Any]) -> bool:
    return bool(variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath") == "metadata.name")


def _option(command: Sequence[str], *names: str) -> str | None:
    for word, following in zip(command, (*command[1:], ""), strict=True):
        if word in names:
            return following
        for name in names:
            if name.startswith("--") and word.startswith(f"{name}="):
                return word.removeprefix(f"{name}=")
    return None


def _at(document: Any, *path: str) -> Any:
    for depth, part in enumerate(path):
        if not isinstance(document, dict) or part not in document:
            raise _flawed("".join(f"/{p}" for p in path[: depth + 1]), "is missing")
        document = document[part]
    return document


def _flawed(pointer: str, detail: str) -> InvalidPool:
    return InvalidPool([Flaw(pointer=pointer, detail=detail)])
