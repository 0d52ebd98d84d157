"""Clients that count: what they have sent through a node and what came back, by every way in that v2sp has two ends of.

Every flow visits a tally.Target under a number of its own. What the node may say of it lies within bounds():

    up    from what the target read, or after a kill -9 what it has answered of datagrams, to what the client sent
    down  from what the client read to what the target sent

The bounds meet when nothing was on its way at the end: then the node has to know the byte.
"""
import itertools
import os
import socket
import struct
import threading

from . import muxcool, ssudp, vless, websocket
from .tally import ASK, CHUNK, EXCHANGE, NAME, REPLY

TIMEOUT, LOST = 30, 5               # seconds; a datagram that has not come back by then will not come
RAW, TLS, WS = "raw", "tls", "ws"
_numbers = itertools.count(int.from_bytes(os.urandom(4), "big") << 24)


def dial(shape, address, path="/"):
    """A connected socket (or what can be used as one) for one way in."""
    s = vless.connect(address, vless.tls_context() if shape == TLS else None, timeout=TIMEOUT)
    return websocket.Client(s, path) if shape == WS else s


class Flow:
    """`owner` is whoever the bytes belong to: the schedule's business."""

    def __init__(self, target, owner):
        self.target, self.owner = target, owner
        self.number = next(_numbers)
        self.visit = target.visit(self.number)
        self.sent = self.received = 0
        self.answered = None             # of UDP: bytes of the datagrams that were answered
        self.killed = self.over = False

    def bounds(self):
        """((least, most) up, (least, most) down)."""
        sure = self.answered if self.killed and self.answered is not None else self.visit.rx
        return (sure, self.sent), (self.received, self.visit.tx)

    def __repr__(self):
        return f"{type(self).__name__}#{self.number & 0xffff} of {self.owner} {self.bounds()}{' cut' if self.over else ''}"


class Tcp(Flow):
    """A TCP session, spliced where the way in is raw."""

    def __init__(self, target, owner, stream):
        super().__init__(target, owner)
        self.stream = stream(self)
        self._stop = threading.Event()
        self._thread = None

    def exchange(self, up, down):
        """True: all of it went there and back. False: the session is over."""
        if self.over:
            return False
        try:
            first = NAME.pack(self.number) if self.sent == 0 else b""
            self._send(first + EXCHANGE.pack(up, down) + bytes(min(up, CHUNK)))
            for left in range(up - CHUNK, 0, -CHUNK):
                self._send(bytes(min(left, CHUNK)))
            while down > 0:
                data = self.stream.recv(min(down, 1 << 18))
                if not data:
                    raise ConnectionError("closed")
                self.received += len(data)
                down -= len(data)
            return True
        except (OSError, AssertionError):
            self.over = True
            return False

    def _send(self, data):
        self.sent += len(data)           # before the fact: nobody may see more than we say
        self.stream.send(data)

    def keep_busy(self, rng):
        """Exchanges all the time, until quiet() or the end of the session."""
        def run():
            while not self._stop.wait(0.005) and self.exchange(rng.randrange(40_000), rng.randrange(200_000)):
                pass
        if self._thread is None and not self.over:
            self._stop.clear()
            self._thread = threading.Thread(target=run, daemon=True)
            self._thread.start()

    def quiet(self):
        """Waits for what is under way."""
        if self._thread:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def close(self):
        self.quiet()
        self.over = True
        self.stream.close()


class Udp(Flow):
    """Datagrams, one after the other; `carry(flow)` gives send(data), recv() and close()."""

    def __init__(self, target, owner, carry):
        super().__init__(target, owner)
        self.answered = self.turn = 0
        self.way = carry(self)

    def exchange(self, up, down):
        """One datagram there and one back. A lost one ends the flow: it is never sent again."""
        if self.over:
            return False
        self.turn += 1
        down = max(down, REPLY.size)
        data = ASK.pack(self.number, self.turn, down) + bytes(max(0, up - ASK.size))
        try:
            self.sent += len(data)
            self.way.send(data)
            self.received += self.way.recv(down)
            self.answered += len(data)
            return True
        except (OSError, AssertionError, struct.error):
            self.over = True
            return False

    def keep_busy(self, _rng):
        pass

    def quiet(self):
        pass

    def close(self):
        self.over = True
        self.way.close()


