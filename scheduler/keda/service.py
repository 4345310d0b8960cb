"""The five calls of KEDA's external scaler.

Checked against KEDA's client (pkg/scalers/external_scaler.go, 2.20 and main). What keeps us from a true number is
UNAVAILABLE, never a zero: KEDA counts such failures and, at its fallback's threshold, acts on them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
from grpc.aio import ServicerContext

from scheduler.errors import InvalidPool, NumbersUnavailable, SchedulerError
from scheduler.folder import Folder
from scheduler.hpa import Reading
from scheduler.keda import question
from scheduler.keda.errors import Unknown
from scheduler.keda.externalscaler_pb2 import (
    GetMetricSpecResponse,
    GetMetricsRequest,
    GetMetricsResponse,
    IsActiveResponse,
    MetricSpec,
    MetricValue,
    ScaledObjectRef,
)
from scheduler.keda.question import NumbersOf, Question
from scheduler.triggers import Numbers

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0  # how long the numbers may take; KEDA sets its calls no deadline
MAX_DETAILS = 1000  # characters; a status travels in a header


class Service:
    """Holds the questions that are under way, and wakes the streams.

    Each call is a coroutine: an open stream costs memory (under 50 KB, its client's part included) and no thread, so
    streams starve nobody. Threads only read numbers, no two the same pool's: a database that hangs holds one per pool.
    """

    def __init__(self, folder: Folder, numbers_of: NumbersOf, interval: float) -> None:
        """`interval` in seconds: how often streams look for a change, and files are."""
        self._folder, self._numbers_of, self._interval = folder, numbers_of, interval
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()  # each serves one change of the files
        self._asked: dict[str, asyncio.Task[Numbers]] = {}

    async def IsActive(  # noqa: N802 - the five names are KEDA's
        self, request: ScaledObjectRef, context: ServicerContext[ScaledObjectRef, IsActiveResponse]
    ) -> IsActiveResponse:
        async with _refusing(context):
            return IsActiveResponse(result=(await self._read(self._understand(request))).active)

    async def StreamIsActive(  # noqa: N802
        self, request: ScaledObjectRef, context: ServicerContext[ScaledObjectRef, IsActiveResponse]
    ) -> None:
        """Silent while the numbers cannot be read.

        After a stream that ended in an error KEDA waits 2, 4, … 60 seconds and never shortens that until one ends well;
        it would sleep through the first work after a fault. Its polling tells it of the fault meanwhile. Nothing is
        said twice: each `true` sets KEDA's cooldown back.
        """
        said: bool | None = None
        is_silent = False
        async with _refusing(context):
            while not self._stopping.is_set():
                asked = self._understand(request)
                try:
                    active = (await self._read(asked)).active
                except NumbersUnavailable as exc:
                    if not is_silent:
                        log.warning("keda.stream_silent metric=%s reason=%s", asked.metric, exc)
                    is_silent = True
                else:
                    is_silent = False
                    if active is not said:
                        await context.write(IsActiveResponse(result=active))
                    said = active
                await self._stops_within_interval()

    async def GetMetricSpec(  # noqa: N802
        self, request: ScaledObjectRef, context: ServicerContext[ScaledObjectRef, GetMetricSpecResponse]
    ) -> GetMetricSpecResponse:
        async with _refusing(context):
            return self._spec(request)

    async def StreamMetricSpec(  # noqa: N802
        self, request: ScaledObjectRef, context: ServicerContext[ScaledObjectRef, GetMetricSpecResponse]
    ) -> None:
        """What GetMetricSpec says; again only if it is another, since KEDA reconciles at each."""
        said: GetMetricSpecResponse | None = None
        async with _refusing(context):
            while not self._stopping.is_set():
                changed = self._changed
                spec = self._spec(request)
                if spec != said:
                    await context.write(spec)
                said = spec
                await changed.wait()

    async def GetMetrics(  # noqa: N802
        self, request: GetMetricsRequest, context: ServicerContext[GetMetricsRequest, GetMetricsResponse]
    ) -> GetMetricsResponse:
        async with _refusing(context):
            asked = self._understand(request.scaledObjectRef)
            if request.metricName not in {"", asked.metric}:
                raise Unknown(f"this trigger has no metric {request.metricName!r}, it has {asked.metric!r}")
            value = max(0.0, (await self._read(asked)).value)
            metric = MetricValue(metricName=asked.metric, metricValue=question.whole(value), metricValueFloat=value)
            return GetMetricsResponse(metricValues=[metric])

    async def watch(self) -> None:
        """Take up changes of the pools' files, until `stop`."""
        while not await self._stops_within_interval():
            try:
                if await asyncio.to_thread(self._folder.reload):
                    self._wake()
            except Exception:
                log.exception("keda.reload_failed")

    def stop(self) -> None:
        """End the streams, as streams that ended well: KEDA comes back after two seconds."""
        self._stopping.set()
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _stops_within_interval(self) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), self._interval)
        except TimeoutError:
            return False
        return True

    def _understand(self, request: ScaledObjectRef) -> Question:
        return question.understand(self._folder.pools, request.name, request.scalerMetadata)

    def _spec(self, request: ScaledObjectRef) -> GetMetricSpecResponse:
        asked = self._understand(request)
        target = question.target(asked.rule)
        spec = MetricSpec(metricName=asked.metric, targetSize=question.whole(target), targetSizeFloat=target)
        return GetMetricSpecResponse(metricSpecs=[spec])

    async def _read(self, asked: Question) -> Reading:
        """Who asks while the pool's numbers are being read waits for these."""
        name = asked.pool.name
        task = self._asked.get(name)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(question.ask, self._numbers_of, asked.pool))
            self._asked[name] = task
            task.add_done_callback(partial(self._forget, name))
        try:
            numbers = await asyncio.wait_for(asyncio.shield(task), ANSWER_SECONDS)
        except TimeoutError as exc:
            raise NumbersUnavailable(
                f"the numbers of the pool {name!r} did not come within {ANSWER_SECONDS:g} s"
            ) from exc
        return question.read(asked.rule, numbers)

    def _forget(self, name: str, task: "asyncio.Task[Numbers]") -> None:
        del self._asked[name]
        if not task.cancelled():
            task.exception()  # that nobody waits for it any more is no fault


@asynccontextmanager
async def _refusing(context: ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Our errors as gRPC's."""
    try:
        yield
    except InvalidPool as exc:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc)[:MAX_DETAILS])
    except Unknown as exc:
        await context.abort(grpc.StatusCode.NOT_FOUND, str(exc)[:MAX_DETAILS])
    except SchedulerError as exc:
        log.warning("keda.unanswered reason=%s", exc)
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(exc)[:MAX_DETAILS])
