"""Fills a database, set by set, with what the platform's own path would have left there; see scripts for the rows.

Triggers and foreign keys are left out on the way (they cost most of the time); what triggers would have counted is
counted at the end. Indexes grow row by row as they do in life.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from tests.bench.depth import scripts

CHUNK = 50_000
BATCH = "bat_" + 25 * "0" + "1"  # one batch of 10,000 jobs is in the middle of what has ended
HOURS = 24  # over which finished jobs are spread; what waits came in the last hour
TENANTS = (
    "demo",
    "second",
    "third",
)  # that have 70, 20 and 10 of a hundred jobs; the first is whom the API's key is of

# A TypeID: a UUIDv7 in Crockford's base 32; ten digits of it are the time in milliseconds.
_TIME = " || ".join(
    f"substr('0123456789abcdefghjkmnpqrstvwxyz', ((ms >> {45 - 5 * place}) & 31)::int + 1, 1)" for place in range(10)
)

_PREPARE = """
CREATE UNLOGGED TABLE fill_steps AS SELECT * FROM jsonb_to_recordset(%(steps)s::jsonb) AS s (
  shape text, fate text, position smallint, name text, kind text, queue text, params jsonb, uses text[], state text,
  attempt int, failures int, result jsonb, failed boolean, waiting_on int);
CREATE UNLOGGED TABLE fill_attempts AS SELECT * FROM jsonb_to_recordset(%(attempts)s::jsonb) AS s (
  shape text, fate text, position smallint, number int, outcome text);
CREATE UNLOGGED TABLE fill_events AS SELECT * FROM jsonb_to_recordset(%(events)s::jsonb) AS s (
  shape text, fate text, seq int, type text, data jsonb, failed boolean);
"""

_DROP = "DROP TABLE fill_steps, fill_attempts, fill_events"

# The place of a job's ids: its time, and digits that no other job has.
_JOBS = f"""
CREATE TEMPORARY TABLE chosen ON COMMIT DROP AS
SELECT tenant, line, 'job_' || place AS id, shape, fate, created, created + interval '1 s' AS ended, place,
       CASE WHEN fate IN ('failed', 'retried', 'rejected') THEN jsonb_build_object(
         'code', 'internal_error', 'message', 'the step failed unexpectedly, for reason ' || reason,
         'fingerprint', left(md5(shape || reason), 12)) END AS error
FROM (
  SELECT (%(tenants)s::text[])[CASE WHEN i %% 10 < 7 THEN 1 WHEN i %% 10 < 9 THEN 2 ELSE 3 END] AS tenant,
         CASE WHEN %(shape)s <> '' THEN %(shape)s WHEN i %% 7 = 0 THEN 'picture' ELSE 'echo' END AS shape,
         CASE WHEN %(queued)s THEN 'queued'
              ELSE coalesce((%(fates)s::text[])[1 + (i::bigint * 7919 %% 1000)::int], 'succeeded') END AS fate,
         CASE WHEN NOT %(queued)s AND i / 10000 = %(count)s / 20000 THEN 1 + i %% 10000 END AS line,
         i %% {scripts.REASONS} AS reason, to_timestamp(ms / 1000.0) AS created,
         {_TIME} || 'e' || substr(digits, 1, 2) || '8' || substr(digits, 3, 12) AS place
  FROM (
    SELECT i, md5(i::text) AS digits,
           (extract(epoch FROM now()) * 1000 - %(seconds)s * 1000.0 * (1 - i::float / %(count)s))::bigint AS ms
    FROM generate_series(%(first)s::int, %(last)s::int) AS i
  ) AS numbered
) AS made
"""

_OF_JOBS = """
INSERT INTO jobs (tenant_id, id, state, priority, input, metadata, error, steps_total, steps_open, steps_unmet,
                  event_seq, created_at, started_at, finished_at, stop_as, stop_at, batch_id, batch_line)
SELECT c.tenant, c.id, CASE c.fate WHEN 'retried' THEN 'succeeded' WHEN 'rejected' THEN 'failed' ELSE c.fate END, 3,
       CASE WHEN c.shape = 'picture' THEN jsonb_build_object('key', c.tenant || '/' || c.id || '/input', 'filename',
         'photo.jpg', 'content_type', 'image/jpeg', 'bytes', 2411724, 'sha256', md5(c.id) || md5(c.place)) END,
       '{}', CASE WHEN c.fate <> 'retried' THEN c.error END, s.total, s.open, s.unmet, e.seq, c.created,
       CASE WHEN s.tried THEN c.created + interval '5 ms' END, CASE WHEN c.fate <> 'queued' THEN c.ended END,
       CASE WHEN c.fate = 'rejected' THEN 'failed' WHEN c.fate IN ('canceled', 'expired') THEN c.fate END,
       CASE WHEN c.fate IN ('rejected', 'canceled', 'expired') THEN c.ended END,
       CASE WHEN c.line IS NOT NULL THEN %(batch)s END, c.line
FROM chosen c JOIN (
  SELECT shape, fate, count(*) AS total, count(*) FILTER (WHERE state IN ('queued', 'waiting')) AS open,
         count(*) FILTER (WHERE state IN ('failed', 'canceled', 'expired')) AS unmet, max(attempt) > 0 AS tried
  FROM fill_steps GROUP BY shape, fate
) AS s USING (shape, fate) JOIN (SELECT shape, fate, max(seq) AS seq FROM fill_events GROUP BY 1, 2) AS e
  USING (shape, fate)
