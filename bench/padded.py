"""Inner TLS that a Vision client goes on padding. Xray-core's client leaves its padding when what it reads from its
visitor happens to be a whole number of records, so a plain upload is padded or raw by chance. Here nothing it can read
is whole: the visitor's last handshake message goes with the first data, and every write ends a few bytes before a
record does."""
import ssl

from harness import socks5, visit

BACK = 7                        # bytes held back until the next write
PIECE = 1 << 17                 # plaintext a write: what the buffers of a socket would take at once


class Stream:
    def __init__(self, proxy, port, timeout=15):
        self._raw = socks5.connect(proxy, "127.0.0.1", port, timeout)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = visit.INNER.wrap_bio(self._in, self._out)
        self._held = b""
        while True:
            try:
                self._tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                self._raw.sendall(self._out.read())
                self._in.write(self._more())

    def _more(self):
        got = self._raw.recv(1 << 16)
        if not got:
            raise ConnectionError("closed by the server")
        return got

    def write(self, data):
        view = memoryview(data)
        for at in range(0, len(view), PIECE):
            self._tls.write(view[at:at + PIECE])
            wire = self._held + self._out.read()
            self._raw.sendall(memoryview(wire)[:-BACK])
            self._held = wire[-BACK:]

    def end(self):
        """Sends the rest, reads one byte of an answer."""
        self._raw.sendall(self._held)
        self._held = b""
        while True:
            try:
                return self._tls.read(1)
            except ssl.SSLWantReadError:
                self._in.write(self._more())

    def close(self):
        self._raw.close()


def upload(proxy, port, n, block):
    s = Stream(proxy, port)
    try:
        s.write(f"S {n}\n".encode() + bytes(block[:min(n, len(block))]))
        left = n - min(n, len(block))
        while left > 0:
            s.write(block[:min(left, len(block))])
            left -= min(left, len(block))
        assert s.end() == b"r"
        while s.end() != b"k":
            pass
    finally:
        s.close()
