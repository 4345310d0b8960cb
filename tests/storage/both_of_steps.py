"""One thing done twice: in the model of jobs and steps, and in the database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from storage import losses, steps
from storage.database import Database, PlatformTx, Tx
from storage.errors import StorageError
from storage.model import Claim, PublicError, TenantId
from tests.storage import model_of_steps as model
from tests.storage.model_of_jobs import World

Write = tuple[Callable[[], object], Callable[[Tx], object]]  # for the model, and for the database

BOOM = PublicError(code="boom", message="it broke")
FINISHES = ("succeed", "fail", "retry", "retry later", "retry uncounted")
INTERRUPTIONS = ("lose", "lose if lapsed", "hand back")
LOOKS = ("check", "report")


@dataclass(frozen=True, kw_only=True, slots=True)
class Both:
    """Acts on both sides, where the same must come out: a value, or a kind of error."""

    database: Database
    tenant: TenantId

    def act(self, modelled: Callable[[], object], real: Callable[[Tx], object]) -> None:
        def asked() -> object:
            with self.database.begin(self.tenant) as tx:
                return real(tx)

        expected = _outcome(modelled)
        assert _outcome(asked) == expected

    def act_on_platform(self, modelled: Callable[[], object], real: Callable[[PlatformTx], object]) -> None:
        def asked() -> object:
            with self.database.platform() as tx:
                return real(tx)

        expected = _outcome(modelled)
        assert _outcome(asked) == expected

    def change(self, statement: str, row: str) -> None:
        """Let time pass for a row: `%(id)s` in the statement names it."""
        with self.database.begin(self.tenant) as tx:
            assert tx.sql(f"{statement} AND tenant_id = %(tenant)s", id=row).rowcount == 1


def writes(world: World, claim: Claim) -> Mapping[str, Write]:
    """What the holder of a claim may do, or one who takes it from him."""
    result = {"n": claim.attempt, "outputs": ["small"]}
    boom = BOOM.code
    return {
        "succeed": (lambda: model.succeed(world, claim, result), lambda tx: steps.succeed(tx, claim, result)),
        "fail": (lambda: model.fail(world, claim, boom), lambda tx: steps.fail(tx, claim, BOOM)),
        "retry": (
            lambda: model.retry(world, claim, boom, 0),
            lambda tx: steps.retry(tx, claim, BOOM, delay_seconds=0),
        ),
        "retry later": (
            lambda: model.retry(world, claim, boom, 60),
            lambda tx: steps.retry(tx, claim, BOOM, delay_seconds=60),
        ),
        "retry uncounted": (
            lambda: model.retry(world, claim, boom, 0, counts=False),
            lambda tx: steps.retry(tx, claim, BOOM, delay_seconds=0, counts=False),
        ),
        "lose": (
            lambda: model.lose(world, claim, boom, False),
            lambda tx: losses.lose(tx, claim, BOOM, only_if_expired=False),
        ),
        "lose if lapsed": (
            lambda: model.lose(world, claim, boom, True),
            lambda tx: losses.lose(tx, claim, BOOM, only_if_expired=True),
        ),
        "hand back": (lambda: model.hand_back(world, claim, boom), lambda tx: losses.hand_back(tx, claim, BOOM)),
        "end stopped": (lambda: model.end_stopped(world, claim), lambda tx: steps.end_stopped(tx, claim)),
        "check": (lambda: model.check(world, claim), lambda tx: steps.check(tx, claim)),
        "report": (lambda: model.report(world, claim, 0.5), lambda tx: steps.report(tx, claim, 0.5, {})),
    }


def _outcome(act: Callable[[], object]) -> object:
    try:
        return act()
    except StorageError as exc:
        return type(exc)
