"""What an engine's pictures are known by: every process must say the same of it."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest

from tasks.image_identity import PIXELS, identity
from tasks.image_params import EngineName

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
NAMED = re.compile(r" ([a-z-]+) (\S+)")


def test_the_engine_that_is_asked_for_counts_before_the_operators() -> None:
    assert identity("pillow") == identity("vips", "pillow")
    assert identity("vips") == identity("pillow", "vips")
    assert identity("vips") != identity("pillow")
    assert identity("vips").startswith(f"vips/{PIXELS} ")


@pytest.mark.parametrize("engine", [name for name in get_args(EngineName) if name != "auto"])
def test_it_names_the_versions_of_what_everyone_has_and_of_nothing_else(engine: EngineName) -> None:
    """An extra that the API lacks, and workers have, would part them."""
    needed = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    always = {re.split(r"[^\w-]", one)[0] for one in needed}
    named = dict(NAMED.findall(identity("vips", engine)))

    assert named == {package: version(package) for package in named}
    assert {"pillow", "pi-heif"} <= named.keys() <= always
