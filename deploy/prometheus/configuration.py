"""prometheus.yml for a platform of one machine, and the rules as Kubernetes' Prometheus operator takes them."""

from pathlib import Path
from textwrap import indent
from urllib.parse import urlsplit

import yaml

FOLDER = Path(__file__).parent
RULES = FOLDER / "rules"
MANIFEST = FOLDER.parent / "k8s" / "monitoring" / "rules.yaml"

_HEAD = """\
# The rules of deploy/prometheus/rules as the Prometheus operator takes them. Change them there:
# `python -m deploy.prometheus manifest` has written this file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: millrace
  labels:
    app.kubernetes.io/part-of: millrace
spec:
  groups:
"""


def for_platform(api: str, key: Path, *, seconds: int | None = None) -> str:
    """Return prometheus.yml for the API at this address, with the key in this file.

    `seconds`: scrape and evaluate as often as that, and not as prometheus.yml says.
    """
    document = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    if seconds is not None:
        document["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{seconds}s")
    document["rule_files"] = [str(RULES / "*.yml")]
    for job in document["scrape_configs"]:
        for place in (job, *job.get("http_sd_configs", ())):
            if "authorization" in place:
                place["authorization"]["credentials_file"] = str(key)
            if "url" in place:
                place["url"] = api + urlsplit(place["url"]).path
                place["refresh_interval"] = f"{seconds or 5}s"
        for targets in job.get("static_configs", ()):
            targets["targets"] = [urlsplit(api).netloc]
    return yaml.safe_dump(document, sort_keys=False)


def manifest() -> str:
    """Return the PrometheusRule with all groups of all files, as they are written there."""
    return _HEAD + "".join(_indented(file) for file in sorted(RULES.glob("*.yml")))


def _indented(file: Path) -> str:
    _, groups = file.read_text(encoding="utf-8").split("groups:\n", 1)
    return indent(groups, "  ")
