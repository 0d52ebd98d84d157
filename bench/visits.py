"""One short visit of each of COUNT users from number FIRST on, as fast as it goes.

    visits.py HOST PORT WEB_PORT FIRST COUNT"""
import os
import socket
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
from harness import vless  # noqa: E402

AT_A_TIME = 64


def user(number):
    return str(uuid.UUID(int=number << 96 | 0x4000 << 64 | 0x8000 << 48))


def main(host, port, web, first, count):
    numbers = iter(range(int(first), int(first) + int(count)))
    request = b"GET /small HTTP/1.0\r\n\r\n"
    while batch := [n for _, n in zip(range(AT_A_TIME), numbers)]:
        sockets = []
        for n in batch:
            s = socket.create_connection((host, int(port)), 20)
            s.sendall(vless.header(user(n), "127.0.0.1", int(web)) + request)
            sockets.append(s)
        for s in sockets:
            if not s.recv(4096):
                sys.exit("a visit without an answer")
            s.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
