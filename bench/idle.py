"""Opens thousands of proxied connections and leaves them alone. Runs as a process of its own:

    idle.py HOST PORT COUNT TARGET_PORT raw|tls|ws-tls UUID
    idle.py HOST PORT COUNT TARGET_PORT socks|socks-tls -

Prints "open" when every connection has moved one byte each way, then waits for its standard input to close. The real
client would cost more than the server here; this one speaks VLESS itself, over epoll, 64 handshakes at a time, from
many loopback addresses (as many users would). With `socks` HOST:PORT is the real client, which speaks what this one
does not; with `socks-tls` TLS 1.3 to a web server is inside, one answered request old: both directions of a Vision flow
are raw by then."""
import os
import selectors
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
from harness import process, socks5, vless  # noqa: E402

AT_ONCE = 64


class Opening:
    """A connection on its way: a generator that yields the event it waits for."""

    def __init__(self, i, shape, server, target_port, user):
        self.raw = socket.socket()
        self.raw.setblocking(False)
        self.raw.bind((f"127.1.{i // 200 % 250}.{i % 200 + 1}", 0))
        self.raw.connect_ex(server)
        self.s, self.target_port = self.raw, target_port
        request = b"H\n" if shape.startswith("socks") else vless.header(user, "127.0.0.1", target_port) + b"H\n"
        self.steps = self._run(shape, request)

    def _run(self, shape, request):
        yield selectors.EVENT_WRITE
        if shape.startswith("socks"):
            yield from self._through_client()
        if shape == "socks-tls":
            yield from self._answered_request()
            return
        if shape in ("tls", "ws-tls"):
            self.s = CONTEXT.wrap_socket(self.raw, server_hostname="node.test", do_handshake_on_connect=False)
            yield from self._tls(self.s.do_handshake)
        if shape == "ws-tls":
            yield from self._tls(lambda: self.s.send(vless.ws_request("/chat")))
            head = b""
            while b"\r\n\r\n" not in head:
                head += yield from self._read()
            assert head.startswith(b"HTTP/1.1 101"), head
            request = vless.ws_frame(request)
        yield from self._tls(lambda: self.s.send(request))
        answer = b""
        while not answer.endswith(b"k"):
            answer += yield from self._read()

    def _through_client(self):
        self.raw.send(b"\x05\x01\x00")
        assert (yield from self._read()) == b"\x05\x00"
        self.raw.send(b"\x05\x01\x00" + socks5.encode_address("127.0.0.1", self.target_port))
        assert (yield from self._read())[1] == 0

    def _answered_request(self):
        self.s = CONTEXT.wrap_socket(self.raw, server_hostname="node.test", do_handshake_on_connect=False)
        yield from self._tls(self.s.do_handshake)
        yield from self._tls(lambda: self.s.send(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"))
        answer = b""
        while not answer.endswith(100 * b"x"):
            answer += yield from self._read()

    def _read(self):
        data = yield from self._tls(lambda: self.s.recv(4096))
        if not data:
            raise ConnectionError("closed by the server")
        return data

    @staticmethod
    def _tls(f):
        while True:
            try:
                return f()
            except (ssl.SSLWantReadError, BlockingIOError):
                yield selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                yield selectors.EVENT_WRITE


def open_all(shape, server, target_port, user, count):
    poll, kept, started, waiting = selectors.EpollSelector(), [], 0, 0
    while len(kept) < count:
        while waiting < AT_ONCE and started < count:
            o = Opening(started, shape, server, target_port, user)
            started, waiting = started + 1, waiting + 1
            poll.register(o.raw.fileno(), next(o.steps), o)
        for key, _ in poll.select(30) or sys.exit("idle: nothing moves for 30 s"):
            o = key.data
            try:
                wanted = next(o.steps)
                if wanted != key.events:
                    poll.modify(key.fd, wanted, o)
            except StopIteration:
                poll.unregister(key.fd)
                kept.append(o)
                waiting -= 1
    return kept


CONTEXT = vless.tls_context()
CONTEXT.minimum_version = ssl.TLSVersion.TLSv1_3

if __name__ == "__main__":
    process.raise_nofile()
    host, port, count, target, shape, user = sys.argv[1:]
    try:
        connections = open_all(shape, (host, int(port)), int(target), user, int(count))
    except OSError as e:
        sys.exit(f"idle: {e}")
    print("open", flush=True)
    sys.stdin.read()
