"""The tenant's secrets, opened for what a step sends to a third party."""

from collections.abc import Collection, Mapping

from storage import secrets
from storage.errors import SecretUnreadable
from tasks.errors import StepFailed, StepRetryable
from tasks.work import Work


def opened_secrets(work: Work, names: Collection[str]) -> Mapping[str, str]:
    """The values of the secrets of these names. Raises StepFailed if one is missing, StepRetryable if none opens."""
    if not names:
        return {}
    keyring = work.process.settings.keyring
    if keyring is None:
        message = "this worker cannot open secrets: its operator has to set SECRET_KEY"
        raise StepRetryable("secrets_unavailable", message)
    try:
        with work.process.database.read(work.claim.tenant_id) as tx:
            opened = secrets.opened(tx, keyring, names)
    except SecretUnreadable as exc:
        raise StepRetryable("secrets_unavailable", f"a secret cannot be opened: {exc}") from exc
    if missing := sorted(set(names) - opened.keys()):
        message = f"there is no secret {missing[0]!r}: store it with PUT /v1/secrets/{missing[0]}"
        raise StepFailed("secret_missing", message)
    return opened
