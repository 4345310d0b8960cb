"""Grafana's dashboards, written here as panels and queries; beside them the JSON that Grafana 10 and later read."""
