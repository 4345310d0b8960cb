"""Routes that are answered before the framework is asked: nobody can tell that from outside."""

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from api import errors
from api.errors import TABLE, Refused
from api.short_cut import ShortCut, short_cuts
from tasks.errors import Flaw, InvalidDocument
from tests.api.conftest import Api


class Narrower(InvalidDocument):
    """Of a kind that the table has not, but whose parent it has."""


RAISED: dict[str, Exception] = {
    "refused": Refused(402, "unpaid", "pay first", headers={"X-Due": "1"}),
    "http": HTTPException(418, "a teapot"),
    "narrower": Narrower([Flaw(pointer="/steps", detail="none")]),
    "unforeseen": ZeroDivisionError("oh"),
    **{kind.__name__: kind("away") for kind in TABLE if kind is not InvalidDocument},
}


class Asked(ShortCut):
    """Raises what the query names, or says who it is."""

    @staticmethod
    async def handler(request: Request) -> Response:
        if name := request.query_params.get("raise"):
            raise RAISED[name]
        way = "long" if "endpoint" in request.scope else "short"  # which the router notes
        return Response(f"{request.scope['route'].path} {way}", headers={"X-App": request.app.title})


async def _documented() -> None:
    raise NotImplementedError


def client(*, cut: bool) -> TestClient:
    app = FastAPI(title="of the test")
    app.router.add_api_route("/asked", _documented, methods=["POST"], route_class_override=Asked)
    errors.install(app)
    if cut:
        app.add_middleware(short_cuts, routes=app.router.routes)
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("name", RAISED)
def test_an_error_is_answered_as_the_framework_would(name: str) -> None:
    short, long = (client(cut=cut).post(f"/asked?raise={name}") for cut in (True, False))
    assert (short.status_code, short.content, short.headers) == (long.status_code, long.content, long.headers)
    assert short.status_code >= 400
    assert short.json()["code"] == long.json()["code"]


def test_what_is_not_foreseen_reaches_who_notes_it() -> None:
    with pytest.raises(ZeroDivisionError):
        TestClient(client(cut=True).app).post("/asked?raise=unforeseen")


@pytest.mark.parametrize(("cut", "way"), [(True, "short"), (False, "long")])
def test_a_handler_knows_its_app_and_its_route(cut: bool, way: str) -> None:
    answer = client(cut=cut).post("/asked")
    assert (answer.text, answer.headers["X-App"]) == (f"/asked {way}", "of the test")


def test_a_job_is_submitted_past_the_router(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        raise LookupError("the router was asked")

    monkeypatch.setattr(api.served.app.router, "middleware_stack", never)
    assert api.acme.post(json={"steps": {"say": {"kind": "echo"}}}).status_code == 202
    assert api.acme.get("/v1/jobs").status_code == 500


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/asked", 405), ("POST", "/asked/", 307), ("POST", "/", 404)]
)
def test_all_else_goes_the_long_way(method: str, path: str, status: int) -> None:
    answers = [client(cut=cut).request(method, path, follow_redirects=False) for cut in (True, False)]
    assert [answer.status_code for answer in answers] == [status, status]
