"""A TCP relay in front of an origin or of a server under test: counts, keeps what passes, or hands it on in odd pieces."""
import random
import socket
import threading
import time

from . import ports

PIECES = (1, 2, 3, 5, 6, 20, 21, 79, 517, 1186, 4096, 8191, 8192, 8193, 16389, 20000)


class Flow:
    """One connection: what the visitor sent (`up`) and was sent (`down`)."""

    def __init__(self):
        self.up, self.down = bytearray(), bytearray()


class Tap:
    """`up` and `down` are bytes read from visitors and from the target; with `keep` every connection is in `flows`.
    `dribble` (a seed) cuts what the target says into odd pieces; `rate` limits it to so many bytes a second."""

    def __init__(self, target, keep=False, dribble=None, rate=None):
        self.target, self.keep, self.dribble, self.rate = target, keep, dribble, rate
        self.up = self.down = self.opened = self.closed = 0
        self.flows = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.host, self.port = self._listener.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, visitor):
        flow = Flow()
        with self._lock:
            self.opened += 1
            if self.keep:
                self.flows.append(flow)
        try:
            target = socket.create_connection(self.target, 10)
        except OSError:
            visitor.close()
            return
        for s in (visitor, target):
            s.settimeout(None)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._pump, args=(target, visitor, flow, "down"), daemon=True)
        back.start()
        self._pump(visitor, target, flow, "up")
        back.join()
        visitor.close()
        target.close()
        with self._lock:
            self.closed += 1

    def _pump(self, source, sink, flow, way):
        rng = random.Random(self.dribble)
        try:
            while True:
                data = source.recv(1 << 16)
                if not data:
                    break
                with self._lock:
                    setattr(self, way, getattr(self, way) + len(data))
                if self.keep:
                    getattr(flow, way).extend(data)
                if way == "down" and self.rate:
                    time.sleep(len(data) / self.rate)
                if way == "down" and self.dribble is not None:
                    self._dribble(sink, data, rng)
                else:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    @staticmethod
    def _dribble(sink, data, rng):
        while data:
            n = rng.choice(PIECES)
            sink.sendall(data[:n])
            data = data[n:]
            time.sleep(0.0002)           # so that most pieces are read one by one

    def stop(self):
        ports.stop_listening(self._listener)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
