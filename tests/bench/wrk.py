"""Runs wrk, which counts refusals as answers and ends with 0 if there were none at all."""

import os
import re
import subprocess
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


class Failed(SystemExit):
    """Ends the benchmark: its figures would be of other work."""


class Answers(NamedTuple):
    """What wrk has measured. Times are in seconds."""

    rate: float  # of answers a second
    refused: float  # the share of answers that were not 2xx or 3xx
    median: float
    p99: float


def read(text):
    """Reads the output of `wrk --latency`. Raises Failed if a request got no answer, or none was sent."""
    answered = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if "Socket errors" in text or not answered or not rate or int(answered.group(1)) == 0:
        raise Failed(f"wrk: requests without an answer:\n{text}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    latency = {share: float(value) * UNITS[unit] for share, value, unit in
               re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s)$", text, re.M)}
    return Answers(float(rate.group(1)), int(refused.group(1)) / int(answered.group(1)) if refused else 0.0,
                   latency["50"], latency["99"])


def run(url, script, seconds, connections, may_refuse=0.0, **environment):
    """Runs a script of this directory with one thread. Raises Failed if more than this share was refused."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", os.path.join(HERE, script), url],
        env=dict(os.environ, **environment), capture_output=True, text=True, check=False, timeout=seconds + 30)
    if done.returncode:
        raise Failed(f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}")
    answers = read(done.stdout)
    if answers.refused > may_refuse:
        raise Failed(f"wrk: {100 * answers.refused:.0f} % were refused:\n{done.stdout}")
    return answers
