"""A small client of Mux.Cool inside VLESS, for what the real ones never do."""
import ipaddress
import struct

from . import vless

NEW, KEEP, END, KEEP_ALIVE = 1, 2, 3, 4
TCP, UDP = 1, 2
COMMAND = 3


def _frame(ident, status, option, rest=b"", data=None):
    meta = struct.pack("!HBB", ident, status, option | (data is not None)) + rest
    out = struct.pack("!H", len(meta)) + meta
    return out if data is None else out + struct.pack("!H", len(data)) + data


def _address(network, host, port):
    return struct.pack("!BHB", network, port, 1) + ipaddress.IPv4Address(host).packed


def new(ident, network, address, data=None, global_id=b""):
    """A GlobalID (UDP with data only) makes it a flow of XUDP."""
    return _frame(ident, NEW, 0, _address(network, *address) + global_id, data)


def keep(ident, data):
    return _frame(ident, KEEP, 0, b"", data)


def end(ident, option=0):
    return _frame(ident, END, option)


def keep_alive(ident, data=None):
    return _frame(ident, KEEP_ALIVE, 0, b"", data)


class Carrier(vless.Stream):
    """A VLESS session with command 3 on a connected socket."""

    def __init__(self, s, user):
        self.socket, self._head = s, False
        s.sendall(vless.header(user, "127.0.0.1", 0, COMMAND)[:-7])     # no port and address

    def frame(self):
        """(id, status, option, data) of the next one; None when the server closed."""
        try:
            meta = self.read(struct.unpack("!H", self.read(2))[0])
            ident, status, option = struct.unpack("!HBB", meta[:4])
            data = self.read(struct.unpack("!H", self.read(2))[0]) if option & 1 else b""
        except (ConnectionError, TimeoutError):
            return None
        return ident, status, option, data
