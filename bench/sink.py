"""Origin of uploads and idle connections: reads and forgets, as cheaply as Python can.

The first line of a connection says what it wants: "S <n>\\n" is answered "r", takes n bytes and answers "k"; "H\\n" is
answered "k" and holds the connection until the other side leaves.

    sink.py PORT                over epoll
    sink.py PORT CERT KEY       inside TLS 1.3, a thread a connection, "S" only"""
import os
import selectors
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
from harness import process  # noqa: E402

BIG = 1 << 20


class Connection:
    def __init__(self, s):
        self.s, self.left, self.line = s, None, b""

    def readable(self):
        """False when the connection is over."""
        if self.left is None:
            self.line += self.s.recv(64)
            if b"\n" not in self.line:
                return bool(self.line)
            word, _, rest = self.line.partition(b"\n")
            if word == b"H":
                self.s.send(b"k")
                self.left = -1
                return True
            self.s.send(b"r")
            self.left = int(word.split()[1]) - len(rest)
        else:
            # MSG_TRUNC on TCP throws the bytes away inside the kernel.
            n = self.s.recv_into(BUFFER, BIG, socket.MSG_TRUNC)
            if n == 0:
                return False
            if self.left < 0:
                return True
            self.left -= n
        if self.left <= 0:
            self.s.send(b"k")
            return False
        return True


def main():
    process.raise_nofile()
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
    listener.setblocking(False)
    poll = selectors.EpollSelector()
    poll.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in poll.select():
            if key.data is None:
                s, _ = listener.accept()
                s.setblocking(False)
                poll.register(s, selectors.EVENT_READ, Connection(s))
                continue
            try:
                goes_on = key.data.readable()
            except BlockingIOError:
                goes_on = True
            except OSError:
                goes_on = False
            if not goes_on:
                poll.unregister(key.fileobj)
                key.fileobj.close()


def serve_tls(s):
    try:
        s.do_handshake()
        scratch, line = bytearray(BIG), b""
        while b"\n" not in line:
            line += s.recv(64)
        word, _, rest = line.partition(b"\n")
        s.send(b"r")
        left, first = int(word.split()[1]) - len(rest), True
        while left > 0:
            got = s.recv_into(scratch)
            if got == 0:
                return
            left -= got
            if first:
                s.send(b"r")
            first = False
        s.send(b"k")
        s.unwrap()
    except (OSError, ValueError, IndexError):
        pass
    finally:
        s.close()


def main_tls(port, cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(cert, key)
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    while True:
        s, _ = listener.accept()
        wrapped = context.wrap_socket(s, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=serve_tls, args=(wrapped,), daemon=True).start()


BUFFER = bytearray(BIG)
if len(sys.argv) > 2:
    main_tls(int(sys.argv[1]), *sys.argv[2:])
main()
