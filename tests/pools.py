"""Pools for tests: the project's own with other numbers, so that a test says how many workers there are."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from scheduler.pools import FOLDER


def fixed(folder: Path, *, without: Collection[str] = ("ai",)) -> Path:
    """Copies of the project's pools in which each has one worker, always; returns the folder."""
    folder.mkdir(parents=True)
    for file in FOLDER.glob("*.yaml"):
        if file.stem not in without:
            write(folder / file.name, file, minReplicaCount=1, maxReplicaCount=1)
    return folder


def write(target: Path, source: Path, **spec: Any) -> None:
    """Write a copy of a pool's file, with other values in the `spec` of its ScaledObject."""
    deployment, scaled = yaml.safe_load_all(source.read_text())
    scaled["spec"] |= spec
    target.write_text(yaml.safe_dump_all([deployment, scaled]))
