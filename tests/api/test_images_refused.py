"""Links that open nothing: not signed, expired, flawed, to what is gone or another's. Nothing comes of them."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from storage.database import Database
from storage.ids import new_id
from tests.api.conftest import Api
from tests.api.picturing import Signer, make, making, shown, signer, upload
from tests.api.refusing import assert_problem
from tests.api.serving import served, settings


@pytest.fixture
def key(api: Api) -> Signer:
    return signer(api.acme)


def refused(answer: httpx2.Response, expected: tuple[int, str], *pointers: str) -> Any:
    assert_problem(answer.status_code, answer.headers, answer.json(), expected, pointers)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def test_whatever_is_not_signed_by_a_key_that_holds_is_refused_in_the_same_words(api: Api, key: Signer) -> None:
    file = upload(api.acme)
    good = key.link("w:300", file)
    signature = good.split("/")[2]
    mark = signature.partition(".")[2]
    first = "B" if mark[0] == "A" else "A"
    retired, deleted, other = signer(api.acme), signer(api.acme), signer(api.other)
    api.acme.ask("POST", f"/v1/image-keys/{retired.id}/retire")
    api.acme.ask("DELETE", f"/v1/image-keys/{deleted.id}")
    wrong = [
        good.replace("w:300", "w:301"),
        good.replace("w:300", "w:nonsense"),
        good.replace("w:300", f"exp:1,{'w:300,' * 2000}"),
        good.replace(file, upload(api.acme)),
        good.replace(file, "upl_nothing"),
        good.replace(mark, first + mark[1:]),
        good.replace(mark, mark + "="),
        good.replace(mark, mark[:-1]),
        good.replace(mark, ""),
        good.replace(mark, "%C3%A4%00%FF"),
        good.replace(signature, "unsafe"),
        good.replace(signature, f"{key.id}"),
        good.replace(key.id, new_id("imk")),
        good.replace(key.id, key.id.upper()),
        good.replace(key.id, other.id),
        retired.link("w:300", file),
        deleted.link("w:300", file),
        Signer(id=key.id, key=other.key).link("w:300", file),
    ]
    told = [refused(shown(api, path), (403, "signature_invalid")) for path in wrong]
    assert all(one == told[0] for one in told)
    assert api.acme.get("/v1/jobs").json()["data"] == []
    making(api, shown(api, good))


def test_a_key_holds_until_it_retires(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    retire = f"/v1/image-keys/{key.id}/retire"
    assert api.acme.ask("POST", retire, json={"at": "2030-01-01T00:00:00Z"}).status_code == 200
    making(api, shown(api, path))
    api.acme.ask("POST", retire)
    refused(shown(api, path), (403, "signature_invalid"))
    refused(shown(api, signer(api.other).link("w:300", path.rpartition("/")[2])), (404, "not_found"))


def test_an_expired_link_is_gone_even_if_its_picture_is_there(api: Api, key: Signer) -> None:
    file, now = upload(api.acme), int(datetime.now(UTC).timestamp())
    make(api, making(api, shown(api, key.link(f"exp:{now + 600}", file))))
    assert shown(api, key.link(f"exp:{now + 500}", file)).status_code == 200
    for past in (now - 1, 0):
        refused(shown(api, key.link(f"exp:{past}", file)), (410, "link_expired"))


FLAWED = {
    "wdith:300": ["/wdith"],
    "w:0": ["/width"],
    "fit:cover": [""],
    "w:9,h:9,fit:cover,g:face": ["/gravity"],
    "w:300," * 200: [""],
    "bg:ä": ["/background"],
}


@pytest.mark.parametrize("operations", FLAWED, ids=range(len(FLAWED)))
def test_flawed_operations_are_named_to_who_has_signed_them(api: Api, key: Signer, operations: str) -> None:
    pointers = [f"/path/operations{at}" for at in FLAWED[operations]]
    refused(shown(api, key.link(operations, upload(api.acme))), (422, "invalid_operations"), *pointers)


def test_an_upload_that_is_gone_is_not_found_even_if_its_picture_is_there(api: Api, key: Signer) -> None:
    file = upload(api.acme)
    path = key.link("w:300", file)
    make(api, making(api, shown(api, path)))
    api.acme.ask("DELETE", f"/v1/uploads/{file}")
    refused(shown(api, path), (404, "not_found"))
    for gone in (new_id("upl"), new_id("job"), "upl_x", "..%2f", "%00"):
        answer = shown(api, key.link("w:300", gone))
        assert answer.status_code in (403, 404), gone  # %2f and the like are not as they were signed


def test_no_tenant_reaches_another_ones_upload(api: Api, key: Signer) -> None:
    theirs, ours = upload(api.other), upload(api.acme)
    refused(shown(api, key.link("w:300", theirs)), (404, "not_found"))
    refused(shown(api, key.link(f"w:300,wm:{theirs}", ours)), (404, "not_found"))
    making(api, shown(api, key.link(f"w:300,wm:{ours}", ours)))
    assert api.other.get("/v1/jobs").json()["data"] == []


def test_a_watermark_counts_by_its_bytes(api: Api, key: Signer) -> None:
    file, mark = upload(api.acme), upload(api.acme, b"a mark")
    first = making(api, shown(api, key.link(f"wm:{mark}", file)))
    same = making(api, shown(api, key.link(f"wm:{upload(api.acme, b'a mark')}", file)))
    other = making(api, shown(api, key.link(f"wm:{upload(api.acme, b'another')}", file)))
    assert first.id == same.id != other.id


def test_only_get_and_head_are_taken(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = shown(api, path, method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_what_the_platform_cannot_do_now_is_told_to_all_origins_and_kept_by_nobody(api: Api, key: Signer) -> None:
    with api.database.begin(api.acme.tenant) as tx:
        tx.sql("UPDATE image_keys SET key_id = 'lost' WHERE tenant_id = %(tenant)s")
    answer = shown(api, key.link("w:300", upload(api.acme)))
    refused(answer, (503, "secret_unreadable"))
    assert answer.headers["retry-after"]


def test_without_a_secret_key_no_link_can_be_read(api: Api, key: Signer, shared_database: Database) -> None:
    path = key.link("w:300", upload(api.acme))
    with served(settings(shared_database.settings.url, keyring=None)) as running:
        refused(httpx2.get(f"{running.url}{path}"), (503, "secret_key_missing"))
