"""The Celery app: `celery -A tasks.app worker …`. One Celery task per kind, each a thin shell around tasks.base."""

from collections.abc import Callable, Sequence

from celery import Celery
from celery.exceptions import Retry

from storage.model import JobId, StepId, TenantId
from tasks import base, grouped, lost, process, startup
from tasks.broker import reconnect_quickly
from tasks.event_batches import EventBatches
from tasks.hinted import asked
from tasks.lease import LeaseKeeper
from tasks.names import KINDS, Kind

app = Celery("millrace")
app.config_from_object("celeryconfig")
app.steps["worker"].add(LeaseKeeper)
app.steps["consumer"].add(EventBatches)
startup.listen()
lost.listen()
reconnect_quickly(app)


def _shell(kind: Kind) -> Callable[..., None]:
    def shell(*, tenant: str = "", job: str = "", step: str = "", group: Sequence[Sequence[str]] = ()) -> None:
        if group:
            grouped.perform(process.current(), kind, asked(group))
            return
        try:
            base.perform(process.current(), kind, TenantId(tenant), JobId(job), StepId(step))
        except base.StepToBeRetried as exc:
            raise Retry(str(exc)) from exc  # only for Flower's eyes: nothing is retried by Celery

    return shell


for _kind in KINDS.values():
    app.task(name=_kind.name, ignore_result=True, throws=(base.StepUnsuccessful,))(_shell(_kind))
