"""One row under load: instances started on an empty database, the load tester against them, and what
the service, the kernel and the checker of histories say of it."""

import json
import os
import re
import subprocess
import tempfile

from processes import Processes, stack_pids
from rows import ROOT, ROUTES, cluster, new_database

LOAD = os.environ.get("HOLDFAST_LOAD", os.path.join(ROOT, "build/release/loadtest/holdfast-load"))
STOCK = 1000000
EXTRA_S = 90  # beyond the load itself: setting up, and reading and checking the ledger

COUNTERS = {
    "conflicts": "holdfast_conflicts_total",
    "sections_again": "holdfast_section_retries_total",
    "guard_refused": "holdfast_guard_enter_failed_total",
    "batches": "holdfast_batch_size_count",
    "batched": "holdfast_batch_size_sum",
}


class Failed(Exception):
    """A row or a ceiling could not be measured; the text says why."""


def brief(text):
    """A log in one line: its beginning and its end."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    return lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"


def run_watched(command, pids, name, limit_s):
    """Runs a program and samples its processor time, under this name, and that of the other processes.
    The program has always ended when this returns. Returns its exit code, output, error output, and
    the Processes."""
    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
            env=cluster.clean_environment()) as process:
        try:
            with Processes({**pids, name: [process.pid]}) as processes:
                output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{os.path.basename(command[0])} took more than {limit_s} s") from None
        finally:
            process.kill()  # does nothing to one that has ended
        errors.seek(0)
        return process.returncode, output, errors.read(), processes


def run_load(ports, pids, seconds, *arguments):
    """The load tester's report, and how busy each process was while it sent requests."""
    with tempfile.TemporaryDirectory(prefix="holdfast-scorecard-") as directory:
        path = os.path.join(directory, "load.json")
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        command = [LOAD, "run", *urls, *arguments, "--duration", f"{seconds}s", "--json", path, "--quiet"]
        code, _, errors, processes = run_watched(command, pids, "load", seconds + EXTRA_S)
        if code not in (0, 1) or not os.path.exists(path):
            raise Failed(f"the load tester ended with {code}: {brief(errors)}")
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    begin = report.get("started_at_ms")
    begin = begin / 1000 if begin else None
    end = begin + report["duration_s"] if begin else None
    return report, processes.cores(begin, end)


def read_metrics(texts):
    """The metrics of stock, summed over instances and strategies."""
    sums = dict.fromkeys(COUNTERS, 0.0)
    for text in texts:
        for name, value in re.findall(r'^(\w+)\{endpoint="stock"[^}]*\} (\S+)$', text, re.M):
            for key, metric in COUNTERS.items():
                if name == metric:
                    sums[key] += float(value)
    return sums


def service_metrics(servers):
    answers = [instance.call("GET", "/metrics") for instance in servers.instances]
    for answer in answers:
        if answer.status != 200:
            raise Failed(f"GET /metrics: {answer.status}")
    return read_metrics(answer.body for answer in answers)


def read_check(report):
    check = report.get("check") or {}
    if not check.get("done"):
        raise Failed(f"the history was not checked: {check.get('why_not') or 'no reason given'}")
    broken = {one["slug"]: one["violations"] for one in check.get("invariants", []) if one["violations"]}
    return check["violations"], broken


def sample(report, cores, metrics):
    """One measurement of a row, flat. Latencies are the load tester's, in milliseconds."""
    violations, broken = read_check(report)
    ok, failed = report["outcomes"]["ok"], report["outcomes"]["error"] + report["outcomes"]["unknown"]
    if ok <= failed:
        raise Failed(f"more operations failed than succeeded: {report['outcomes']}")
    latency = report["ok_latency_ms"]
    thousands = ok / 1000
    return {
        "rate": report["ok_rate"], "ok": ok,
        "p50_ms": latency["p50"], "p99_ms": latency["p99"], "p999_ms": latency["p99.9"],
        "conflicts": metrics["conflicts"] / thousands,
        "sections_again": metrics["sections_again"] / thousands,
        "guard_refused": metrics["guard_refused"] / thousands,
        "errors": failed / thousands,
        "batch": metrics["batched"] / metrics["batches"] if metrics["batches"] else None,
        "violations": violations, "broken": broken, "cpu": cores, "histogram": report["histogram"],
    }


def check_alive(servers):
    for number, instance in enumerate(servers.instances, 1):
        if instance.process.poll() is not None:
            log = instance.read_log().strip().splitlines()
            raise Failed(f"instance {number} ended with {instance.process.returncode}: {(log or [''])[-1]}")


def with_servers(engine, count, settings, work):
    """work(servers) with instances on an empty database; both are removed afterwards."""
    database, instances = new_database(engine), []
    try:
        with cluster.Cluster(database.store, count, **settings) as servers:
            instances = list(servers.instances)
            try:
                return work(servers)
            except (Failed, OSError, ValueError, KeyError):
                check_alive(servers)  # gives the better reason, if it raises
                raise
    finally:
        for instance in instances:
            instance.kill()
        database.drop()


def service_pids(servers):
    return {**stack_pids(), "service": [instance.process.pid for instance in servers.instances]}


def measure(row, options, rate=None):
    """`rate`: of an open loop; None: a closed loop."""
    schedule = () if rate is None else ("--rate", f"{rate:.0f}")
    route = () if row.route == "any" else ("--route", ROUTES[row.route])

    def work(servers):
        report, cores = run_load(servers.ports, service_pids(servers), options.seconds, "--scenario", "deduct",
                                 "--skus", str(row.skus), "--stock", str(STOCK),
                                 "--connections", str(options.connections), *route, *schedule)
        check_alive(servers)
        return sample(report, cores, service_metrics(servers))
    return with_servers(row.engine, int(row.instances), row.settings, work)
