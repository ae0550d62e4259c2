"""A name server, and web servers of which each answers with its own address: what HAProxy sees of Docker."""

import contextlib
import http.server
import socket
import threading


class NameServer:
    """Answers every query over UDP with all `addresses`, in another order each time. Use with `with`."""

    def __init__(self, addresses):
        self.addresses = addresses
        self.answers = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, client = self.socket.recvfrom(4096)
                self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        """The answer section has one record of type A for each address; its name points to the question."""
        self.answers += 1
        first = self.answers % len(self.addresses)
        records = [b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x04" + socket.inet_aton(address)
                   for address in self.addresses[first:] + self.addresses[:first]]
        question = query[12:query.index(b"\0", 12) + 5]
        return query[:2] + b"\x81\x80\0\x01" + len(records).to_bytes(2, "big") + bytes(4) + question + b"".join(records)


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        text = self.server.server_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(OSError):  # a health check does not read it
            self.wfile.write(text)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def web_servers(addresses, port):
    """A web server at each of the addresses."""
    with contextlib.ExitStack() as exits:
        for address in addresses:
            server = exits.enter_context(http.server.ThreadingHTTPServer((address, port), Answering))
            server.handle_error = lambda *_: None
            exits.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
