"""A proxy before a MySQL or MariaDB server that lets a statement fail with a given error number.

It forwards everything, but replaces a statement in the packets that clients send: by one that makes the
server itself raise the error (SIGNAL), before or after the statement ran. So the answer is the server's own,
and session and transaction are as after a real error. Error numbers of the client library mean that the
connection broke: the proxy closes it instead.
"""

import re
import socket
import socketserver
import threading

QUERY = 3  # COM_QUERY
CLIENT_ERRORS = range(2000, 3000)


def receive(connection, n):
    """Exactly n bytes, or raises EOFError."""
    data = b""
    while len(data) < n:
        part = connection.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data


class Fault:
    """Lets the first `times` statements that match the pattern fail with the number. `after`: the statement
    has its effect first, which only COMMIT can."""

    def __init__(self, pattern, number, after=False, times=1 << 30):
        self.pattern = re.compile(pattern)
        self.number = number
        self.after = after
        self.left = times
        self.met = 0

    def failing(self, statement):
        """The statement that replaces this one, which may be in the middle of a packet."""
        what = "" if statement != "COMMIT" else "COMMIT;" if self.after else "ROLLBACK;"
        return (f"BEGIN NOT ATOMIC {what} SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {self.number},"
                f" MESSAGE_TEXT = 'played by the test'; END")


class Answer(Fault):
    """Lets a query for one number answer with this one."""

    def failing(self, statement):
        return f"SELECT {self.number}"


class Wire:
    """Listens on a port of loopback, `port`. `choose` maps the text of a packet to a Fault or None."""

    def __init__(self, server, choose):
        self.server = server
        self.choose = choose
        self.mutex = threading.Lock()
        wire = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                wire.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self.listener = Server(("127.0.0.1", 0), Handler)
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, args=(0.1,), daemon=True).start()

    def close(self):
        self.listener.shutdown()
        self.listener.server_close()

    def serve(self, client):
        lost = threading.Event()  # the next answer does not arrive
        with socket.create_connection(self.server) as server:
            for end in client, server:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.carry_down, args=(server, client, lost), daemon=True).start()
            try:
                while True:
                    head = receive(client, 4)
                    payload = receive(client, int.from_bytes(head[:3], "little"))
                    if head[3] == 0 and payload[0] == QUERY:
                        payload = self.rewrite(payload, lost)
                    server.sendall(len(payload).to_bytes(3, "little") + head[3:] + payload)
            except (EOFError, OSError):
                pass
            for end in client, server:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    @staticmethod
    def carry_down(server, client, lost):
        try:
            while (data := server.recv(65536)) and not lost.is_set():
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def rewrite(self, payload, lost):
        text = payload[1:].decode("utf-8", "surrogateescape")
        fault = self.choose(text)
        found = fault and fault.pattern.search(text)
        if not found:
            return payload
        with self.mutex:
            if fault.left == 0:
                return payload
            fault.left -= 1
            fault.met += 1
        if fault.number in CLIENT_ERRORS and fault.after:
            lost.set()
            return payload
        if fault.number in CLIENT_ERRORS:
            raise EOFError
        text = text[:found.start()] + fault.failing(found.group()) + text[found.end():]
        return payload[:1] + text.encode("utf-8", "surrogateescape")
