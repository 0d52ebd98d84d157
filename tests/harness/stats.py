"""Clients of the stats API: grpcio with the few messages coded by hand, Xray's command line, raw HTTP/2 frames."""
import json
import socket
import subprocess

import grpc

from . import paths, wait

HEALTH = "grpc.health.v1.Health"
ALL = {"inbounds": ["*"], "outbounds": ["*"], "users": ["*"]}
XRAY, V2RAY = "xray.app.stats.command.StatsService", "v2ray.core.app.stats.command.StatsService"

QUERY = f"/{XRAY}/QueryStats"


# -- a node with the API

def api(address, **lists):
    """The keys of config.json."""
    return {"experimental": {"v2ray_api": {"listen": address, "stats": {"enabled": True, **lists}}}}


class Api:
    def __init__(self, served, address, tag):
        self.served, self.address, self.tag = served, address, tag
        self.panel = served.panel

    @property
    def process(self):
        return self.served.process

    def user(self, user, direction=None):
        name = f"user>>>{self.tag}|{user}"
        return f"{name}>>>traffic>>>{direction}" if direction else name

    def node(self, kind, direction):
        return f"{kind}>>>{self.tag}>>>traffic>>>{direction}"

    def client(self, **more):
        return Client(self.address, **more)


def settled(client, name, value):
    wait.until(lambda: client.query(patterns=[name]).get(name) == value, 15, f"{name} is {value}")


# -- protobuf, as far as it is needed

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    """A field of any message: numbers and booleans as varints, texts and bytes with their length."""
    if isinstance(value, (bool, int)):
        return varint(number << 3) + varint(int(value))
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(message):
    """[(number, int or bytes)]"""
    at, out = 0, []

    def number():
        nonlocal at
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                return value
    while at < len(message):
        key = number()
        value = number()
        if key & 7 == 2:
            value, at = message[at:at + value], at + value
        out.append((key >> 3, value))
    return out


def stat(message):
    found = dict(fields(message))
    return found.get(1, b"").decode(), found.get(2, 0)


# -- grpcio

class Client:
    def __init__(self, address, service=XRAY, options=()):
        self.address, self.service = address, service
        self.channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0), *options])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def start(self, method, message=b"", service=None, timeout=20, **more):
        call = self.channel.unary_unary(f"/{service or self.service}/{method}")
        return call.future(message, timeout=timeout, wait_for_ready=True, **more)

    def call(self, method, message=b"", **more):
        return self.start(method, message, **more).result()

    def watch(self, message=b"", timeout=20):
        """The answers of Health/Watch as they come."""
        return self.channel.unary_stream(f"/{HEALTH}/Watch")(message, timeout=timeout, wait_for_ready=True)

    def error(self, method, message=b"", **more):
        """(code, text) of a call that must fail."""
        try:
            answer = self.call(method, message, **more)
        except grpc.RpcError as e:
            return e.code(), e.details()
        raise AssertionError(f"{method} answered {answer!r}")

    def get(self, name, reset=False):
        return stat(dict(fields(self.call("GetStats", field(1, name) + field(2, reset))))[1])[1]

    def query(self, pattern="", patterns=(), regexp=False, reset=False):
        """{name: value}; a name that comes twice is a failure."""
        request = b"".join(field(3, p) for p in patterns)
        if pattern:
            request += field(1, pattern)
        request += field(2, reset) + field(4, regexp)
        stats = [stat(v) for _, v in fields(self.call("QueryStats", request))]
        assert len(dict(stats)) == len(stats), stats
        return dict(stats)


# -- Xray's command line

def xray_api(command, address, *args, timeout=20):
    """(exit status, JSON printed or text of the error)"""
    done = subprocess.run([paths.peer("xray"), "api", command, "-s", address, *args], capture_output=True, timeout=timeout,
                          check=False)
    if done.returncode:
        return done.returncode, (done.stdout + done.stderr).decode()
    return 0, json.loads(done.stdout or b"{}")


# -- grpc-go (tests/peers/grpc)

def grpc_go_command(address, what, *args):
    return [paths.peer("grpc"), "-server", address, *args, what]


def grpc_go(address, what, *args, timeout=60):
    done = subprocess.run(grpc_go_command(address, what, *args), capture_output=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


class GrpcGo:
    """One that goes on while other things happen."""
    def __init__(self, address, what, *args):
        self._child = subprocess.Popen(grpc_go_command(address, what, *args), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.communicate()

    def ready(self):
        assert self._child.stderr.readline() == "ready\n"

    def states(self):
        return json.loads(self._child.communicate(timeout=30)[0])


# -- frames by hand: names and values as literals, no HPACK table needed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def head(stream, pairs, end=False):
    block = b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in pairs)
    return frame(HEADERS, 5 if end else 4, stream, block)


def request_head(path, method="POST", content_type="application/grpc", **more):
    pairs = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers")]
    if content_type is not None:
        pairs.append(("content-type", content_type))
    return pairs + [(k.replace("_", "-"), v) for k, v in more.items()]


def message(data=b"", flag=0, length=None):
    return bytes([flag]) + (len(data) if length is None else length).to_bytes(4, "big") + data


def window(size):
    """A setting: INITIAL_WINDOW_SIZE."""
    return b"\0\4" + size.to_bytes(4, "big")


class Raw:
    """One connection; frames() yields what comes until the server closes or 15 s pass without a byte."""

    def __init__(self, address, settings=b""):
        host, _, port = address.rpartition(":")
        self.s = socket.create_connection((host, int(port)), timeout=15)
        self.s.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        self._left = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, data):
        self.s.sendall(data)

    def ask(self, stream, message_=b"", path=QUERY):
        self.send(head(stream, request_head(path)) + frame(DATA, 1, stream, message(message_)))

    def _exactly(self, n):
        while len(self._left) < n:
            data = self.s.recv(1 << 16)
            if not data:
                raise EOFError
            self._left += data
        out, self._left = self._left[:n], self._left[n:]
        return out

    def frames(self):
        while True:
            try:
                h = self._exactly(9)
            except (EOFError, ConnectionError):
                return
            yield h[3], h[4], int.from_bytes(h[5:9], "big"), self._exactly(int.from_bytes(h[:3], "big"))

    def answer(self, stream):
        """Frames of one stream up to its end: [(kind, flags, payload)]."""
        out = []
        for kind, flags, number, payload in self.frames():
            if number == stream:
                out.append((kind, flags, payload))
                if kind == RST or (kind in (DATA, HEADERS) and flags & 1):
                    return out
        return out
