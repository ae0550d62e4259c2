"""Scenes on observation: pages, reconciliation, Prometheus' targets and rules, the dashboard's expressions."""

import json
import math
import pathlib
import sys
import time
import urllib.parse

from engine import ROOT
from load import MIXED, Load
from registry import scene
from stack import INSTANCES, await_that

sys.path.append(f"{ROOT}/deploy/prometheus")
import dashboard as shown  # noqa: E402

STRATEGIES = {"stock": "redis-lock", "coupon": "etcd-lock", "lottery": "lock-table", "points": "redis-lock"}
PAGES = ("/", "/shop", "/lab", "/docs", "/guide", "/guide/lost-update", "/web/style.css", "/web/holdfast.mjs")
INTERVAL = "30s"  # for rates: six scrapes
TARGETS = {"holdfast": len(INSTANCES), "haproxy": 1, "prometheus": 1}


@scene("pages")
def pages(stack):
    """HAProxy serves the pages, under their policy. The laboratory is closed."""
    for path in PAGES:
        answer = stack.call("GET", path)
        policy = answer.headers.get("Content-Security-Policy", "")
        if answer.status != 200 or "script-src 'self'" not in policy:
            raise AssertionError(f"GET {path}: {answer.status}, policy {policy!r}")
    for method in ("GET", "POST"):
        answer = stack.call(method, "/v1/lab/runs", {"scenario": "lost-update"} if method == "POST" else None)
        if answer.status != 404:
            raise AssertionError(f"{method} /v1/lab/runs: {answer.status}, so the laboratory is open")
    return f"{len(PAGES)} pages under their policy, and no laboratory"


@scene("reconciliation")
def reconciliation(stack):
    """After all earlier scenes, counters, ledger, coupons and draws agree."""
    answer = stack.call("POST", "/v1/reconciliation", admin=True, timeout_s=300)
    report = answer.body
    if answer.status != 200 or not report["complete"] or not report["clean"]:
        raise AssertionError(json.dumps(report, indent=1)[:4000])
    return (f"clean: {report['counters']:,} counters, {report['ledger_rows']:,} ledger rows,"
            f" {report['coupons']:,} coupons, {report['draws']:,} draws, in {report['took_ms']:,} ms")


def targets_up(stack):
    """The number of targets by job, or nothing while a target is not up."""
    active = stack.prometheus("/api/v1/targets?state=active")["activeTargets"]
    up = {}
    for target in active:
        if target["health"] != "up":
            return {}
        up[target["labels"]["job"]] = up.get(target["labels"]["job"], 0) + 1
    return up


@scene("prometheus")
def prometheus(stack):
    """Every target answers, and every rule is loaded and evaluates without an error."""
    await_that(lambda: targets_up(stack) == TARGETS, 60, f"targets up are {TARGETS}", 1)
    files = pathlib.Path(ROOT, "deploy/prometheus/rules").glob("*.yml")
    written = sum(path.read_text().count("- alert:") for path in files)
    rules = [rule for group in stack.prometheus("/api/v1/rules")["groups"] for rule in group["rules"]]
    ill = [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]
    if ill or len(rules) != written:
        raise AssertionError(f"{len(rules)} of {written} rules are loaded, with errors: {ill}")
    firing = sorted(rule["name"] for rule in rules if rule["state"] == "firing")
    return (f"{sum(TARGETS.values())} targets up, {len(rules)} rules healthy;"
            f" firing after the earlier scenes: {', '.join(firing) or 'none'}")


def silent(stack, expressions):
    """The panels whose expression returns no finite number."""
    found = {}
    for title, expression in expressions:
        path = f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        values = [float(series["value"][1]) for series in stack.prometheus(path)["result"]]
        if not any(map(math.isfinite, values)):
            found[title] = expression
    return found


@scene("dashboard")
def dashboard(stack):
    """Every expression returns numbers under load."""
    expressions = shown.expressions(shown.load(), INTERVAL)
    stack.set_strategies(STRATEGIES)
    with Load(stack, 45, **MIXED) as load:
        end = time.monotonic() + 40
        time.sleep(20)  # rates need several scrapes
        while (missing := silent(stack, expressions)) and load.running and time.monotonic() < end:
            time.sleep(1)
        load.finish()
    stack.set_strategy("conditional")
    if missing:
        raise AssertionError(f"no numbers: {missing}")
    panels = len({title for title, _ in expressions})
    return f"{panels} panels, {len(expressions)} expressions, each returns numbers under load"
