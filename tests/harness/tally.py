"""A target on loopback that counts for each of its visitors what it got from him and gave to him.

A visitor names himself by a number of eight bytes. TCP: the number, then any times `u32 n, u32 m` and n bytes, which are
answered with m bytes. UDP: datagrams of the number, a `u32` turn, a `u16 n` and whatever else, which are answered with n
bytes that begin with the number and the turn.
"""
import socket
import struct
import threading

from . import ports, wait

CHUNK = 1 << 16
NAME, EXCHANGE, ASK, REPLY = struct.Struct("!Q"), struct.Struct("!II"), struct.Struct("!QIH"), struct.Struct("!QI")


class Visit:
    """Payload bytes of one visitor: `rx` were read here, `tx` given to the kernel (never less than has left)."""

    def __init__(self):
        self.rx = self.tx = 0


class Target:
    def __init__(self, host="127.0.0.1"):
        self.visits = {}
        self._lock = threading.Lock()
        self._live = set()
        self._listener = socket.create_server((host, 0), backlog=256)
        self.address = self._listener.getsockname()[:2]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._udp.bind((host, 0))
        self.udp_address = self._udp.getsockname()[:2]
        for serve in (self._accept, self._answer):
            threading.Thread(target=serve, daemon=True).start()

    def visit(self, number):
        with self._lock:
            return self.visits.setdefault(number, Visit())

    def settled(self, timeout=20):
        """Waits until every TCP visitor has left: then the counts are final."""
        wait.until(lambda: not self._live, timeout, lambda: f"{len(self._live)} visitors to leave")

    def stop(self):
        ports.stop_listening(self._listener)
        self._udp.close()
        for s in list(self._live):
            _shut(s)

    def _accept(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            self._live.add(s)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = _Reader(s, Visit()).exactly(NAME.size)
            v = self.visit(NAME.unpack(name)[0])
            v.rx += len(name)
            reader = _Reader(s, v)
            while True:
                up, down = EXCHANGE.unpack(reader.exactly(EXCHANGE.size))
                reader.skip(up)
                self._give(s, v, down)
        except OSError:
            pass
        finally:
            s.close()
            self._live.discard(s)

    @staticmethod
    def _give(s, v, n):
        while n > 0:
            part = min(n, CHUNK)
            v.tx += part                 # before the fact: nobody may see more than we say
            took = 0
            try:
                took = s.send(bytes(part))
            finally:
                v.tx -= part - took
            n -= took

    def _answer(self):
        while True:
            try:
                data, peer = self._udp.recvfrom(CHUNK)
            except OSError:
                return
            if len(data) < ASK.size:
                continue
            number, turn, n = ASK.unpack_from(data)
            v = self.visit(number)
            v.rx += len(data)
            reply = REPLY.pack(number, turn) + bytes(max(0, n - REPLY.size))
            v.tx += len(reply)
            try:
                self._udp.sendto(reply, peer)
            except OSError:
                v.tx -= len(reply)


class _Reader:
    def __init__(self, s, visit):
        self.socket, self.visit = s, visit

    def _some(self, n):
        data = self.socket.recv(min(n, CHUNK))
        if not data:
            raise ConnectionError("the visitor has left")
        self.visit.rx += len(data)
        return data

    def exactly(self, n):
        data = b""
        while len(data) < n:
            data += self._some(n - len(data))
        return data

    def skip(self, n):
        while n > 0:
            n -= len(self._some(n))


def _shut(s):
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
