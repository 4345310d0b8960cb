"""`Millrace.uploads`, `.image_keys` and `.image_url`, and their commands, against a real API process."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from api.cli.commands import cli
from api.client import ApiError, Millrace, MillraceError, image_path
from api.client.image_urls import NAMES, SHORT
from deploy.local.servers import Urls
from storage.image_model import new_image_key_id, new_upload_id
from tasks.image_path import OPERATIONS, parse, signed
from tests.api.serving import SECRET_KEY
from tests.api.started import Api, CutWire, api_here

Run = Callable[..., Result]
KEY = "x" * 43
SIGNING = f"{new_image_key_id()}.{KEY}"


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env, SECRET_KEY=SECRET_KEY) as started:
        yield started


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        for one in list(made.uploads.all()):
            made.uploads.delete(one.id)
        for key in made.image_keys.list():
            made.image_keys.delete(key.id)
        yield made


@pytest.fixture
def run(api: Api, millrace: Millrace) -> Run:
    """The command line after `millrace`, before a platform without uploads."""

    def run(*arguments: str, **environ: str) -> Result:
        env = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.key, **environ}
        result = CliRunner(env=env).invoke(cli, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def test_a_file_is_sent_shown_fetched_and_deleted(millrace: Millrace, photo: Path, tmp_path: Path) -> None:
    sent: list[tuple[int, int | None]] = []
    upload = millrace.uploads.add(photo, expires_in=3600, on_sent=lambda *so_far: sent.append(so_far))
    assert (upload.filename, upload.content_type, upload.bytes) == ("photo.jpg", "image/jpeg", 256_000)
    assert sent[-1] == (256_000, 256_000)
    assert upload.expires_at is not None
    assert upload.expires_at - upload.created_at == timedelta(hours=1)
    other = millrace.uploads.add(io.BytesIO(b"other"), filename="b.png")
    assert millrace.uploads.get(upload.id) == upload
    assert [one.id for one in millrace.uploads.all()] == [other.id, upload.id]
    assert [one.id for one in millrace.uploads.all(limit=1)] == [other.id]
    assert millrace.uploads.download(upload.id, tmp_path / "back.jpg") == 256_000
    assert (tmp_path / "back.jpg").read_bytes() == photo.read_bytes()
    millrace.uploads.delete(upload.id)
    with pytest.raises(ApiError) as gone:
        millrace.uploads.get(upload.id)
    assert gone.value.status == 404


def test_an_upload_whose_answer_was_lost_is_sent_again_and_there_once(
    api: Api, millrace: Millrace, photo: Path
) -> None:
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as client:
        upload = client.uploads.add(photo)
        assert wire.connections == 2
    assert [one.id for one in millrace.uploads.all()] == [upload.id]


def test_an_upload_is_the_input_of_a_job(millrace: Millrace, photo: Path) -> None:
    upload = millrace.uploads.add(photo)
    steps = {"small": {"kind": "image.resize", "variants": [{"name": "small", "width": 64}]}}
    job = millrace.submit({"input": {"upload": upload.id}, "steps": steps})
    assert job.input is not None
    assert (job.input.filename, job.input.bytes) == ("photo.jpg", 256_000)


def test_a_link_is_understood_by_the_server_until_its_key_retires(millrace: Millrace, photo: Path) -> None:
    key = millrace.image_keys.create()
    url = millrace.image_url(millrace.uploads.add(photo).id, key.signing, width=300, height=200, fit="cover")
    assert httpx2.get(url).status_code == 202
    later = datetime.now(UTC) + timedelta(days=1)
    assert millrace.image_keys.retire(key.id, at=later).retired_at == later
    assert httpx2.get(url).status_code == 202
    millrace.image_keys.retire(key.id)
    assert httpx2.get(url).status_code == 403
    (listed,) = millrace.image_keys.list()
    assert (listed.id, listed.key) == (key.id, None)
    assert KEY not in repr(listed)
    with pytest.raises(MillraceError, match="not shown again"):
        _ = listed.signing
    millrace.image_keys.delete(key.id)
    assert list(millrace.image_keys.list()) == []


UPLOAD = new_upload_id()
MARK = new_upload_id()
SAID: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "_"),
    "numbers": ({"width": 300, "dpr": 1.5, "blur": 2.0}, "w:300,dpr:1.5,blur:2"),
    "words": ({"format": "webp", "background": "#ff00aa", "gravity": None}, "f:webp,background:ff00aa"),
    "flags": ({"grayscale": True, "animated": False}, "grayscale,animated:0"),
    "lists": (
        {"crop": (0.25, 0, 1e-05, 1.0, "share"), "pad": [1, 2, 3, 4], "watermark": (MARK, "", 0.5, 1, 0, True)},
        f"crop:0.25:0:0.00001:1:share,pad:1:2:3:4,watermark:{MARK}::0.5:1:0:1",
    ),
    "short names": ({"w": 300, "gray": True, "bg": "#ff00aa"}, "w:300,grayscale,background:ff00aa"),
    "an end": ({"page": 2, "exp": datetime(2030, 1, 1, tzinfo=UTC)}, "page:2,exp:1893456000"),
}


@pytest.mark.parametrize("said", SAID)
def test_the_client_signs_what_the_server_reads(said: str) -> None:
    operations, text = SAID[said]
    path = image_path(UPLOAD, SIGNING, operations)
    assert path == signed(SIGNING.partition(".")[0], KEY, text, UPLOAD)
    parse(text)


def test_the_client_knows_every_operation() -> None:
    assert sorted(NAMES) == sorted([*OPERATIONS, "page", "exp"])
    assert {one.short: name for name, one in OPERATIONS.items() if one.short != name} == SHORT


WRONG: list[tuple[str, str, dict[str, Any], str]] = [
    (UPLOAD, "imk_1.x", {}, "image key"),
    (UPLOAD, KEY, {}, "image key"),
    ("../../v1", SIGNING, {}, "is not the id of an upload"),
    (UPLOAD, SIGNING, {"widht": 3}, "there is no operation 'widht'"),
    (UPLOAD, SIGNING, {"w": 3, "width": 4}, "'width' is given twice"),
    (UPLOAD, SIGNING, {"format": "webp/../x"}, "format cannot be"),
    (UPLOAD, SIGNING, {"fit": "a,w:1"}, "fit cannot be"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_a_link_is_refused_before_it_is_sent(wrong: tuple[str, str, dict[str, Any], str]) -> None:
    upload, signing, operations, reason = wrong
    with pytest.raises(MillraceError, match=reason):
        image_path(upload, signing, operations)


@pytest.mark.parametrize(
    "command",
    ["uploads list", "uploads add", "uploads delete", "image-url"]
    + [f"image-keys {verb}" for verb in ("list", "create", "retire", "delete")],
)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"millrace {command}" in result.stdout.partition("Example")[2]
    assert command.split()[0] in CliRunner().invoke(cli, ["--help"]).stdout


def test_uploads_are_added_listed_and_deleted_from_the_command_line(run: Run, photo: Path) -> None:
    added = run("uploads", "add", str(photo), str(photo), "--expires-in", "3600")
    ids = [line.split()[0] for line in added.stdout.splitlines()]
    assert added.stdout == "".join(f"{one}  photo.jpg\n" for one in ids)
    listed = run("uploads").stdout.splitlines()
    assert listed[0].split() == ["upload", "size", "type", "created", "expires", "file"]
    assert [line.split()[0] for line in listed[1:]] == ids[::-1]
    documents = [json.loads(line) for line in run("uploads", "list", "--json", "--limit", "1").stdout.splitlines()]
    assert [one["id"] for one in documents] == [ids[1]]
    (empty := photo.with_name("empty.jpg")).touch()
    refused = run("uploads", "add", str(empty))
    assert (refused.exit_code, refused.stderr.startswith("error: empty.jpg: ")) == (1, True)
    assert run("uploads", "delete", *ids).stdout == "".join(f"{one}  deleted\n" for one in ids)
    assert run("uploads").stderr == "There are no uploads.\n"
    again = run("uploads", "delete", ids[0])
    assert (again.exit_code, again.stderr) == (1, "error: there is no such upload (not_found)\n")


def test_a_link_is_made_from_the_command_line(run: Run, photo: Path) -> None:
    signing = run("image-keys", "create").stdout.strip()
    upload = run("uploads", "add", str(photo)).stdout.split()[0]
    made = run(
        *("image-url", upload, "--width", "300", "--format", "webp", "--operation", "grayscale"),
        *("--operation", "crop:0:0:0.5:1:share", "--expires-in", "60"),
        MILLRACE_IMAGE_KEY=signing,
    )
    assert made.exit_code == 0, made.output
    assert httpx2.get(made.stdout.strip()).status_code == 202
    assert f"/i/{signing.partition('.')[0]}." in made.stdout
    assert signing.partition(".")[2] not in made.stdout
    twice = run("image-url", upload, "--width", "3", "--operation", "width:4", MILLRACE_IMAGE_KEY=signing)
    assert (twice.exit_code, "given twice" in twice.stderr) == (2, True)
    keyless = run("image-url", upload)
    assert (keyless.exit_code, "MILLRACE_IMAGE_KEY" in keyless.stderr) == (2, True)
    key_id = signing.partition(".")[0]
    whole = run("image-keys", "delete", signing)
    assert (whole.exit_code, "its id alone" in whole.stderr, signing in whole.output) == (1, True, False)
    assert run("image-keys", "retire", key_id, "--at", "2020-01-31T12:00Z").exit_code == 2
    assert httpx2.get(made.stdout.strip()).status_code == 202
    assert run("image-keys", "retire", key_id).stdout.startswith(f"{key_id}  retired ")
    assert httpx2.get(made.stdout.strip()).status_code == 403
    assert run("image-keys", "retire", key_id, "--at", "soon").exit_code == 2
    assert [line.split()[0] for line in run("image-keys").stdout.splitlines()[1:]] == [key_id]
    assert run("image-keys", "delete", key_id).stdout == f"{key_id}  deleted\n"
    assert run("image-keys").stderr == "There are no image keys.\n"
