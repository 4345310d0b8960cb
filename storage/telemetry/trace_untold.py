"""What stands for a span that nobody will see. Pure."""

from types import TracebackType

Value = str | int | float | bool


class Untold:
    """Takes everything and tells nothing; `traceparent` carries the decision on that this is so, if there was one."""

    __slots__ = ("traceparent",)

    is_recording = False

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent

    def __enter__(self) -> "Untold":
        return self

    def __exit__(
        self, raised: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None
    ) -> None:
        return None

    def set(self, **attributes: Value | None) -> None:
        """Nothing."""

    def rename(self, name: str) -> None:
        """Nothing."""

    def fail(self, reason: str) -> None:
        """Nothing."""


NOTHING = Untold(None)
