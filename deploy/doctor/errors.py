"""What can go wrong with the doctor itself."""


class NoPlatform(Exception):
    """No platform runs where one was said to run."""
