"""SOCKS 5 client (RFC 1928) for the local inbound of a real proxy client: CONNECT and UDP ASSOCIATE."""
import ipaddress
import socket
import struct


def encode_address(host, port):
    try:
        ip = ipaddress.ip_address(host)
        kind = b"\x01" if ip.version == 4 else b"\x04"
        return kind + ip.packed + struct.pack("!H", port)
    except ValueError:
        name = host.encode()
        return b"\x03" + bytes([len(name)]) + name + struct.pack("!H", port)


def decode_address(data):
    """Returns (host, port, bytes used)."""
    if data[0] == 1:
        return socket.inet_ntop(socket.AF_INET, data[1:5]), struct.unpack("!H", data[5:7])[0], 7
    if data[0] == 4:
        return socket.inet_ntop(socket.AF_INET6, data[1:17]), struct.unpack("!H", data[17:19])[0], 19
    n = data[1]
    return data[2:2 + n].decode(), struct.unpack("!H", data[2 + n:4 + n])[0], 4 + n


def read_exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise ConnectionError(f"closed after {len(data)} of {n} bytes")
        data += more
    return data


def _request(proxy, command, host, port, timeout):
    s = socket.create_connection(proxy, timeout)
    s.settimeout(timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        s.sendall(b"\x05\x01\x00")
        if read_exactly(s, 2) != b"\x05\x00":
            raise ConnectionError("socks server wants authentication")
        s.sendall(b"\x05" + bytes([command]) + b"\x00" + encode_address(host, port))
        head = read_exactly(s, 4)
        if head[1] != 0:
            raise ConnectionError(f"socks reply {head[1]}")
        rest = {1: 6, 4: 18}.get(head[3])
        if rest is None:
            n = read_exactly(s, 1)
            bound = n + read_exactly(s, n[0] + 2)
        else:
            bound = read_exactly(s, rest)
        return s, decode_address(head[3:4] + bound)[:2]
    except BaseException:
        s.close()
        raise


def connect(proxy, host, port, timeout=20):
    """A TCP connection to host:port through the proxy. The proxy may answer before the target did."""
    return _request(proxy, 1, host, port, timeout)[0]


class Udp:
    """A UDP association: sendto() and recvfrom() as on a socket."""

    def __init__(self, proxy, timeout=20):
        self.control, (host, port) = _request(proxy, 3, "0.0.0.0", 0, timeout)
        if host in ("0.0.0.0", "::"):
            host = proxy[0]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))

    def sendto(self, data, target):
        self.socket.send(b"\x00\x00\x00" + encode_address(*target) + data)

    def recvfrom(self):
        packet = self.socket.recv(65536)
        host, port, used = decode_address(packet[3:])
        return packet[3 + used:], (host, port)

    def close(self):
        self.socket.close()
        self.control.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
