"""What users do: one function a visit to an origin (see origins.py), each checks what came back."""
import hashlib
import socket
import ssl

from . import origins, socks5, xray


def _inner_context():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    return c


INNER = _inner_context()


def connect(proxy, origin, host=None, timeout=20):
    """A connection to the origin through the proxy, with TLS inside when the origin wants it."""
    s = socks5.connect(proxy, host or origin.host, origin.port, timeout)
    if not getattr(origin, "tls", None):
        return s
    try:
        return INNER.wrap_socket(s, server_hostname="inner.test", suppress_ragged_eofs=False)
    except BaseException:
        s.close()
        raise


def read_line(s):
    line = b""
    while not line.endswith(b"\n"):
        c = s.recv(1)
        if not c:
            raise ConnectionError(f"closed after {line!r}")
        line += c
    return line[:-1].decode()


def read_all(s):
    """Returns (bytes read, sha256) of everything up to the end of the stream."""
    h, n = hashlib.sha256(), 0
    while True:
        part = s.recv(1 << 18)
        if not part:
            return n, h.hexdigest()
        h.update(part)
        n += len(part)


def download(proxy, origin, n, seed=1, host=None):
    with connect(proxy, origin, host) as s:
        s.sendall(f"SOURCE {n} {seed}\n".encode())
        assert read_all(s) == (n, origins.digest(n, seed)), "download differs"


def upload(proxy, origin, n, seed=2, host=None, small_first=False):
    """`small_first`: an exchange of a few bytes goes before it, for clients that cannot begin with many."""
    with connect(proxy, origin, host) as s:
        if small_first:
            s.sendall(b"SINK 0\n")
            assert read_line(s) == origins.digest(0, seed)
        s.sendall(f"SINK {n}\n".encode())
        for part in origins.stream(n, seed):
            s.sendall(part)
        assert read_line(s) == origins.digest(n, seed), "upload differs"


def insist(proxy, visits):
    """Calls visits(), and again when it failed because the client has hung itself (see xray.hung). For what uploads much
    TLS 1.3 through Vision."""
    for _ in range(3):
        try:
            return visits()
        except (OSError, AssertionError):
            if not xray.hung(proxy):
                raise
            xray.revive(proxy)
    return visits()


def echo(proxy, origin, data=b"hello", host=None):
    """One short visit, both directions."""
    with connect(proxy, origin, host) as s:
        s.sendall(b"ECHO\n" + data)
        assert socks5.read_exactly(s, len(data)) == data


class Session:
    """An echo session that stays open. say() sends and waits until the same bytes are back."""

    def __init__(self, proxy, origin, host=None):
        self.socket = connect(proxy, origin, host)
        self.sent = len(b"ECHO\n")
        self.received = 0
        self.socket.sendall(b"ECHO\n")

    def say(self, data=b"still there?"):
        self.socket.sendall(data)
        self.sent += len(data)
        assert socks5.read_exactly(self.socket, len(data)) == data
        self.received += len(data)

    def ended(self, timeout):
        """Waits for the other side to close; true when it did in time."""
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(1) == b""
        except socket.timeout:
            return False
        except OSError:
            return True

    def close(self):
        self.socket.close()

    def reset(self):
        origins.reset(self.socket)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
