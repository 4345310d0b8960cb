"""TypeIDs: a UUIDv7 in Crockford's base 32, with a prefix that says what it is the id of. Pure."""

from typeid import TypeID
from typeid.core.errors import TypeIDException


def new_id(prefix: str) -> str:
    """An id that no other has, and that sorts by the time of its making."""
    return str(TypeID(prefix=prefix))


def is_id(text: str, prefix: str) -> bool:
    """Whether the text is the canonical spelling of an id with this prefix."""
    try:
        parsed = TypeID.from_string(text)
    except TypeIDException:
        return False
    return parsed.prefix == prefix and str(parsed) == text
