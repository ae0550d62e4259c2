#!/usr/bin/env python3
"""Checks the files for Prometheus and Grafana: the configuration, the alerts and their tests, the dashboard,
and that the service exports every metric that they name.

    python3 deploy/prometheus/lint.py

Needs promtool (package prometheus). Whether the dashboard shows numbers is checked on a running stack, by
`./dev e2e`.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

from dashboard import DASHBOARD, expressions, load, plain

HERE = pathlib.Path(__file__).resolve().parent
GRAFANA = HERE.parent / "grafana"
SERVICE = HERE.parent.parent / "service"
SEVERITIES = {"page", "ticket"}
ANNOTATIONS = {"summary", "meaning", "action"}
# Browsers compute in doubles: a larger integer changes when it is saved again.
EXACT = 2**53
COLUMNS = 24


class Linter:
    def __init__(self):
        self.errors = []

    def error(self, where, what):
        self.errors.append(f"{where}: {what}")

    def promtool(self, where, *arguments):
        done = subprocess.run(["promtool", *map(str, arguments)], cwd=HERE, capture_output=True,
                              text=True, check=False)
        if done.returncode:
            self.error(where, (done.stdout + done.stderr).strip())

    def rules(self):
        """Each alert has a severity, a summary, a meaning and an action, and a test in which it fires."""
        tested = "".join(path.read_text() for path in (HERE / "tests").glob("*.yml"))
        seen = set()
        for path in sorted((HERE / "rules").glob("*.yml")):
            for rule in (rule for group in yaml.safe_load(path.read_text())["groups"]
                         for rule in group["rules"]):
                name = rule["alert"]
                if name in seen:
                    self.error(path.name, f"{name} twice")
                seen.add(name)
                if rule["labels"].get("severity") not in SEVERITIES:
                    self.error(name, f"the severity must be one of {', '.join(sorted(SEVERITIES))}")
                if set(rule["annotations"]) != ANNOTATIONS:
                    self.error(name, f"the annotations must be {', '.join(sorted(ANNOTATIONS))}")
                if f'alertname="{name}"' not in tested:
                    self.error(name, "it fires in no test")

    def tests(self):
        for path in sorted((HERE / "tests").glob("*.yml")):
            self.promtool(path.name, "test", "rules", path)

    def syntax(self, document):
        """Checks the dashboard's expressions as rules, because promtool parses only those."""
        found = expressions(document) + [(annotation["name"], plain(annotation["expr"], "1m"))
                                         for annotation in document["annotations"]["list"]]
        rules = [{"record": f"panel:{n}", "expr": expression} for n, (_, expression) in enumerate(found)]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
            file.flush()
            self.promtool(DASHBOARD.name, "check", "rules", file.name)

    def panels(self, document):
        source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
        uids = {entry["uid"] for entry in source["datasources"]}
        ids, squares = set(), {}
        for panel in document["panels"]:
            where = f"{DASHBOARD.name}, {panel['title']}"
            if panel["id"] in ids:
                self.error(where, f"id {panel['id']} twice")
            ids.add(panel["id"])
            self.place(where, panel["gridPos"], squares)
            if panel["type"] == "row":
                continue
            if not panel.get("description"):
                self.error(where, "no description")
            if not panel["fieldConfig"]["defaults"].get("unit"):
                self.error(where, "no unit")
            for target in panel["targets"]:
                if target["datasource"]["uid"] not in uids:
                    self.error(where, f"no datasource {target['datasource']['uid']} is provisioned")

    def place(self, where, at, squares):
        if at["x"] + at["w"] > COLUMNS:
            self.error(where, "exceeds the grid on the right")
        for square in ((x, y) for x in range(at["x"], at["x"] + at["w"])
                       for y in range(at["y"], at["y"] + at["h"])):
            if square in squares:
                self.error(where, f"overlaps {squares[square]}")
                return
            squares[square] = where

    def numbers(self, value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                self.numbers(item)
        elif isinstance(value, int) and abs(value) > EXACT:
            self.error(DASHBOARD.name, f"{value} is too large for a browser")

    def names(self):
        """Each metric named in alerts and dashboard occurs as a quoted name in the service's sources."""
        sources = "".join(path.read_text() for path in SERVICE.rglob("*.c"))
        known = set(re.findall(r'"((?:holdfast|process)_[a-z_]+)[" {]', sources))
        for path in [DASHBOARD, *HERE.glob("rules/*.yml"), *HERE.glob("tests/*.yml")]:
            for name in sorted(set(re.findall(r"\b(?:holdfast|process)_[a-z_]+", path.read_text()))):
                if name not in known and re.sub("_(bucket|sum|count)$", "", name) not in known:
                    self.error(path.name, f"the service has no {name}")


def main():
    linter = Linter()
    document = load()
    linter.promtool("prometheus.yml", "check", "config", "prometheus.yml")
    linter.rules()
    linter.tests()
    linter.syntax(document)
    linter.panels(document)
    linter.numbers(document)
    linter.names()
    for error in linter.errors:
        print(error, file=sys.stderr)
    print(f"{len(document['panels'])} panels, {len(expressions(document))} expressions,"
          f" {len(linter.errors)} errors")
    return 1 if linter.errors else 0


if __name__ == "__main__":
    sys.exit(main())