# -- ways in

def vless_tcp(shape, address, user):
    def make(flow):
        return vless.Stream(dial(shape, address), user, *flow.target.address)
    return make


class _VlessUdp:
    """Command 2: each datagram behind its length."""

    def __init__(self, stream):
        self.stream, self.close = stream, stream.close
        stream.socket.settimeout(LOST)

    def send(self, data):
        self.stream.send(struct.pack("!H", len(data)) + data)

    def recv(self, want):
        n = struct.unpack("!H", self.stream.read(2))[0]
        data = self.stream.read(n)
        assert n == want, f"a datagram of {n} bytes instead of {want}"
        return len(data)


def vless_udp(shape, address, user):
    def make(flow):
        return _VlessUdp(vless.Stream(dial(shape, address), user, *flow.target.udp_address, vless.UDP))
    return make


class Mux:
    """One carrier of Mux.Cool and the streams in it, which are used in turns."""

    def __init__(self, shape, address, user):
        self.carrier = muxcool.Carrier(dial(shape, address), user)
        self._waiting = {}
        self._ids = itertools.count(1)

    def stream(self, network, address, global_id=b""):
        return _MuxStream(self, next(self._ids), network, address, global_id)

    def data_for(self, ident):
        """The next data of a stream; what comes for others is kept for them."""
        while True:
            if self._waiting.get(ident):
                return self._waiting[ident].pop(0)
            frame = self.carrier.frame()
            if frame is None or (frame[0] == ident and frame[1] == muxcool.END):
                raise ConnectionError("ended")
            if frame[3]:
                self._waiting.setdefault(frame[0], []).append(frame[3])


class _MuxStream:
    PIECE = 8000

    def __init__(self, mux, ident, network, address, global_id):
        self.mux, self.ident, self.network, self.address = mux, ident, network, address
        self.global_id, self.opened, self.left = global_id, False, b""

    def send(self, data):
        step = self.PIECE if self.network == muxcool.TCP else len(data)
        for at in range(0, len(data), step):
            part = data[at:at + step]
            new = muxcool.new(self.ident, self.network, self.address, part, self.global_id)
            self.mux.carrier.send(muxcool.keep(self.ident, part) if self.opened else new)
            self.opened = True

    def recv(self, n):
        if self.network == muxcool.UDP:
            data = self.mux.data_for(self.ident)
            assert len(data) == n, f"a datagram of {len(data)} bytes instead of {n}"
            return n
        self.left = self.left or self.mux.data_for(self.ident)
        part, self.left = self.left[:n], self.left[n:]
        return part

    def close(self):
        try:
            self.mux.carrier.send(muxcool.end(self.ident))
        except OSError:
            pass


class XudpWay:
    """Datagrams of XUDP. With the same GlobalID on another carrier the flow goes on there."""

    def __init__(self, shape, address, user, udp_address):
        self.global_id, self.udp_address, self.stream = os.urandom(8), udp_address, None
        self.move(shape, address, user)

    def move(self, shape, address, user):
        old, mux = self.stream, Mux(shape, address, user)
        mux.carrier.socket.settimeout(LOST)
        self.stream = mux.stream(muxcool.UDP, self.udp_address, self.global_id)
        self.send, self.recv = self.stream.send, self.stream.recv
        return old

    def close(self):
        self.stream.mux.carrier.close()


def xudp(shape, address, user):
    return lambda flow: XudpWay(shape, address, user, flow.target.udp_address)


class _SsUdp:
    def __init__(self, address, password, target):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(LOST)
        self.socket.connect(address)
        self.password, self.target, self.close = password, target, self.socket.close

    def send(self, data):
        self.socket.send(ssudp.seal(self.password, self.target, data))

    def recv(self, want):
        n = len(self.socket.recv(1 << 16)) - ssudp.OVERHEAD
        assert n == want, f"a datagram of {n} bytes instead of {want}"
        return n


def shadowsocks_udp(address, password):
    return lambda flow: _SsUdp(address, password, flow.target.udp_address)
