"""A dashboard as the JSON that Grafana reads (schema version 38, Grafana 10.0: later ones bring it up to date)."""

import json
from collections.abc import Iterator
from typing import Any

from deploy.grafana.model import POSTGRES, PROMETHEUS, Choice, Dashboard, Look, Panel, Query, Row

COLUMNS = 24
ROW_HEIGHT, NUMBER_HEIGHT, PANEL_HEIGHT = 1, 4, 8
SCHEMA_VERSION = 38
SOURCES = {
    # Prometheus may be chosen above each dashboard; the database is the one that provisioning/ describes.
    PROMETHEUS: {"type": PROMETHEUS, "uid": "${datasource}"},
    POSTGRES: {"type": POSTGRES, "uid": "millrace-database"},
}


def text(dashboard: Dashboard) -> str:
    """Return the file's content."""
    return json.dumps(document(dashboard), indent=1, ensure_ascii=False) + "\n"


def document(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": f"millrace-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["millrace"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # the same moment in all panels
        "refresh": "30s" if dashboard.source == PROMETHEUS else "",
        "time": {"from": "now-3h" if dashboard.source == PROMETHEUS else "now-24h", "to": "now"},
        "timezone": "",
        "links": [_LINK],
        "annotations": {"list": [_ALERTS] if dashboard.source == PROMETHEUS else []},
        "templating": {"list": list(_choices(dashboard))},
        "panels": list(_panels(dashboard)),
    }


_LINK = {
    "title": "Millrace",
    "type": "dashboards",
    "tags": ["millrace"],
    "asDropdown": False,
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}

_ALERTS = {
    "name": "Alerts",
    "datasource": SOURCES[PROMETHEUS],
    "enable": True,
    "iconColor": "red",
    "expr": 'ALERTS{alertname=~"Millrace.+", alertstate="firing"}',
    "titleFormat": "{{alertname}}",
    "textFormat": "{{severity}} {{queue}}{{kind}}{{pool}}{{loop}}{{instance}}",
    "step": "60s",
}


def _choices(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    if dashboard.source == PROMETHEUS:
        yield {"name": "datasource", "label": "Source", "type": "datasource", "query": PROMETHEUS, "hide": 0}
    for choice in dashboard.choices:
        yield _choice(choice, dashboard.source)


def _choice(choice: Choice, source: str) -> dict[str, Any]:
    query: Any = choice.query if source == POSTGRES else {"query": choice.query, "refId": choice.name}
    every = {"includeAll": True, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}}
    return {
        "name": choice.name,
        "label": choice.label,
        "type": "query",
        "datasource": SOURCES[source],
        "definition": choice.query,
        "query": query,
        "refresh": 2,  # whenever the time is changed
        "sort": 1,
        "multi": choice.several,
        "hide": 0,
        **(every if choice.several else {"includeAll": False}),
    }


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in dashboard.rows:
        number += 1
        yield _row(row, number, top)
        top += ROW_HEIGHT
        left = height = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, height = 0, top + height, 0
            number += 1
            tall = NUMBER_HEIGHT if panel.look is Look.NUMBER else PANEL_HEIGHT
            place = {"x": left, "y": top, "w": panel.width, "h": tall}
            yield _panel(panel, number, place, dashboard.source)
            left, height = left + panel.width, max(height, tall)
        top += height


def _row(row: Row, number: int, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": COLUMNS, "h": ROW_HEIGHT}
    return {"id": number, "type": "row", "title": row.title, "gridPos": place, "collapsed": False, "panels": []}


def _panel(panel: Panel, number: int, place: dict[str, int], source: str) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.look.value,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCES[source],
        "gridPos": place,
        "targets": [_target(query, index, panel.look, source) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.look],
        "transformations": _transformations(panel, source),
    }


def _target(query: Query, index: int, look: Look, source: str) -> dict[str, Any]:
    shared = {"refId": chr(ord("A") + index), "datasource": SOURCES[source], "editorMode": "code"}
    if source == POSTGRES:
        kind = "time_series" if look is Look.LINES else "table"
        return {**shared, "rawQuery": True, "rawSql": query.text, "format": kind}
    is_now = look is not Look.LINES
    return {
        **shared,
        "expr": query.text,
        "legendFormat": query.legend or "__auto",
        "range": not is_now,
        "instant": is_now,
        "format": "table" if look is Look.TABLE else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green" if panel.bad_from is not None else "text", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    found: dict[str, Any] = {"unit": panel.unit.value, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.look is Look.LINES:
        found |= {"min": 0, "color": {"mode": "palette-classic"}, "custom": _drawn(panel)}
    elif panel.look is Look.NUMBER:
        found |= {"color": {"mode": "thresholds"}}
    return found


def _drawn(panel: Panel) -> dict[str, Any]:
    return {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 25 if panel.stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
    }


_OPTIONS: dict[Look, dict[str, Any]] = {
    Look.LINES: {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    Look.NUMBER: {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value",
    },
    Look.TABLE: {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "fields": ""}},
}


def _transformations(panel: Panel, source: str) -> list[dict[str, Any]]:
    if panel.look is not Look.TABLE or source == POSTGRES:
        return []
    hidden = dict.fromkeys(("Time", "__name__", *panel.hidden), True)
    named = {"Value": panel.value}
    return [{"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": named}}]
