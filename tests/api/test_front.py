"""The page's files, as the API serves them."""

import gzip
import re
import tomllib
from pathlib import Path

import httpx2
import pytest

from api import front
from tests.api.conftest import Api
from tests.trust import TRUST_NOBODY

ROOT = Path(front.__file__).parent.parent
IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](\.[^"']+)["']""")


def asked(api: Api, path: str, **headers: str) -> httpx2.Response:
    with httpx2.Client(base_url=api.url, verify=TRUST_NOBODY) as anybody:
        return anybody.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def linked(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="(page/[^"]+)"', page)


def test_the_page_and_what_it_links_to_come_without_a_key_and_from_here_alone(api: Api) -> None:
    page = asked(api, "/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    links = linked(page.text)
    assert len(links) > 5
    assert {asked(api, f"/{link}").status_code for link in links} == {200}
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)


def test_nothing_in_the_page_runs_that_is_not_a_file_of_ours(api: Api) -> None:
    page = asked(api, "/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page.text)
    assert page.headers["x-content-type-options"] == "nosniff"


def test_what_the_page_runs_bears_a_number_that_no_other_answer_has(api: Api) -> None:
    """And nothing else on this host runs in it: files of tenants are here, too."""
    numbers = []
    for _ in range(2):
        page = asked(api, "/")
        (policy,) = re.findall(r"script-src ([^;]*);", page.headers["content-security-policy"])
        (number,) = re.fullmatch(r"'nonce-([A-Za-z0-9_-]{24})'", policy).groups()  # type: ignore[union-attr]
        assert f"style-src {policy};" in page.headers["content-security-policy"]
        loads = re.findall(r"<script[^>]*>|<link[^>]*rel=\"(?:stylesheet|modulepreload)[^>]*>", page.text)
        assert len(loads) > 5
        assert [load for load in loads if f' nonce="{number}"' not in load] == []
        numbers.append(number)
    assert numbers[0] != numbers[1]


def test_a_file_is_kept_for_good_under_its_versions_address_and_asked_for_again_under_another(api: Api) -> None:
    (address,) = [link for link in linked(asked(api, "/").text) if link.endswith("app.js")]
    kept = asked(api, f"/{address}")
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.headers["content-type"] == "text/javascript; charset=utf-8"
    other = asked(api, "/page/0123456789abcdef/app.js")  # as a page of the version before asks, during an update
    assert (other.content, other.headers["cache-control"]) == (kept.content, "no-cache")


def test_what_has_not_changed_is_not_sent_again(api: Api) -> None:
    file = asked(api, "/page/x/app.js")
    assert file.headers["cache-control"] == "no-cache"
    again = asked(api, "/page/x/app.js", If_None_Match=f'"other", W/{file.headers["etag"]}')
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == file.headers["etag"]
    assert asked(api, "/page/x/app.js", If_None_Match='"other"').status_code == 200
    assert "etag" not in asked(api, "/").headers  # that is another one each time


@pytest.mark.parametrize(
    ("accepted", "packed"), [("gzip, br", True), ("br", False), ("gzip;q=0", False), ("GZIP; q=0.5", True)]
)
def test_files_come_compressed_to_who_takes_that(api: Api, accepted: str, packed: bool) -> None:
    with httpx2.Client(base_url=api.url, verify=TRUST_NOBODY) as anybody:
        request = anybody.build_request("GET", "/page/x/lib/preact.js", headers={"Accept-Encoding": accepted})
        answer = anybody.send(request, stream=True)
        raw = b"".join(answer.iter_raw())
    assert (answer.headers.get("content-encoding") == "gzip") is packed
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (gzip.decompress(raw) if packed else raw) == (front.FOLDER / "lib" / "preact.js").read_bytes()


@pytest.mark.parametrize("path", ["nothing.js", "../front.py", "%2e%2e/front.py", "lib", "lib/", ""])
def test_only_files_of_the_page_are_found(api: Api, path: str) -> None:
    answer = asked(api, f"/page/x/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_every_file_that_a_module_imports_is_there() -> None:
    missing = []
    modules = sorted(front.FOLDER.rglob("*.js"))
    for module in modules:
        for name in IMPORT.findall(module.read_text(encoding="utf-8")):
            if not (module.parent / name).is_file():
                missing.append(f"{module.relative_to(front.FOLDER)} imports {name}")
    assert missing == []
    assert len(modules) > 30


def test_the_licences_of_what_is_not_ours_come_with_it(api: Api) -> None:
    text = asked(api, "/page/x/lib/LICENSES.txt").text
    assert "The MIT License" in text
    assert "Apache License" in text


def test_a_wheel_carries_the_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "api" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()  # hatchling leaves out what git does
    parts = {part for path in front.FOLDER.rglob("*") for part in path.relative_to(ROOT).parts}
    assert not parts & {line.strip("/") for line in ignored}


def test_what_the_first_view_needs_is_asked_for_at_once_and_nothing_else(api: Api) -> None:
    """As deep as modules import each other, so many times a browser would have to wait for an answer."""
    told = {link.split("/", 2)[2] for link in linked(asked(api, "/").text) if link.endswith(".js")} - {"theme.js"}
    needed, left = set(), {"app.js"}
    while left:
        name = left.pop()
        needed.add(name)
        source = (front.FOLDER / name).read_text(encoding="utf-8")
        statements = re.findall(r"""^(?:import|export|\})[^;]*?\bfrom "(\.[^"]+)";""", source, re.MULTILINE)
        at = (front.FOLDER / name).parent
        left |= {(at / one).resolve().relative_to(front.FOLDER).as_posix() for one in statements} - needed
    assert told == needed
