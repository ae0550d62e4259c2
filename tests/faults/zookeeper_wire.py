"""Just enough of ZooKeeper's protocol to end the session of another client.

A client that knows the id and password of a session can continue it, and then close it. The server
derives the password from the id (SessionTrackerImpl and ZooKeeperServer: java.util.Random, seeded with
the id and a constant), and lists the ids in its answer to `cons`. So a test can make a session expire at
once, while its client is alive and unaware.
"""

import re
import socket
import struct
import time

SUPER_SECRET = 0xB3415C00
CLOSE_SESSION = -11
PASSWORD_LENGTH = 16
TRIES = 50
PAUSE_S = 0.02


def password_of(session):
    """16 bytes of java.util.Random(session ^ SUPER_SECRET)."""
    state = ((session ^ SUPER_SECRET) ^ 0x5DEECE66D) & ((1 << 48) - 1)
    password = b""
    while len(password) < PASSWORD_LENGTH:
        state = (state * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        password += struct.pack("<I", (state >> 16) & 0xFFFFFFFF)
    return password


def sessions(zookeeper):
    """Ids of the connected sessions, by the client's port."""
    lines = zookeeper.say("cons").splitlines()
    found = (re.search(r":(\d+)\[.*sid=0x([0-9a-f]+)", line) for line in lines)
    return {int(match.group(1)): int(match.group(2), 16) for match in found if match}


def read_exactly(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise EOFError(f"ZooKeeper ended the connection after {len(data)} of {length} bytes")
        data += piece
    return data


def receive(connection):
    return read_exactly(connection, struct.unpack(">i", read_exactly(connection, 4))[0])


def send(connection, body):
    connection.sendall(struct.pack(">i", len(body)) + body)


def continue_and_close(zookeeper, session):
    """Takes the session over and closes it. False if ZooKeeper does not know the session."""
    with socket.create_connection(("127.0.0.1", zookeeper.port), 5) as connection:
        connection.settimeout(5)
        password = password_of(session)
        send(connection, struct.pack(">iqiqi", 0, 0, 10000, session, len(password)) + password + b"\0")
        granted = struct.unpack_from(">iiq", receive(connection))[2]
        if granted != session:
            return False
        send(connection, struct.pack(">ii", 1, CLOSE_SESSION))
        receive(connection)
        return True


def end_session(zookeeper, session):
    """Closes a session: ZooKeeper deletes its nodes and notifies its client.

    The client reconnects as soon as its session is taken over. ZooKeeper then ends this connection,
    perhaps before the session is closed. In that case the session is taken over again.
    """
    broken = None
    for _ in range(TRIES):
        try:
            if continue_and_close(zookeeper, session) or broken:
                return  # unknown after a broken try: that try has closed it
            raise AssertionError(f"ZooKeeper does not know session {session:x}")
        except (OSError, EOFError) as error:
            broken = error
            time.sleep(PAUSE_S)
    raise AssertionError(f"session {session:x} was not closed in {TRIES} tries: {broken}")
