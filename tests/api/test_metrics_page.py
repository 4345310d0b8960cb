"""docs/metrics.md has every number that is served, with its labels and its type, and no other."""

import re
from pathlib import Path

from prometheus_client import parser

from storage import processes
from storage.processes import Known
from storage.telemetry.metric_kinds import Counter, Gauge, Histogram, Kind
from storage.telemetry.metrics import ALL
from tests.api.conftest import Api
from tests.api.deciding import decide, serve
from tests.api.working import failed, start, succeed
from tests.documents import put_in

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
ROW = re.compile(r"\| `((?:millrace|celery)_\w+)`(?: \*)? \|([\w, ]*)\| (gauge|counter|histogram) \| (.+) \|")

Described = tuple[frozenset[str], str]


def on_the_page() -> dict[str, Described]:
    rows = [ROW.fullmatch(line) for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| `(mill|cel)", line)]
    assert all(rows), "every row of a metric has a name, labels, a type and words"
    found = [(row[1], (frozenset(filter(None, row[2].strip().split(", "))), row[3])) for row in rows if row]
    assert len(dict(found)) == len(found)
    return dict(found)


def counted() -> dict[str, Described]:
    return {kind.name: (frozenset(kind.labels), _type(kind)) for kind in ALL}


def _type(kind: Kind) -> str:
    match kind:
        case Counter():
            return "counter"
        case Gauge():
            return "gauge"
        case Histogram():
            return "histogram"


def read_from_rows(api: Api) -> dict[str, Described]:
    """What the API serves besides, once there is something of everything."""
    decide(api.database)
    serve(api.database, "default")
    failed(api)
    succeed(api, start(api, put_in(api.database, api.acme.tenant)))
    with api.database.platform() as tx:
        processes.seen(tx, Known(name="scaler@a/1", role="scaler", version="1", metrics_url=None, detail={}))
    text = api.acme.ask("GET", "/metrics", key=api.key(api.acme, "operate:read")).text
    found = {}
    for family in parser.text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = frozenset(label for sample in family.samples for label in sample.labels if label != "le")
        found[name] = (labels, family.type)
    return {name: described for name, described in found.items() if name not in counted()}


def test_the_page_has_every_number_that_is_served_and_no_other(own_api: Api) -> None:
    assert on_the_page() == counted() | read_from_rows(own_api)
