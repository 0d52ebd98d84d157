"""What somebody sees who talks to a port: records, plain bytes and the way it ends, without what is random by nature."""
import select
import socket
import struct
import time

QUIET = 0.25            # a side that says nothing for so long waits for us


class View:
    """What came back. Two views of the same behaviour are equal."""

    def __init__(self, data, end):
        self.data, self.end = bytes(data), end

    def shape(self):
        """Records as (type, version, length), the parts of them that are not secret or random, and the end."""
        out, at, data = [], 0, self.data
        while at + 5 <= len(data) and data[at] in (20, 21, 22, 23) and data[at + 1] == 3:
            size = struct.unpack("!H", data[at + 3:at + 5])[0]
            body = data[at + 5:at + 5 + size]
            what = body if data[at] in (20, 21) else b""
            if data[at] == 22 and body[:1] == b"\x02":
                what = server_hello(body)
            out.append((data[at], data[at + 1:at + 3], size, len(body), what))
            at += 5 + size
        return (*out, data[at:], self.end)

    def __eq__(self, other):
        return self.shape() == other.shape()

    def __repr__(self):
        return "\n  ".join(["View", *map(repr, self.shape())])


def server_hello(body):
    """Its fields in their order: all bytes but the random, the echo of the session id and the key share."""
    n = 39 + body[38]
    fields, at = [body[:6], body[38:39], body[n:n + 3]], n + 5
    while at + 4 <= len(body):
        kind, size = struct.unpack("!HH", body[at:at + 4])
        fields.append((kind, size, body[at + 4:at + 8] if kind == 51 else body[at + 4:at + 4 + size]))
        at += 4 + size
    return tuple(fields)


def _read(s, into, seconds, until_quiet):
    """Reads until the end (returns how), or until it is quiet or late (None)."""
    deadline = time.monotonic() + seconds
    while True:
        left = min(until_quiet, deadline - time.monotonic())
        if left <= 0 or not select.select([s], [], [], left)[0]:
            return None
        try:
            part = s.recv(65536)
        except ConnectionResetError:
            return "reset"
        except OSError as e:
            return str(e)
        if not part:
            return "fin"
        into += part


def look(address, pieces, fin=True, reset=False, quiet=QUIET, wait=6):
    """Sends the pieces (bytes; a float is a pause), reads until it is quiet, sends a FIN (or reset) and reads on."""
    s = socket.create_connection(address, 10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = bytearray()
    end = None
    try:
        for piece in pieces:
            if isinstance(piece, float):
                end = _read(s, data, piece, piece)
                if end:
                    break
            else:
                s.sendall(piece)
        if not end and quiet:
            end = _read(s, data, 30, quiet)
        if reset and not end:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return View(data, "we reset")
        if fin and not end:
            s.shutdown(socket.SHUT_WR)
        if not end:
            end = _read(s, data, wait, wait)
    except (BrokenPipeError, ConnectionResetError):
        end = "reset"
        _drain(s, data)
    finally:
        s.close()
    return View(data, end or "open")


def _drain(s, data):
    try:
        _read(s, data, 0.2, 0.2)
    except OSError:
        pass
