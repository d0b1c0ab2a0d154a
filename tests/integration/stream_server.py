"""A server of many streams in a process of its own: ``python stream_server.py STREAMS EVENTS PAUSE_S``.

It prints its port, and sends no event before STREAMS requests are there: all of them are then streams at the same time.
Each gets EVENTS events, PAUSE_S apart, then its end; the process ends with the last connection.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import sys
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DATA = b"data: " + b"x" * 90 + b"\n\n"
EVENT = b"%x\r\n%s\r\n" % (len(DATA), DATA)
END = b"0\r\n\r\n"


def main(streams: int, events: int, pause_s: float) -> None:
    """Serve until every connection is closed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    connections: dict[int, socket.socket] = {}
    asked: list[socket.socket] = []
    with select.epoll() as poll:
        poll.register(listener.fileno(), select.EPOLLIN)
        while len(asked) < streams:
            for descriptor, _ in poll.poll(30):
                if descriptor == listener.fileno():
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connections[connection.fileno()] = connection
                    poll.register(connection.fileno(), select.EPOLLIN)
                elif connections[descriptor].recv(4096):
                    asked.append(connections[descriptor])
                    connections[descriptor].sendall(HEAD)
                else:
                    sys.exit("a connection was closed before all streams were there")
        for _ in range(events):
            time.sleep(pause_s)
            send_to_all(asked, EVENT)
        send_to_all(asked, END)
        for connection in asked:
            connection.settimeout(10)
            with contextlib.suppress(OSError):
                connection.recv(1)


def send_to_all(connections: list[socket.socket], data: bytes) -> None:
    """Send `data` on each connection; a client that left is the test's business."""
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.sendall(data)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
