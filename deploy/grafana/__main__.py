"""`python -m deploy.grafana`: writes the dashboards' JSON anew, after a change of deploy/grafana/*.py."""

from deploy.grafana import document
from deploy.grafana.catalog import ALL, FOLDER

if __name__ == "__main__":
    for dashboard in ALL:
        (FOLDER / f"{dashboard.name}.json").write_text(document.text(dashboard), encoding="utf-8")
