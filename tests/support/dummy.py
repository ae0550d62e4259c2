#!/usr/bin/env python3
"""A service that serves no request: it stands in for `holdfast` where a gate must turn red.

DUMMY_ANSWER is what it answers: a status, or `nothing` (it closes the connection). DUMMY_TO says to what: `all`,
or `work`: then only POST is refused, and all else looks as if the service worked, so a gate that believes set-up,
probes and metrics stays green. `migrate` does nothing. Other commands are passed on to DUMMY_REAL, the real program.
"""

import http.server
import itertools
import json
import os
import re
import signal
import sys

ANSWER, TO = os.environ["DUMMY_ANSWER"], os.environ["DUMMY_TO"]
METRICS = ("commit_seconds_count", "batch_size_count", "guard_acquired_total", "build_info")
STRATEGIES = ("optimistic", "conditional", "row-lock", "lock-table", "redis-lock", "zookeeper-lock", "etcd-lock")
ticks = itertools.count(1)  # all metrics grow with every look


class Dummy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    quantities = {}

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def answer(self, status, body, kind="application/json"):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if status == 503:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data)

    def refuse(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if ANSWER == "nothing":
            self.close_connection = True
        else:
            slug = {"401": "unauthorized", "503": "overloaded"}[ANSWER]
            self.answer(int(ANSWER), {"type": f"/problems/{slug}", "title": slug, "status": int(ANSWER)})

    do_POST = refuse

    def do_PUT(self):
        if TO == "all":
            return self.refuse()
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.quantities[self.path] = body.get("quantity", body.get("total", 0))
        return self.answer(200 if self.path.startswith("/v1/strategies/") else 201, {**body, "remaining": self.quantities[self.path], "version": 1})

    def do_GET(self):
        if TO == "all":
            return self.refuse()
        path = self.path.partition("?")[0]
        if path == "/metrics":
            text = "".join(f'holdfast_{name}{{endpoint="{endpoint}",strategy="conditional"}} {next(ticks)}\n'
                           for name in METRICS for endpoint in ("stock", "points"))
            return self.answer(200, text, "text/plain")
        if path == "/readyz":
            return self.answer(200, {"ready": True, "dependencies": {}})
        if path == "/v1/strategies":
            return self.answer(200, {"strategies": [{"name": name, "scope": "cluster", "usable": True, "why_not": None,
                                                     "lab_only": False, "rule": name} for name in STRATEGIES]})
        if path == "/v1/ledger":
            return self.answer(200, {"rows": [], "next_after_version": None})
        counter = re.sub("^/v1/", "", path)
        return self.answer(200, {"counter": counter, "sku": counter.rpartition("/")[2], "version": 1,
                                 "remaining": self.quantities.get(path, 0)})


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024  # with the default of 5 a crowd of clients waits for seconds


def main():
    if sys.argv[1:2] == ["migrate"]:
        return
    if sys.argv[1:2] != ["serve"]:
        os.execv(os.environ["DUMMY_REAL"], [os.environ["DUMMY_REAL"], *sys.argv[1:]])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # so that it is not its end that is noticed
    with Server(("127.0.0.1", 0), Dummy) as server:
        print(f"listening on 127.0.0.1:{server.server_address[1]}", file=sys.stderr, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
