"""Schedules for tests: made through the same door as an owner's, fired by hand, and what came of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from scheduler.fire import turn
from storage import firings, schedules
from storage.database import Database
from storage.model import JobId, ScheduleId, TenantId
from storage.schedule_model import Firing, Schedule
from tasks import scheduling
from tasks.schedules import parse

ECHO = {"steps": {"say": {"kind": "echo", "message": "{{schedule.fire_time}}"}}}


class Timetable(NamedTuple):
    """One tenant's schedules in a database."""

    database: Database
    tenant: TenantId

    def make(self, **fields: Any) -> Schedule:
        """A new schedule, every minute unless `fields` say otherwise."""
        rule = {} if fields.keys() & {"cron", "every", "at"} else {"every": 60}
        with self.database.begin(self.tenant) as tx:
            now = schedules.clock(tx)
            return scheduling.create(tx, parse({"job": ECHO, **rule, **fields}, now=now), now)

    def find(self, schedule: Schedule) -> Schedule:
        with self.database.read(self.tenant) as tx:
            found = schedules.find(tx, schedule.id)
        assert found is not None
        return found

    def put_back(self, schedule: Schedule, seconds: float) -> list[datetime]:
        """As though no loop had run for so long: returns the nominal times that have come since.

        All its history moves with it; not by a multiple of its interval, or two rows would meet.
        """
        with self.database.begin(self.tenant) as tx:
            tx.sql(
                "UPDATE firings SET nominal_at = nominal_at - make_interval(secs => %(s)s)"
                " WHERE tenant_id = %(tenant)s AND schedule_id = %(id)s",
                id=schedule.id,
                s=seconds,
            )
            tx.sql(
                "UPDATE jobs SET fire_time = fire_time - make_interval(secs => %(s)s)"
                " WHERE tenant_id = %(tenant)s AND schedule_id = %(id)s",
                id=schedule.id,
                s=seconds,
            )
            tx.sql(
                "UPDATE schedules SET next_at = next_at - make_interval(secs => %(s)s),"
                " due_at = due_at - make_interval(secs => %(s)s), document = document || jsonb_build_object('anchor',"
                " (document ->> 'anchor')::timestamptz - make_interval(secs => %(s)s))"
                " WHERE tenant_id = %(tenant)s AND id = %(id)s",
                id=schedule.id,
                s=seconds,
            )
            now = schedules.clock(tx)
        at, every = self.find(schedule).next_at, timedelta(seconds=schedule.document["every"])
        assert at is not None
        return [at + place * every for place in range(int((now - at) / every) + 1)] if at <= now else []

    def turn(self, **said: Any) -> None:
        """One turn of a firing loop, or as many as there is work for."""
        while turn(self.database, **said):
            pass

    def fired(self, schedule: Schedule) -> list[Firing]:
        """What became of its firings, after another turn."""
        self.turn()
        return self.runs(schedule)

    def runs(self, schedule: Schedule) -> list[Firing]:
        """What became of its firings, oldest first."""
        with self.database.read(self.tenant) as tx:
            return firings.page(tx, schedule.id, outcome=None, before=None, limit=1000)[::-1]

    def outcomes(self, schedule: Schedule) -> list[str]:
        return [run.outcome.value for run in self.runs(schedule)]

    def jobs(self, schedule: Schedule) -> Sequence[tuple[JobId, datetime, str]]:
        """The jobs that it started: id, nominal time, state; oldest nominal time first."""
        with self.database.read(self.tenant) as tx:
            rows = tx.sql(
                "SELECT id, fire_time, state FROM jobs WHERE tenant_id = %(tenant)s AND schedule_id = %(schedule)s"
                " ORDER BY fire_time",
                schedule=schedule.id,
            )
            return [(JobId(row.id), row.fire_time, row.state) for row in rows]

    def end_jobs(self, schedule: Schedule, state: str = "succeeded") -> None:
        """As though workers had done them."""
        with self.database.begin(self.tenant) as tx:
            tx.sql(
                "UPDATE jobs SET state = %(state)s, finished_at = clock_timestamp()"
                " WHERE tenant_id = %(tenant)s AND schedule_id = %(schedule)s AND finished_at IS NULL",
                schedule=schedule.id,
                state=state,
            )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def ids(found: Sequence[Schedule]) -> list[ScheduleId]:
    return [schedule.id for schedule in found]
