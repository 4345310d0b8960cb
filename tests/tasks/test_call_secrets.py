"""Secrets in calls: they go where they are meant to go, and nowhere else."""

import pytest

from storage import secrets
from storage.model import StepState, TenantId
from tasks.process import Process
from tests.sink import Answer, Sink
from tests.tasks.test_call import call, called, stored
from tests.tasks.test_kinds import work_off

TOKEN = "tok-3f9a77c1d2e84b"


def keep_secret(process: Process, tenant: TenantId, name: str, value: str) -> None:
    assert process.settings.keyring is not None
    with process.database.begin(tenant) as tx:
        secrets.put(tx, process.settings.keyring, name, value)


@pytest.fixture
def echoing(hook: Sink) -> Sink:
    """A third party that says what it was sent."""
    hook.answers = [Answer(body=f'{{"you sent": "Bearer {TOKEN}"}}'.encode())]
    return hook


def rows_with(process: Process, text: str) -> list[str]:
    """The tables in which the text stands, in any column."""
    with process.database.platform_read() as tx:
        tables = [row[0] for row in tx.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        return [
            table
            for table in tables
            if tx.sql(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE %(text)s", text=f"%{text}%").scalar_one()
        ]


def test_a_secret_goes_where_it_is_meant_to_and_nowhere_else(
    process: Process, tenant: TenantId, echoing: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    keep_secret(process, tenant, "crm", TOKEN)
    secret = {"headers": {"Authorization": "Bearer {{secrets.crm}}"}, "query": {"key": "{{secrets.crm}}"}}
    step = called(process, tenant, call(echoing, **secret))
    [got] = echoing.received
    assert got.headers["Authorization"] == f"Bearer {TOKEN}"
    assert got.path == f"/hook?key={TOKEN}"
    assert step.result["body"] == {"you sent": "Bearer [secret crm]"}
    echoing.answers = [Answer(status=403, body=TOKEN.encode(), headers={"X-Request-Id": TOKEN})]
    refused = called(process, tenant, call(echoing, **secret))
    assert refused.error is not None
    assert refused.error.message.endswith("answered 403: [secret crm]")
    gone = call(echoing, **secret | {"url": f"http://127.0.0.1:1/{TOKEN[:3]}"})
    called(process, tenant, gone)
    assert rows_with(process, TOKEN) == []
    assert "steps" in rows_with(process, "[secret crm]")
    assert TOKEN not in caplog.text


def test_a_secret_in_a_stored_answer_is_hidden_wherever_it_is_cut(
    process: Process, tenant: TenantId, hook: Sink
) -> None:
    keep_secret(process, tenant, "crm", TOKEN)
    body = b"".join(b"x" * n + TOKEN.encode() for n in range(0, 9000, 171))
    hook.answers = [Answer(body=body, headers={"Content-Type": "text/plain"})]
    asked = call(hook, headers={"A": "{{secrets.crm}}"}, answer={"store_as": "output"})
    job = work_off(process, tenant, asked)
    assert stored(process, tenant, job, "call", "answer") == body.replace(TOKEN.encode(), b"[secret crm]")


def test_a_secret_that_is_not_there_fails_by_its_name(process: Process, tenant: TenantId, hook: Sink) -> None:
    step = called(process, tenant, call(hook, headers={"A": "{{secrets.crm}}"}))
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "secret_missing")
    assert "'crm'" in step.error.message
