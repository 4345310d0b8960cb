"""JSON values as rows can carry them. Pure."""

import re

from storage.model import Json

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Json) -> Json:
    """The value with what PostgreSQL cannot store in text, NUL and halves of surrogate pairs, replaced by U+FFFD."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(str(key)): storable(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [storable(child) for child in value]
    return value


def depth(value: Json, limit: int) -> int:
    """How many arrays and objects stand within one another; not looked at beyond `limit` + 1."""
    level, found = _children([value]), 0
    while level is not None and found <= limit:
        found += 1
        level = _children(level)
    return found


def _children(values: list[Json]) -> list[Json] | None:
    """What stands in the arrays and objects among the values; None if there are none of these."""
    containers = [value for value in values if isinstance(value, dict | list | tuple)]
    if not containers:
        return None
    return [child for one in containers for child in (one.values() if isinstance(one, dict) else one)]
