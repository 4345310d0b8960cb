"""The documents about secrets, and how rows become them. A value is read, and never shown."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from storage.secrets import Secret
from tasks.job_document import Document

MAX_VALUE = 8192  # characters
NAME_PATTERN = "^[a-z][a-z0-9_]{0,63}$"
VALUE_PATTERN = "^[!-~]([ -~]*[!-~])?$"
NAME_RULE = "must be 1 to 64 lower-case letters, digits and '_', and begin with a letter: it stands in {{secrets.name}}"

_NAME = re.compile(NAME_PATTERN.removesuffix("$"))
_VALUE = re.compile(VALUE_PATTERN.removesuffix("$"))


def is_name(text: str) -> bool:
    """Whether a secret may be called so."""
    return _NAME.fullmatch(text) is not None


def _named(name: str) -> str:
    if not is_name(name):
        raise ValueError(NAME_RULE)
    return name


def _carriable(value: SecretStr) -> SecretStr:
    """What a header can carry as it is."""
    if not _VALUE.fullmatch(value.get_secret_value()):
        raise ValueError("must be ASCII characters that can be seen, with spaces only between them")
    return value


Name = Annotated[
    str,
    AfterValidator(_named),
    Field(json_schema_extra={"pattern": NAME_PATTERN}, description="How it is called: {{secrets.name}}."),
]
Value = Annotated[
    SecretStr,
    Field(
        min_length=1,
        max_length=MAX_VALUE,
        json_schema_extra={"pattern": VALUE_PATTERN},
        description="ASCII characters that can be seen, with spaces only between them: headers carry it. It is not "
        "shown again.",
    ),
    AfterValidator(_carriable),
]


class SecretValue(Document):
    """A value to keep, in place of the one before if there is one."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    value: Value


class SecretRequest(SecretValue):
    """A secret to keep."""

    name: Name


class SecretDocument(Document):
    """What is shown of a secret: all but its value. `version` is 1 for a new one and goes up with every new value."""

    name: str
    version: int
    created_at: datetime
    updated_at: datetime


class SecretPage(Document):
    """Secrets by name; `next_cursor` is null on the last page."""

    data: list[SecretDocument]
    next_cursor: str | None


def secret_document(secret: Secret) -> SecretDocument:
    """The secret without its value."""
    return SecretDocument(
        name=secret.name, version=secret.version, created_at=secret.created_at, updated_at=secret.updated_at
    )
