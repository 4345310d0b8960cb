"""Everything that can go wrong with what acts by the clock, a sentence each."""


class SchedulerError(Exception):
    """Base of all errors that this package raises."""


class ConfigurationError(SchedulerError):
    """An environment variable is missing or has a value that cannot be used."""


class BrokerUnavailable(SchedulerError):
    """The broker does not take messages now; the same call may work later."""
