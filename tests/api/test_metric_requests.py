"""What the API counts of its own requests: by route and never by path."""

from tests.api.conftest import Api
from tests.api.stream import watching
from tests.documents import ECHO, put_in
from tests.scraping import Scrape, number, scrape
from tests.waiting import until

REQUESTS = "millrace_http_requests_total"


def test_requests_are_counted_by_route_method_and_status(api: Api) -> None:
    key = api.key(api.acme, "operate:read")
    job = put_in(api.database, api.acme.tenant)

    def seen() -> Scrape:
        return scrape(api.url, key)

    def gained(name: str, **labels: str) -> float:
        return number(seen(), name, **labels) - number(before, name, **labels)

    before = seen()
    assert api.acme.get(f"/v1/jobs/{job.id}").status_code == 200
    assert api.acme.get("/v1/jobs/job_00000000000000000000000000").status_code == 404
    assert api.acme.get("/nowhere/at/all").status_code == 404
    assert api.acme.http.request("PROPFIND", "/livez").status_code == 405
    assert api.acme.post(json=ECHO).status_code == 202
    assert api.acme.ask("POST", "/v1/uploads", files={"file": ("a.txt", b"x" * 1000)}).status_code == 201
    assert gained(REQUESTS, method="GET", route="/v1/jobs/{job_id}", status="200") == 1
    assert gained(REQUESTS, method="GET", route="/v1/jobs/{job_id}", status="404") == 1
    assert gained("millrace_http_request_seconds_count", route="/v1/jobs/{job_id}") == 2
    assert gained(REQUESTS, method="GET", route="none", status="404") == 1
    assert gained(REQUESTS, method="other", status="405") == 1
    assert gained("millrace_jobs_accepted_total", via="http") == 1
    assert gained("millrace_upload_bytes_total") == 1000
    assert number(seen(), "millrace_http_requests_in_progress") == 1  # the one that asks
    assert job.id not in str(seen())


def test_a_client_that_watches_is_told_while_it_does(api: Api) -> None:
    key = api.key(api.acme, "operate:read")
    job = put_in(api.database, api.acme.tenant)

    def streams() -> float:
        return number(scrape(api.url, key), "millrace_event_streams")

    route = "/v1/jobs/{job_id}/events"
    assert streams() == 0
    before = number(scrape(api.url, key), "millrace_http_request_seconds_count", route=route)  # of those refused
    with watching(api.acme, job.id):
        until(lambda: streams() == 1)
    until(lambda: streams() == 0)
    seen = scrape(api.url, key)
    assert number(seen, REQUESTS, route=route, status="200") >= 1
    assert number(seen, "millrace_http_request_seconds_count", route=route) == before
