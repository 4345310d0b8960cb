"""KEDA's side of the wire, from the numbers that KEDA publishes (2.20, externalscaler.proto) and nothing of ours."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

KINDS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
}
MESSAGES: Mapping[str, tuple[tuple[int, str, str], ...]] = {
    "ScaledObjectRef": ((1, "name", "string"), (2, "namespace", "string"), (3, "scalerMetadata", "map")),
    "IsActiveResponse": ((1, "result", "bool"),),
    "GetMetricSpecResponse": ((1, "metricSpecs", "repeated MetricSpec"),),
    "MetricSpec": ((1, "metricName", "string"), (2, "targetSize", "int64"), (3, "targetSizeFloat", "double")),
    "GetMetricsRequest": ((1, "scaledObjectRef", "ScaledObjectRef"), (2, "metricName", "string")),
    "GetMetricsResponse": ((1, "metricValues", "repeated MetricValue"),),
    "MetricValue": ((1, "metricName", "string"), (2, "metricValue", "int64"), (3, "metricValueFloat", "double")),
}


def _field(message: DescriptorProto, number: int, name: str, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    word = kind.removeprefix("repeated ")
    if word != kind or kind == "map":
        field.label = FieldDescriptorProto.LABEL_REPEATED
    if word in KINDS:
        field.type = KINDS[word]
        return
    field.type = FieldDescriptorProto.TYPE_MESSAGE
    field.type_name = f".externalscaler.{word}"
    if kind == "map":  # a repeated message of key and value
        entry = message.nested_type.add(name="ScalerMetadataEntry")
        entry.options.map_entry = True
        _field(entry, 1, "key", "string")
        _field(entry, 2, "value", "string")
        field.type_name = ".externalscaler.ScaledObjectRef.ScalerMetadataEntry"


def _classes() -> dict[str, Any]:
    file = FileDescriptorProto(name="keda.proto", package="externalscaler", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields:
            _field(message, *field)
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"externalscaler.{name}")) for name in MESSAGES}


_CLASSES = _classes()
ScaledObjectRef, GetMetricsRequest = _CLASSES["ScaledObjectRef"], _CLASSES["GetMetricsRequest"]


def ref(**metadata: str) -> Any:
    """The reference that KEDA sends for a trigger of the ScaledObject `images`."""
    given = {"scalerAddress": "millrace-keda.millrace.svc:6000", **metadata}
    return ScaledObjectRef(name="images", namespace="millrace", scalerMetadata=given)


class Keda:
    """KEDA's five calls on a channel; each waits 5 seconds at most for an answer."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def is_active(self, of: Any) -> bool:
        return bool(self._unary("IsActive", "IsActiveResponse")(of, timeout=5).result)

    def metric_spec(self, of: Any) -> list[Any]:
        return list(self._unary("GetMetricSpec", "GetMetricSpecResponse")(of, timeout=5).metricSpecs)

    def metrics(self, of: Any, name: str) -> list[Any]:
        request = GetMetricsRequest(scaledObjectRef=of, metricName=name)
        return list(self._unary("GetMetrics", "GetMetricsResponse")(request, timeout=5).metricValues)

    def stream_is_active(self, of: Any) -> Any:
        """A stream, to be read with `next` and stopped with `cancel`; it ends after 10 seconds in any case."""
        return self._stream("StreamIsActive", "IsActiveResponse")(of, timeout=10)

    def stream_metric_spec(self, of: Any) -> Any:
        return self._stream("StreamMetricSpec", "GetMetricSpecResponse")(of, timeout=10)

    def _unary(self, call: str, answer: str) -> Callable[..., Any]:
        made: Any = self._channel.unary_unary(
            f"/externalscaler.ExternalScaler/{call}", _bytes, _CLASSES[answer].FromString
        )
        return made  # type: ignore[no-any-return]

    def _stream(self, call: str, answer: str) -> Callable[..., Any]:
        made: Any = self._channel.unary_stream(
            f"/externalscaler.ExternalScaler/{call}", _bytes, _CLASSES[answer].FromString
        )
        return made  # type: ignore[no-any-return]


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def results(stream: Any) -> Iterator[bool]:
    """What a stream of StreamIsActive says."""
    for answer in stream:
        yield answer.result
