"""TypeIDs: a UUIDv7 in Crockford's base 32, with a prefix that says what it is the id of. Pure."""

from datetime import datetime

from typeid import TypeID
from typeid.core.errors import TypeIDException

_LAST_MS = 2**48 - 1
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's; an id has 26 of them


def new_id(prefix: str) -> str:
    """An id that no other has, and that sorts by the time of its making."""
    return str(TypeID(prefix=prefix))


def least_id(prefix: str, at: datetime) -> str:
    """What no id that is made at this time or later sorts before, whatever it is the id of."""
    least = min(max(int(at.timestamp() * 1000), 0), _LAST_MS) << 80  # the time is what a UUIDv7 begins with
    return f"{prefix}_{''.join(_DIGITS[least >> 5 * place & 31] for place in reversed(range(26)))}"


def is_id(text: str, prefix: str) -> bool:
    """Whether the text is the canonical spelling of an id with this prefix."""
    try:
        parsed = TypeID.from_string(text)
    except TypeIDException:
        return False
    return parsed.prefix == prefix and str(parsed) == text
