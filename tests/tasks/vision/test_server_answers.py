"""What is made of a model server's answers: the right ones in every form, and all that a server may get wrong."""

import json
import ssl
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.vision.manifest import read
from tasks.vision.model import ModelFailed, ModelUnavailable
from tasks.vision.server import ServedModel
from tests.small_network import pictures
from tests.tasks.vision.conftest import Open
from tests.vision_server import HEAD_BYTES, ModelServer, Reply

MODELS = Path(__file__).parents[3] / "deploy" / "models"


def answer_of(*outputs: dict[str, Any]) -> Reply:
    return Reply(body=json.dumps({"model_name": "m", "outputs": outputs}).encode())


def output(**changes: Any) -> dict[str, Any]:
    return {"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [1.5, -2]} | changes


def in_bytes(outputs: list[dict[str, Any]], tail: bytes, head: str | None = None) -> Reply:
    document = json.dumps({"outputs": outputs}).encode()
    return Reply(body=document + tail, headers={HEAD_BYTES: head or str(len(document))})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_unavailable(server: ModelServer, connect: Open, status: int) -> None:
    model = connect(server.url)
    server.reply = Reply(status=status, body=b'{"error": "come\\nback  later"}')
    with pytest.raises(
        ModelUnavailable, match=f"^model small: its server answered with status {status}: come back lat"
    ):
        model.run(pictures(1))
    server.reply = None
    assert len(model.run(pictures(1))) == 1


@pytest.mark.parametrize("status", [204, 302, 400, 401, 404, 413, 422])
def test_a_server_that_refuses_has_failed(server: ModelServer, connect: Open, status: int) -> None:
    model = connect(server.url)
    body = b"" if status == 204 else b'{"error": "no such model"}'
    server.reply = Reply(status=status, body=body, headers={"Location": "/elsewhere"})
    with pytest.raises(ModelFailed, match=f"^model small: its server refused with status {status}"):
        model.run(pictures(1))
    server.reply = None
    assert len(model.run(pictures(1))) == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"error": 7}', b"[" * 60_000, b"\xff", b"", b'"error"'], ids=repr)
def test_an_error_without_a_text_is_told_by_its_status(server: ModelServer, connect: Open, body: bytes) -> None:
    server.reply = Reply(status=400, body=body)
    with pytest.raises(ModelFailed, match=r"status 400$"):
        connect(server.url).run(pictures(1))


def test_what_the_server_says_of_an_error_is_bounded_and_one_line(server: ModelServer, connect: Open) -> None:
    server.reply = Reply(status=400, body=json.dumps({"error": "\x1b[31mred\n\r" + "x" * 60_000}).encode())
    with pytest.raises(ModelFailed) as failed:
        connect(server.url).run(pictures(1))
    assert len(str(failed.value)) < 400
    assert str(failed.value).isprintable()


def test_an_error_that_never_ends_is_cut_off(server: ModelServer, connect: Open) -> None:
    server.reply = Reply(status=400, body=b"x" * 3_000_000)
    with pytest.raises(ModelFailed, match=r"status 400$"):
        connect(server.url).run(pictures(1))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(body=b"hello"), "no inference response"),
        (Reply(body=b"[]"), "no inference response"),
        (Reply(body=b'{"outputs": []}'), "no inference response"),
        (Reply(body=b"[" * 100_000), "no inference response"),
        (answer_of(output(name=3)), "without a name of its own"),
        (answer_of(output(), output()), "without a name of its own"),
        (answer_of(output(datatype="FP16")), "as FP16, and only FP32"),
        (answer_of(output(datatype="INT64")), "as INT64, and only FP32"),
        (answer_of(output(shape=[2, 1])), "the shape .2, 1. for 1 pictures"),
        (answer_of(output(shape=[])), "the shape .. for 1 pictures"),
        (answer_of(output(shape=[1, -2])), "without a shape"),
        (answer_of(output(shape=[1, 2.0])), "without a shape"),
        (answer_of(output(shape="12")), "without a shape"),
        (answer_of(output(shape=[1, 3])), "not 3 numbers"),
        (answer_of(output(shape=[1] * 100)), "the shape"),
        (answer_of(output(shape=[1, 10**30])), "not 1000000000000000000000000000000 numbers"),
        (answer_of(output(data=["1.5", "2"])), "not 2 numbers"),
        (answer_of(output(data=[None, 2])), "not 2 numbers"),
        (answer_of(output(data=[True, False])), "not 2 numbers"),
        (answer_of(output(data=[[1], 2])), "data of no shape"),
        (answer_of(output(data={"1": 2})), "not 2 numbers"),
        (answer_of(output(data=None)), "not 2 numbers"),
        (in_bytes([output(parameters={"binary_data_size": 4})], b"1234"), "which is not its shape"),
        (in_bytes([output(parameters={"binary_data_size": 8})], b"1234"), "more than there are"),
        (in_bytes([output(parameters={"binary_data_size": "8"})], b"12345678"), "which is not its shape"),
        (in_bytes([output(parameters={"binary_data_size": 8})], b"123456789"), "1 bytes that belong to no output"),
        (in_bytes([output()], b"", head="-1"), "no number"),
        (in_bytes([output()], b"", head="99999"), "shorter"),
        (in_bytes([output()], b"", head="9" * 5000), "no number"),
        (Reply(body=b" " * (9 * 1024 * 1024)), "larger than 8388608 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_malformed_answer_fails_and_the_next_call_works(
    server: ModelServer, connect: Open, reply: Reply, reason: str
) -> None:
    model = connect(server.url)
    server.reply = reply
    with pytest.raises(ModelFailed, match=reason):
        model.run(pictures(1))
    server.reply = None
    assert len(model.run(pictures(1))) == 1


@pytest.mark.parametrize("data", [[1.5, -2], [[1.5, -2]], [1.5, -2.0]], ids=str)
def test_numbers_may_come_flat_or_nested(server: ModelServer, connect: Open, data: list[Any]) -> None:
    server.reply = answer_of(output(data=data))
    (answer,) = connect(server.url).run(pictures(1))
    np.testing.assert_array_equal(answer["y"], np.array([1.5, -2], np.float32))


def test_outputs_may_come_as_bytes_and_as_numbers_in_one_answer(server: ModelServer, connect: Open) -> None:
    tail = np.array([3, 4], "<f4").tobytes() + np.array([5, 6], "<f4").tobytes()
    size = {"binary_data_size": 8}
    server.reply = in_bytes(
        [output(name="a", parameters=size), output(name="b"), output(name="c", parameters=size)], tail
    )
    (answer,) = connect(server.url).run(pictures(1))
    assert {name: value.tolist() for name, value in answer.items()} == {"a": [3, 4], "b": [1.5, -2], "c": [5, 6]}


def test_an_output_that_a_feature_needs_must_be_there(server: ModelServer, tmp_path: Path) -> None:
    text = (MODELS / "efficientnet-lite0.toml").read_text().replace('names = "imagenet-1k.json"', "names = []")
    (tmp_path / "lite.toml").write_text(f'{text}\n[run]\non = "server"\nurl = "{server.url}"\n')
    server.reply = answer_of(output(name="prob"))
    model = ServedModel(read(tmp_path / "lite.toml"), ssl.create_default_context())
    with pytest.raises(ModelFailed, match="no output 'embedding' for embedding"):
        model.run(pictures(1, side=224))
    model.close()
