"""A small VLESS client that speaks the wire protocol itself, for what the real clients never do."""
import base64
import ipaddress
import os
import socket
import ssl
import struct
import time
import uuid as uuids

TCP, UDP = 1, 2


def header(user, host, port, command=TCP, addons=b"", version=0):
    """The request header; `user` is a UUID text or 16 bytes."""
    ident = user if isinstance(user, bytes) else uuids.UUID(user).bytes
    try:
        ip = ipaddress.ip_address(host)
        address = (b"\x01" if ip.version == 4 else b"\x03") + ip.packed
    except ValueError:
        address = b"\x02" + bytes([len(host)]) + host.encode()
    return (bytes([version]) + ident + bytes([len(addons)]) + addons + bytes([command])
            + struct.pack("!H", port) + address)


def tls_context(alpn=None, low=None, high=None, ca=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    if ca:
        c.load_verify_locations(ca)
        c.check_hostname, c.verify_mode = True, ssl.CERT_REQUIRED
    if alpn:
        c.set_alpn_protocols(alpn)
    if low:
        c.minimum_version = low
    if high:
        c.maximum_version = high
    return c


def connect(address, tls=None, sni="node.test", prefix=b"", source=None, timeout=15):
    """TCP, then `prefix` (a PROXY header), then TLS when a context is given."""
    s = socket.create_connection(address, timeout, source_address=source)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if prefix:
            s.sendall(prefix)
        if tls:
            s = tls.wrap_socket(s, server_hostname=sni, suppress_ragged_eofs=False)
        return s
    except BaseException:
        s.close()
        raise


class Stream:
    """A VLESS session on a connected socket: strips the response header from what is read."""

    def __init__(self, s, user, host, port, command=TCP, first=b""):
        self.socket = s
        self._head = False
        s.sendall(header(user, host, port, command) + first)

    def send(self, data):
        self.socket.sendall(data)

    def recv(self, n=1 << 16):
        if not self._head:
            head = self._exactly(2)
            if not head:
                return b""
            assert head[0] == 0, f"response version {head[0]}"
            if head[1]:
                self._exactly(head[1])
            self._head = True
        return self.socket.recv(n)

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                return b""
            data += more
        return data

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.recv(n - len(data))
            if not more:
                raise ConnectionError(f"closed after {len(data)} of {n} bytes")
            data += more
        return data

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Session(Stream):
    """An echo session with an origin that stays open. `up` and `down` are the payload bytes of both directions."""

    def __init__(self, node, user, origin, tls=None, source=None):
        s = connect((node.listen, node.port), tls or (tls_context() if node.tls else None), source=source)
        super().__init__(s, user, origin.host, origin.port, first=b"ECHO\n")
        self.up, self.down = len(b"ECHO\n"), 0

    def say(self, n=100):
        """n bytes there and back."""
        data = os.urandom(n)
        self.send(data)
        self.up += n
        assert self.read(n) == data
        self.down += n

    def ended(self, timeout):
        """Waits until the server closes; the time it did, or None."""
        self.socket.settimeout(timeout)
        try:
            while self.recv():
                pass
        except socket.timeout:
            return None
        except OSError:
            pass
        return time.monotonic()


def refused(node, user, origin):
    """True when the server closes a new session of this user without a byte."""
    try:
        with Session(node, user, origin) as s:
            s.say(3)
            return False
    except ConnectionError:
        return True


# -- WebSocket, client side

def ws_request(path="/", host="node.test", early=b"", extra=()):
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
             f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *extra]
    if early:
        lines.append("Sec-WebSocket-Protocol: " + base64.urlsafe_b64encode(early).decode().rstrip("="))
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ws_frame(data, opcode=2, fin=True, mask=True):
    n = len(data)
    bit = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", n)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", n)
    if not mask:
        return head + data
    key = os.urandom(4)
    pad = (key * (n // 4 + 1))[:n]
    masked = (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(n, "big") if n else b""
    return head + key + masked


def http_head(s):
    """Reads an HTTP response head and nothing behind it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        c = s.recv(1)
        if not c:
            break
        head += c
    return head.decode("latin-1")


def read_frame(s):
    """Returns (opcode, payload) of one unmasked server frame."""
    def exactly(n):
        data = b""
        while len(data) < n:
            more = s.recv(n - len(data))
            if not more:
                raise ConnectionError("closed inside a frame")
            data += more
        return data
    a, b = exactly(2)
    assert not b & 0x80, "server frames are not masked"
    n = b & 0x7f
    if n == 126:
        n = struct.unpack("!H", exactly(2))[0]
    elif n == 127:
        n = struct.unpack("!Q", exactly(8))[0]
    return a & 0x0f, exactly(n)
