"""The dashboard's expressions, as Grafana sends them to Prometheus."""

import json
import pathlib

DASHBOARD = pathlib.Path(__file__).resolve().parent.parent / "grafana/dashboards/holdfast.json"
VARIABLES = ("instance", "endpoint", "strategy")  # replaced as if everything is selected


def load():
    return json.loads(DASHBOARD.read_text())


def plain(expression, interval):
    """An expression without Grafana's variables."""
    expression = expression.replace("$__rate_interval", interval)
    for name in VARIABLES:
        expression = expression.replace(f"${name}", ".*")
    return expression


def expressions(document, interval="1m"):
    """(title, expression) of every panel. Without annotations, whose expressions may return nothing."""
    return [(panel["title"], plain(target["expr"], interval))
            for panel in document["panels"] for target in panel.get("targets", ())]
