"""Fields that only schedules applied as code have."""

from storage.database import Database
from tests.tasks.test_applying import find, put, wanted


def test_what_is_applied_may_have_the_operators_own_fields(database: Database) -> None:
    put(database, wanted(sentry_monitor="nightly"))
    assert find(database).document["sentry_monitor"] == "nightly"
    assert not put(database, wanted(sentry_monitor="nightly")).changed
    assert list(put(database, wanted()).changed) == [("acme", "a")]
    assert find(database).document["sentry_monitor"] is None
