"""The Celery app: `celery -A tasks.app worker …`. One Celery task per kind, each a thin shell around tasks.base."""

import os
import sys
from collections.abc import Callable

from celery import Celery
from celery.exceptions import Retry
from celery.signals import worker_init

from storage.errors import StorageError
from storage.model import JobId, StepId, TenantId
from tasks import base, lost, process, settings
from tasks.broker import reconnect_quickly
from tasks.errors import TasksError
from tasks.lease import LeaseKeeper
from tasks.names import KINDS, Kind

app = Celery("millrace")
app.config_from_object("celeryconfig")
app.steps["worker"].add(LeaseKeeper)
lost.listen()
reconnect_quickly(app)


def _shell(kind: Kind) -> Callable[..., None]:
    def shell(*, tenant: str, job: str, step: str) -> None:
        try:
            base.perform(process.current(), kind, TenantId(tenant), JobId(job), StepId(step))
        except base.StepToBeRetried as exc:
            raise Retry(str(exc)) from exc  # only for Flower's eyes: nothing is retried by Celery

    return shell


for _kind in KINDS.values():
    app.task(name=_kind.name, ignore_result=True, throws=(base.StepUnsuccessful,))(_shell(_kind))


@worker_init.connect
def _start(sender: object, **_: object) -> None:
    try:
        process.configure(settings.from_env(os.environ), process.worker_name(str(sender)))
    except (StorageError, TasksError) as exc:
        sys.stderr.write(f"error: {exc}\n")
        sys.exit(os.EX_CONFIG)
