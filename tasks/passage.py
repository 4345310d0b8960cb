"""What a step that calls a third party carries with it: its permit, and how the call went."""

from dataclasses import dataclass

from tasks.budget import Held, Permit, Went


@dataclass(kw_only=True, slots=True)
class Passage:
    """The permit of a step that is on its way, and how its call went so far; without a permit it needs none.

    `late` says why it may not go before its deadline: then it only comes to be told so.
    """

    permit: Permit | None = None
    late: Held | None = None
    went: Went = Went.NEITHER
    seconds: float = 0.0
    retry_after: float | None = None

    def tell(self, went: Went, *, seconds: float, retry_after: float | None = None) -> None:
        """Say how the call went: it is told to the budget when the step leaves."""
        self.went, self.seconds, self.retry_after = went, seconds, retry_after