ORDER BY c.id
"""

_OF_STEPS = """
INSERT INTO steps (tenant_id, id, job_id, position, name, kind, queue, priority, params, uses, waiting_on, state,
                   attempt, failures, max_attempts, progress, result, error, created_at, run_at, published_at,
                   first_started_at, started_at, worker, slot, finished_at, fingerprint, error_code)
SELECT c.tenant, 'stp_' || left(c.place, 13) || '9' || substr(c.place, 15, 11) || s.position, c.id, s.position, s.name,
       s.kind, s.queue, 3, s.params, s.uses, s.waiting_on, s.state, s.attempt, s.failures, 3,
       (s.state = 'succeeded')::int, s.result, CASE WHEN s.failed THEN c.error END, c.created, c.created,
       CASE WHEN s.attempt > 0 THEN c.created END, CASE WHEN s.attempt > 0 THEN c.created + interval '5 ms' END,
       CASE WHEN s.attempt > 0 THEN c.created + interval '5 ms' END, CASE WHEN s.attempt > 0 THEN 'default-0@host' END,
       CASE WHEN s.attempt > 0 THEN 1 END, CASE WHEN s.state NOT IN ('queued', 'waiting') THEN c.ended END,
       CASE WHEN s.failed THEN c.error ->> 'fingerprint' END, CASE WHEN s.failed THEN c.error ->> 'code' END
FROM chosen c JOIN fill_steps s USING (shape, fate)
ORDER BY c.id, s.position
"""

_OF_ATTEMPTS = """
INSERT INTO attempts (tenant_id, step_id, number, outcome, worker, started_at, finished_at, error)
SELECT c.tenant, 'stp_' || left(c.place, 13) || '9' || substr(c.place, 15, 11) || a.position, a.number, a.outcome,
       'default-0@host', c.created + interval '5 ms', c.ended, CASE WHEN a.outcome <> 'succeeded' THEN c.error END
FROM chosen c JOIN fill_attempts a USING (shape, fate)
ORDER BY c.id, a.position, a.number
"""

_OF_EVENTS = """
INSERT INTO events (tenant_id, job_id, seq, type, data, at)
SELECT c.tenant, c.id, e.seq, e.type,
       CASE WHEN e.failed THEN e.data || jsonb_build_object('error', c.error) ELSE e.data END,
       c.created + e.seq * interval '10 ms'
FROM chosen c JOIN fill_events e USING (shape, fate)
ORDER BY c.id, e.seq
"""

# As storage.journal would have folded it.
_COUNT = (
    """
INSERT INTO step_counts AS c (queue, priority, waiting, scheduled, queued, running, retrying)
SELECT queue, priority, count(*) FILTER (WHERE state = 'waiting'), 0, count(*) FILTER (WHERE state = 'queued'), 0, 0
FROM steps WHERE state IN ('waiting', 'queued') GROUP BY queue, priority
ON CONFLICT (queue, priority) DO UPDATE SET waiting = excluded.waiting, queued = excluded.queued
""",
    """
INSERT INTO step_flow (queue, priority, at, arrived, ended)
SELECT queue, priority, date_bin('5 s', finished_at, 'epoch'), count(*), count(*) FROM steps
WHERE finished_at > now() - interval '2 hours' AND attempt > 0 GROUP BY 1, 2, 3 ON CONFLICT DO NOTHING
""",
    """
INSERT INTO service_times (queue, priority, at, bucket, attempts, seconds, squares)
SELECT queue, priority, date_trunc('minute', finished_at), 72, count(*), count(*), count(*) FROM steps
WHERE finished_at > now() - interval '2 hours' AND attempt > 0 GROUP BY 1, 2, 3 ON CONFLICT DO NOTHING
""",
)


def fill(url: str, tenants: Sequence[str], *, finished: int, queued: int, shape: str = "", alive: bool = False) -> None:
    """Add so many jobs, of these three tenants; `shape` "" mixes finished ones, and has pictures wait.

    `alive`: the platform runs on this database, so triggers must count what is written.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        given = {name: json.dumps(list(made())) for name, made in _SCRIPTS.items()}
        with psycopg.ClientCursor(connection) as cursor:
            cursor.execute(_PREPARE, given)
        work = _parts(finished, tenants, queued=False, shape=shape)
        work += _parts(queued, tenants, queued=True, shape=shape or "picture")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda part: _add(url, part, alive=alive), work))
        connection.execute(_DROP)
        if alive:
            return
        for statement in _COUNT:
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE")


_SCRIPTS = {"steps": scripts.steps, "attempts": scripts.attempts, "events": scripts.events}
_FATES = [fate for fate, share in scripts.FATES.items() for _ in range(share)]


def _parts(count: int, tenants: Sequence[str], *, queued: bool, shape: str) -> list[dict[str, Any]]:
    seconds = 3600 if queued else HOURS * 3600
    every = {
        "tenants": list(tenants),
        "fates": _FATES,
        "queued": queued,
        "shape": shape,
        "count": count,
        "batch": BATCH,
    }
    return [
        {**every, "seconds": seconds, "first": first, "last": min(first + CHUNK, count + 1) - 1}
        for first in range(1, count + 1, CHUNK)
    ]


def _add(url: str, part: dict[str, Any], *, alive: bool) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET work_mem = '128MB'; SET synchronous_commit = off")
        if not alive:
            connection.execute("SET session_replication_role = replica")
        connection.execute(_JOBS, part)
        connection.execute("ANALYZE chosen")
        for statement in (_OF_JOBS, _OF_STEPS, _OF_ATTEMPTS, _OF_EVENTS):
            connection.execute(statement, part)
