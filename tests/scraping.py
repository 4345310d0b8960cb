"""Reads what Prometheus would read."""

from collections import defaultdict
from collections.abc import Mapping

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.trust import TRUST_NOBODY

Scrape = Mapping[str, list[Sample]]


def parsed(text: str) -> Scrape:
    """The samples by their name."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(sample)
    return found


def scrape(url: str, key: str | None = None) -> Scrape:
    """What a process serves at `url`/metrics."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    answer = httpx2.get(f"{url}/metrics", headers=headers, timeout=10, verify=TRUST_NOBODY)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(answer.text)


def number(seen: Scrape, name: str, /, **labels: str) -> float:
    """The sum of those that have these labels, and perhaps others; 0 if there are none."""
    return sum(one.value for one in seen.get(name, ()) if labels.items() <= one.labels.items())
