"""Log lines that are kept with the job that they are about; they go when it goes. Read by storage.job_log_pages."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from storage.database import Database
from storage.errors import NotStorable
from storage.model import JobId, StepId, TenantId

MOST_LINES = 1000
"""Of one job. The last of them says that it is the last; several processes at once may go a little beyond."""

LEVELS = ("info", "warning", "error", "critical")
FULL = "logs.full"

# Alone in its transaction, so that it is the one whose commit does not wait for the disk: lines that a crash of the
# database costs are no great loss, and nobody waits for them. The order of the jobs is the same everywhere.
_WRITE = """
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), given AS (
  SELECT item.*, row_number() OVER (PARTITION BY tenant, job ORDER BY place) AS nth
  FROM ROWS FROM (jsonb_to_recordset(%(lines)s::jsonb)
    AS (tenant text, job text, at timestamptz, level text, process text, step text, attempt int, event text,
        fields jsonb)
  ) WITH ORDINALITY
    AS item (tenant, job, at, level, process, step, attempt, event, fields, place)
), room AS (
  SELECT g.tenant, g.job, k.kept
  FROM (SELECT DISTINCT tenant, job FROM given) AS g
  JOIN jobs j ON j.tenant_id = g.tenant AND j.id = g.job
  CROSS JOIN LATERAL (
    SELECT count(*) AS kept
    FROM (SELECT FROM job_logs l WHERE l.tenant_id = g.tenant AND l.job_id = g.job LIMIT %(most)s) AS had
  ) AS k
)
INSERT INTO job_logs (tenant_id, job_id, at, level, process, step_id, attempt, event, fields)
SELECT g.tenant, g.job, g.at, CASE WHEN r.kept + g.nth = %(most)s THEN 'warning' ELSE g.level END, g.process, g.step,
  g.attempt, CASE WHEN r.kept + g.nth = %(most)s THEN %(full)s ELSE g.event END,
  CASE WHEN r.kept + g.nth = %(most)s THEN jsonb_build_object('lines', %(most)s) ELSE g.fields END
FROM quick CROSS JOIN given g JOIN room r ON r.tenant = g.tenant AND r.job = g.job
WHERE r.kept + g.nth <= %(most)s
ORDER BY g.tenant, g.job, g.place
"""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PERHAPS_UNSTORABLE = re.compile(r"\\u0000|\\ud[89a-f]")  # as JSON has them

MESSAGE, ERROR, PRIVATE = "_message", "_error", "_private"
"""Where, among the stored fields, the words of a line stand, its error, and the names of fields for operators alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLine:
    """A line about a job. `fields` has only JSON; `error` has type, message and stack.

    `private` names the fields whose words come from an error of the platform.
    """

    tenant_id: TenantId
    job_id: JobId
    at: str  # RFC 3339
    level: str
    process: str
    event: str
    step_id: StepId | None = None
    attempt: int | None = None
    text: str = ""
    fields: Mapping[str, Any]
    error: Mapping[str, str] | None = None
    private: frozenset[str] = frozenset()


def write(database: Database, lines: Iterable[JobLine]) -> int:
    """Keep the lines whose jobs are there and have room; returns how many could not be stored.

    Raises DatabaseUnavailable and DatabaseRefused: then none of them is kept.
    """
    documents = [_document(line) for line in lines]
    try:
        _insert(database, documents)
    except NotStorable:  # one of them, or a job that was deleted in this moment: the others are kept
        refused = 0
        for document in documents:
            try:
                _insert(database, [document])
            except NotStorable:
                refused += 1
        return refused
    return 0


def _insert(database: Database, documents: list[dict[str, Any]]) -> None:
    text = json.dumps(documents, default=str)
    if _PERHAPS_UNSTORABLE.search(text):
        text = json.dumps(_storable(documents))
    with database.platform_read() as tx:
        tx.sql(_WRITE, lines=text, most=MOST_LINES, full=FULL)


def _document(line: JobLine) -> dict[str, Any]:
    hidden = {MESSAGE: line.text, ERROR: line.error and dict(line.error), PRIVATE: sorted(line.private)}
    return {
        "tenant": line.tenant_id,
        "job": line.job_id,
        "at": line.at,
        "level": line.level,
        "process": line.process,
        "step": line.step_id,
        "attempt": line.attempt,
        "event": line.event,
        "fields": {**line.fields, **{name: value for name, value in hidden.items() if value}},
    }


def _storable(value: Any) -> Any:
    """The value without what PostgreSQL cannot keep in a text: NUL, and halves of surrogate pairs."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_storable(name): _storable(one) for name, one in value.items()}
    return [_storable(one) for one in value] if isinstance(value, list) else value
