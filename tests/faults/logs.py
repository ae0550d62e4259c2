"""The logs of a scene: of its instances, of the private servers, of the load tester and its history.

They are deleted with a scene that held. Those of a scene that failed are moved to KEPT, where the message of
the failure finds them, and their last lines are printed.
"""

import os
import shutil
import tempfile

from cluster import ROOT

KEPT = os.environ.get("HOLDFAST_FAULT_LOGS", os.path.join(ROOT, ".stack/faults"))
LINES = 6  # printed of each log
TAIL_BYTES = 8192
DATA = (".jsonl", ".json", ".tsv")  # kept, and not printed


class Logs:
    """A directory below `parent`. Of the servers' logs (name -> path) it keeps what they write from now on."""

    def __init__(self, parent, servers):
        self.directory = tempfile.mkdtemp(dir=parent, prefix="scene-")
        self.servers = servers
        self.starts = {path: os.path.getsize(path) for path in servers.values() if os.path.exists(path)}

    def path(self, name):
        return os.path.join(self.directory, name)

    def add(self, name, text):
        """Appends the text to a log."""
        with open(self.path(name), "a", encoding="utf-8") as file:
            file.write(text)

    def add_servers(self):
        for name, path in self.servers.items():
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    file.seek(self.starts.get(path, 0))
                    self.add(f"{name}.log", file.read())

    def show(self):
        """Prints the last lines of each log."""
        for name in sorted(os.listdir(self.directory)):
            if not name.endswith(DATA):
                with open(self.path(name), "rb") as file:
                    file.seek(-min(TAIL_BYTES, os.path.getsize(file.name)), os.SEEK_END)
                    lines = file.read().decode(errors="replace").splitlines()
                print(f"  {name}:", *lines[-LINES:], sep="\n    ")

    def keep(self, name):
        """Moves them to a new directory of this name, and returns its path."""
        os.makedirs(KEPT, exist_ok=True)
        target, n = os.path.join(KEPT, name), 1
        while os.path.exists(target):
            n += 1
            target = os.path.join(KEPT, f"{name}-{n}")
        shutil.move(self.directory, target)
        os.chmod(target, 0o755)
        return target

    def delete(self):
        shutil.rmtree(self.directory, ignore_errors=True)
