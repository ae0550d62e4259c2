"""Strangers: a process that holds many connections to a service without ever sending a whole request.

    python3 strangers.py PORT COUNT RECONNECTS BYTES

A connection that the service closes is opened again, at most RECONNECTS times a second in all (0: at
once). BYTES are sent on each connection after it is opened. Prints a line when COUNT have
been opened. Ends when its standard input does."""

import errno
import resource
import select
import socket
import subprocess
import sys
import time

SOURCES = 8  # addresses: each has its own ephemeral ports
OPENED_AT_ONCE = 64
RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger: closing leaves no TIME_WAIT behind


class Strangers:
    """The process, until the end of the block."""

    def __init__(self, port, count, reconnects=0, sends=b""):
        self.command = [sys.executable, __file__, str(port), str(count), str(reconnects), sends.decode()]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if not self.process.stdout.readline():
            raise AssertionError("the strangers could not connect")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def connect(port, number):
    stranger = socket.socket()
    stranger.setblocking(False)
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    stranger.bind((f"127.0.0.{2 + number % SOURCES}", 0))
    if stranger.connect_ex(("127.0.0.1", port)) not in (0, errno.EINPROGRESS):
        raise OSError("cannot connect")
    return stranger


def hold(port, count, reconnects, sends):
    events = select.epoll()
    events.register(sys.stdin.fileno(), select.EPOLLIN)
    held, opened, announced = {}, 0, False
    tokens, then = 0.0, time.monotonic()
    while True:
        now = time.monotonic()
        tokens, then = min(tokens + (now - then) * reconnects, OPENED_AT_ONCE), now
        for _ in range(min(count - len(held), OPENED_AT_ONCE)):
            if announced and reconnects > 0:
                if tokens < 1:
                    break
                tokens -= 1
            stranger = connect(port, opened)
            opened += 1
            held[stranger.fileno()] = stranger
            events.register(stranger.fileno(), select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
        if opened >= count and not announced:
            announced = True
            print("open", flush=True)
        for fd, seen in events.poll(0.005 if len(held) < count else 1):
            if fd == sys.stdin.fileno():
                return
            if seen & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                held.pop(fd).close()
            elif sends:
                try:
                    held[fd].send(sends)
                except OSError:
                    pass  # its end is reported as an event


def main():
    port, count, reconnects, sends = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    hold(int(port), int(count), int(reconnects), sends.encode())


if __name__ == "__main__":
    main()
