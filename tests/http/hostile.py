"""A server that answers the load tester with whatever bytes a test wants, and never with an error of its own."""

import http.client
import json
import re
import socket
import threading


class Request:
    def __init__(self, method, path):
        self.method, self.path = method, path

    def is_change(self):
        return self.method == "POST"


def answer(body, status=200, media_type="application/json"):
    """A well-formed answer; `body` is bytes, or an object for JSON."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return (f"HTTP/1.1 {status} {http.client.responses[status]}\r\nContent-Type: {media_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def shop(request):
    """What a shop with one product answers to control requests: a counter without a history."""
    if request.path.startswith("/v1/ledger"):
        return answer({"counter": "", "rows": [], "next_after_version": None})
    return answer({"version": 1, "remaining": 1000})


class Hostile:
    """Serves on loopback until the `with` block ends. `respond(request)` gives the bytes, or an iterator of bytes
    that are sent one after the other until the client closes the connection. With None it closes each connection at
    once."""

    def __init__(self, respond):
        self.respond, self.requests, self.connections = respond, [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for connection in [self.listener, *self.connections]:
            try:
                connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
            except OSError:
                pass
            connection.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            if self.respond is None:
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rb") as stream:
                while line := stream.readline():
                    method, path, _ = line.decode().split(" ", 2)
                    length = 0
                    while (field := stream.readline()) not in (b"\r\n", b""):
                        if found := re.match(rb"content-length:\s*(\d+)", field, re.I):
                            length = int(found[1])
                    stream.read(length)
                    request = Request(method, path)
                    self.requests.append(request)
                    sent = self.respond(request)
                    for piece in [sent] if isinstance(sent, bytes) else sent:
                        connection.sendall(piece)
        except (OSError, ValueError):
            pass  # the client closed the connection, or the test is over
