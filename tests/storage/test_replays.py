"""Dead letters by reason, shares of them, and jobs that run again; steps' states are in test_state_machine.py."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import jobs, replays, steps
from storage.database import Database
from storage.errors import JobNotEnded, NothingToRetry
from storage.model import Job, JobId, PublicError, TenantId
from storage.replays import DeadLetterFilter, DeadLetters
from storage.tenants import ensure
from tests.documents import CHAIN, ECHO, put_in, taken

ANY = DeadLetterFilter()
CALL = {"steps": {"say": {"kind": "http.call", "url": "https://example.org/"}}}


def failed(database: Database, tenant: TenantId, code: str, message: str = "it broke", *, call: bool = False) -> Job:
    job = put_in(database, tenant, CALL if call else ECHO)
    with database.begin(tenant) as tx:
        steps.fail(tx, taken(database, tenant, job, "say"), PublicError(code=code, message=message))
    return job


def letters(
    database: Database, tenant: TenantId, chosen: DeadLetterFilter = ANY, *, limit: int = 9
) -> list[DeadLetters]:
    with database.read(tenant) as tx:
        return replays.dead_letters(tx, chosen, limit=limit)


def matching(database: Database, tenant: TenantId, chosen: DeadLetterFilter) -> list[JobId]:
    with database.read(tenant) as tx:
        return replays.matching_jobs(tx, chosen)


def test_dead_letters_are_grouped_by_kind_and_reason_the_largest_first(database: Database, tenant: TenantId) -> None:
    calls = [failed(database, tenant, "http_status", f"answered 503 to request {n:08x}", call=True) for n in range(3)]
    echoes = [failed(database, tenant, "boom") for _ in range(2)]
    failed(database, tenant, "http_status", "answered 404 to request 00000001", call=True)
    found = letters(database, tenant)
    assert [(one.kind, one.code, one.count) for one in found] == [
        ("http.call", "http_status", 3),
        ("echo", "boom", 2),
        ("http.call", "http_status", 1),
    ]
    assert [one.newest_job for one in found[:2]] == [calls[-1].id, echoes[-1].id]
    assert found[0].oldest < found[0].newest
    assert letters(database, tenant, limit=1) == found[:1]


def test_steps_that_were_canceled_behind_a_failed_one_are_no_dead_letters(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant, CHAIN)
    with database.begin(tenant) as tx:
        steps.fail(tx, taken(database, tenant, job, "first"), PublicError(code="boom", message="it broke"))
    assert [(one.code, one.count) for one in letters(database, tenant)] == [("boom", 1)]


def test_dead_letters_are_chosen_by_kind_reason_code_and_time(database: Database, tenant: TenantId) -> None:
    one, two = failed(database, tenant, "boom"), failed(database, tenant, "bang", call=True)
    by_code = {letter.code: letter for letter in letters(database, tenant)}
    at = by_code["bang"].oldest
    for chosen, expected in {
        DeadLetterFilter(): [one.id, two.id],
        DeadLetterFilter(kind="echo"): [one.id],
        DeadLetterFilter(code="bang"): [two.id],
        DeadLetterFilter(fingerprint=by_code["boom"].fingerprint): [one.id],
        DeadLetterFilter(failed_after=at): [two.id],
        DeadLetterFilter(failed_before=at): [one.id],
        DeadLetterFilter(failed_after=at + timedelta(seconds=1)): [],
        DeadLetterFilter(kind="echo", code="bang"): [],
    }.items():
        assert matching(database, tenant, chosen) == expected, chosen


def test_a_job_with_several_dead_letters_is_named_once(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant, {"steps": {"a": {"kind": "echo"}, "b": {"kind": "echo"}}})
    for name in ("a", "b"):
        with database.begin(tenant) as tx:
            steps.fail(tx, taken(database, tenant, job, name), PublicError(code="boom", message="it broke"))
    assert matching(database, tenant, ANY) == [job.id]
    assert letters(database, tenant)[0].count == 2


def test_what_runs_again_or_belongs_to_others_is_no_dead_letter(database: Database, tenant: TenantId) -> None:
    job = failed(database, tenant, "boom")
    with database.platform() as tx:
        stranger = ensure(tx, "stranger")
    assert letters(database, stranger) == []
    with database.begin(stranger) as tx:
        assert not replays.retry(tx, job.id)
    with database.begin(tenant) as tx:
        assert replays.retry(tx, job.id)
    assert letters(database, tenant) == []


def test_a_replay_replaces_the_parameters_of_the_steps_it_names(database: Database, tenant: TenantId) -> None:
    document = {"steps": {"a": {"kind": "echo", "message": "old"}, "b": {"kind": "echo", "message": "kept"}}}
    job = put_in(database, tenant, document)
    for name in ("a", "b"):
        with database.begin(tenant) as tx:
            steps.fail(tx, taken(database, tenant, job, name), PublicError(code="boom", message="it broke"))
    with database.begin(tenant) as tx:
        assert replays.retry(tx, job.id, params={"a": {"message": "new"}})
    assert taken(database, tenant, job, "a").params == {"message": "new"}
    assert taken(database, tenant, job, "b").params == {"message": "kept"}


def test_a_job_that_succeeded_runs_again_only_as_a_whole(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    with database.begin(tenant) as tx:
        steps.succeed(tx, taken(database, tenant, job, "say"), {"n": 1})
    with pytest.raises(NothingToRetry), database.begin(tenant) as tx:
        replays.retry(tx, job.id)
    with database.begin(tenant) as tx:
        assert replays.retry(tx, job.id, whole=True)
        found = jobs.find(tx, job.id)
    assert found is not None
    assert (found.steps[0].result, found.finished_at, found.progress) == (None, None, 0.0)


def test_of_replays_at_the_same_time_one_happens(database: Database, tenant: TenantId) -> None:
    job = failed(database, tenant, "boom")

    def run_again(_: int) -> bool:
        try:
            with database.begin(tenant) as tx:
                return replays.retry(tx, job.id)
        except JobNotEnded:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run_again, range(8))) == 1


@given(count=st.integers(0, 300), percent=st.integers(1, 100), limit=st.integers(1, 400))
def test_a_share_is_rounded_up_and_spread_evenly(count: int, percent: int, limit: int) -> None:
    matching = [JobId(f"job_{number}") for number in range(count)]
    places = [matching.index(job) for job in replays.share(matching, percent, limit=limit)]
    exact = Fraction(count * percent, 100)
    assert len(places) == min(-(-exact.numerator // exact.denominator), limit)
    gaps = {later - sooner for sooner, later in zip(places, [*places[1:], count], strict=True)} if places else {1}
    assert min(gaps) >= 1, "each at most once, in their order"
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no answer to job_01m8arnghceqyvxw3dyahfrpvz", "no answer to job_01m8arnghdecfve25aqwkaaxp0"),
        ("request 6f1e2d3c4b5a failed", "request 0a1b2c3d4e5f failed"),
        ("waited 12345 ms", "waited 9876543 ms"),
        ("trace 0198c2f1-93a5-7cbe-a1d2-0f9c6e5b4a39", "trace 7d5f0f5e-2bd1-4c4e-9f0a-b6a4f3c2d1e0"),
    ],
)
def test_errors_that_differ_by_ids_and_long_numbers_have_one_reason(one: str, other: str) -> None:
    assert PublicError(code="boom", message=one).fingerprint == PublicError(code="boom", message=other).fingerprint


@pytest.mark.parametrize(("one", "other"), [("answered 503", "answered 404"), ("no such host", "no such file")])
def test_errors_that_say_something_else_have_another_reason(one: str, other: str) -> None:
    error = PublicError(code="boom", message=one)
    assert error.fingerprint != PublicError(code="boom", message=other).fingerprint
    assert error.fingerprint != PublicError(code="bang", message=one).fingerprint
    assert error.fingerprint == PublicError(code="boom", message=one).fingerprint
    assert replace(error, message=other).fingerprint == error.fingerprint, "a reason that was given stands"
