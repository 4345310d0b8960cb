"""Everything that can go wrong on the floor, a sentence each."""


class StorageError(Exception):
    """Base of all errors that this package raises."""


class ConfigurationError(StorageError):
    """An environment variable is missing or has a value that cannot be used."""


class DatabaseUnavailable(StorageError):
    """PostgreSQL does not answer now; the same call may work later."""


class SessionsUnavailable(StorageError):
    """The Redis that keeps people's sign-ins does not answer now; keys work without it."""


class RowBusy(DatabaseUnavailable):
    """Somebody else holds the row for longer than we were willing to wait."""


class DatabaseRefused(StorageError):
    """PostgreSQL will not do this, however often it is asked: the statement or the data is wrong."""


class NotStorable(DatabaseRefused):
    """A row cannot be stored: a value does not fit, or breaks a rule of its table."""


class ObjectMissing(StorageError):
    """No object stands under this key."""


class ObjectExists(StorageError):
    """An object already stands under this key and the put was conditional."""


class ObjectStoreUnavailable(StorageError):
    """The object store does not answer, or refuses us; the same call may work later."""


class LeaseLost(StorageError):
    """The step is no longer ours: a newer attempt holds it, or it has ended; nothing was written."""


class JobStopping(StorageError):
    """The job is being canceled, or its deadline has passed: work on its steps is not wanted any more."""


class JobEnded(StorageError):
    """The job has ended already, in the state that the message names."""


class JobNotEnded(StorageError):
    """The job has not ended yet."""


class NothingToRetry(StorageError):
    """No step of the job has ended without success."""


class StepsNotRetried(StorageError):
    """These steps, named by `names`, have succeeded and do not run again, so their parameters cannot change."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


class UniqueKeyTaken(StorageError):
    """Another job, which the message names, holds the job's unique key."""


class ScheduleNameTaken(StorageError):
    """Another schedule of the tenant has the name, which the message says."""


class TooManyVersions(StorageError):
    """The template, which the message names, has as many versions as one may have."""


class IdempotencyInFlight(StorageError):
    """Another request with this Idempotency-Key is being answered right now."""


class IdempotencyMismatch(StorageError):
    """This Idempotency-Key was used before, for another payload."""


class SecretNameTaken(StorageError):
    """The tenant has a secret of the name, which the message says."""


class SecretUnreadable(StorageError):
    """A sealed value cannot be opened: the key that sealed it is not here, or the row was tampered with."""


class ObjectTooLarge(StorageError):
    """The object has more bytes than the store, or the caller, takes."""
