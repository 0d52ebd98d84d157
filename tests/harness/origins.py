"""What users visit: TCP and UDP servers on loopback whose behaviour the visitor asks for in one line.

A TCP visitor sends one of these lines first (a plain client with a socket can do so through any proxy):

    ECHO             bytes come back until the visitor shuts down
    SOURCE n seed    n deterministic bytes, then close
    SINK n           after n more bytes: their SHA-256 in hex and a newline, then the next command is read
    COUNT            reads to the end of the stream, answers "<bytes> <sha256>\\n", closes (needs half-close)
    RESET n          n bytes, then a TCP reset
    HOLD             "held\\n", then nothing until the visitor leaves
    FINISH           "bye\\n", sends its FIN at once and goes on reading; keeps what it read in `after_fin`

With `banner` the server speaks first; with `tls` (a server context) all of it is inside TLS. Every connection is counted: `rx`, `tx`, `opened`, `closed`.
"""
import hashlib
import random
import socket
import struct
import threading

from . import ports, wait

CHUNK = 1 << 16


def stream(n, seed):
    """n deterministic bytes in chunks of at most 64 KiB."""
    rng = random.Random(seed)
    while n > 0:
        part = min(n, CHUNK)
        yield rng.randbytes(part)
        n -= part


def digest(n, seed):
    h = hashlib.sha256()
    for part in stream(n, seed):
        h.update(part)
    return h.hexdigest()


def fin(s):
    """Ends the TCP stream of one direction, below TLS where there is TLS."""
    socket.socket.shutdown(s, socket.SHUT_WR)


def reset(s):
    """Closes with a TCP reset."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Tcp:
    def __init__(self, host="127.0.0.1", port=0, banner=b"", tls=None):
        self.banner, self.tls = banner, tls
        self.rx = self.tx = self.opened = self.closed = 0
        self.after_fin = b""
        self.peers = []
        self._lock = threading.Lock()
        self._live = set()
        self._listener = socket.create_server((host, port), backlog=1024,
                                              family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.host, self.port = self._listener.getsockname()[:2]
        self.address = (self.host, self.port)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        ports.stop_listening(self._listener)
        with self._lock:
            live = list(self._live)
        for s in live:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_opened(self, n, timeout=30):
        wait.until(lambda: self.opened >= n, timeout, lambda: f"{n} connections at the origin, saw {self.opened}")

    def wait_closed(self, n, timeout=30):
        wait.until(lambda: self.closed >= n, timeout, lambda: f"{n} closed at the origin, saw {self.closed}")

    def _accept(self):
        while True:
            try:
                s, peer = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.opened += 1
                self.peers.append(peer)
                self._live.add(s)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                with self._lock:
                    self._live.discard(s)
                s = self.tls.wrap_socket(s, server_side=True)
                with self._lock:
                    self._live.add(s)
            if self.banner:
                self._send(s, self.banner)
            reader = _Reader(s, self)
            while self._command(s, reader, reader.line().split()):
                pass
        except (OSError, ValueError):
            pass
        finally:
            s.close()
            with self._lock:
                self.closed += 1
                self._live.discard(s)

    def _send(self, s, data):
        s.sendall(data)
        with self._lock:
            self.tx += len(data)

    def _command(self, s, reader, words):
        """Serves one command; true when the connection goes on."""
        if not words:
            return False
        verb, args = words[0], words[1:]
        if verb == "ECHO":
            for part in reader.rest():
                self._send(s, part)
        elif verb == "SOURCE":
            for part in stream(int(args[0]), int(args[1])):
                self._send(s, part)
            # Wait for the visitor to close, so that the last bytes are never lost to a reset.
            if self.tls:
                s.unwrap()
                return False
            s.shutdown(socket.SHUT_WR)
            for _ in reader.rest():
                pass
        elif verb == "SINK":
            h = hashlib.sha256()
            for part in reader.exactly(int(args[0])):
                h.update(part)
            self._send(s, h.hexdigest().encode() + b"\n")
            return True
        elif verb == "COUNT":
            h, n = hashlib.sha256(), 0
            for part in reader.rest():
                h.update(part)
                n += len(part)
            self._send(s, f"{n} {h.hexdigest()}\n".encode())
        elif verb == "RESET":
            for part in stream(int(args[0]), 1):
                self._send(s, part)
            reset(s)
        elif verb == "HOLD":
            self._send(s, b"held\n")
            for _ in reader.rest():
                pass
        elif verb == "FINISH":
            self._send(s, b"bye\n")
            fin(s)
            for part in reader.rest():
                self.after_fin += part
        return False


class _Reader:
    """Counts what arrives and hands it out by line, by length, or to the end."""

    def __init__(self, s, origin):
        self.s, self.origin, self.buffer = s, origin, b""

    def _more(self, n=1 << 18):
        data = self.s.recv(n)
        with self.origin._lock:
            self.origin.rx += len(data)
        return data

    def line(self):
        while b"\n" not in self.buffer:
            more = self._more(4096)
            if not more:
                return ""
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode("latin-1")

    def exactly(self, n):
        while n > 0:
            part = self.buffer or self._more(min(n, 1 << 18))
            if not part:
                raise ConnectionError("short")
            self.buffer = part[n:]
            part = part[:n]
            n -= len(part)
            yield part

    def rest(self):
        if self.buffer:
            yield self.buffer
            self.buffer = b""
        while True:
            part = self._more()
            if not part:
                return
            yield part


class UdpEcho:
    """Sends every datagram back to where it came from, with `mark` in front."""

    def __init__(self, host="127.0.0.1", port=0, mark=b""):
        self.mark = mark
        self.rx = self.tx = self.count = 0
        self.peers = set()
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind((host, port))
        self.host, self.port = self._socket.getsockname()[:2]
        self.address = (self.host, self.port)
        self._stopped = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while not self._stopped:
            try:
                data, peer = self._socket.recvfrom(65536)
                if self._stopped:
                    break
                self.peers.add(peer)
                self.rx += len(data)
                self.count += 1
            except OSError:
                continue
            answer = self.mark + data
            self.tx += len(answer)          # before whoever gets it can look
            try:
                self._socket.sendto(answer, peer)
            except OSError:
                self.tx -= len(answer)

    def stop(self):
        self._stopped = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
