"""holdfast-load inside the stack's network (profile `load`), against HAProxy.

It checks what its clients saw against the ledger. A violation fails the scene.
"""

import json
import os
import subprocess

from engine import ROOT, run

FICKLE = {"duplicate": "5%", "retry": 8, "timeout": "8s"}
MIXED = {"scenario": "mixed", "skus": 3, "connections": 32, "users": 400, "think": "2ms", **FICKLE}


class Load:
    """One run. Use with `with`; `finish` returns its report. `flags` are its flags without dashes."""

    count = 0

    def __init__(self, stack, seconds, **flags):
        Load.count += 1
        self.stack = stack
        self.name = f"{stack.project}-load-{Load.count}"
        self.report, self.history = (f"{self.name}.{end}" for end in ("json", "jsonl"))
        self.limit_s = seconds + 120
        settings = {"duration": f"{seconds}s", **flags, "json": f"/reports/{self.report}",
                    "history": f"/reports/{self.history}"}
        words = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        self.process = subprocess.Popen(
            stack.words("run", "--rm", "--no-deps", "-T", "--name", self.name, "--volume",
                        f"{stack.directory}/reports:/reports", "load", "run", "http://haproxy:8080", "--behind-proxy",
                        "--quiet", *words),
            env=stack.environment(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            run("docker", "rm", "--force", self.name, check=False)
            self.process.kill()
        self.process.communicate()
        path = f"{self.stack.directory}/reports/{self.history}"
        if os.path.exists(path):
            os.unlink(path)

    @property
    def running(self):
        return self.process.poll() is None

    def finish(self):
        """Waits for the end of the run. Returns its report; raises if it failed or found a violation."""
        text, _ = self.process.communicate(timeout=self.limit_s)
        path = f"{self.stack.directory}/reports/{self.report}"
        if self.process.returncode != 0 or not os.path.exists(path):
            raise AssertionError(f"the load tester failed, exit {self.process.returncode}:\n{text}")
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        check = report["check"]
        if not check["done"] or check["violations"] != 0 or report["outcomes"]["ok"] < 50:
            raise AssertionError(f"a violation, no check, or too few operations:\n{text}")
        return report


def measured(stack, seconds, **flags):
    with Load(stack, seconds, **flags) as load:
        return load.finish()
