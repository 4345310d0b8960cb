"""All dashboards, and where their JSON is kept."""

from pathlib import Path

from deploy.grafana import kind, overview, queue, tenant, worker

FOLDER = Path(__file__).parent / "dashboards"

ALL = (overview.DASHBOARD, queue.DASHBOARD, kind.DASHBOARD, worker.DASHBOARD, tenant.DASHBOARD)
