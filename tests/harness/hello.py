"""ClientHellos: those of real clients, caught on the wire, and such that a test seals itself for REALITY."""
import hashlib
import hmac
import os
import socket
import struct
import threading
import time

from . import aesgcm, ports, socks5, wait, x25519

X25519, MLKEM = 0x001d, 0x11ec
RANDOM, SESSION_ID = 11, 44             # offsets in the record; both fields have 32 bytes


class Hello:
    """One ClientHello in one record: `wire`, the fields tests look at, and where key shares lie."""

    def __init__(self, wire):
        self.wire = wire
        assert wire[0] == 22 and wire[5] == 1 and len(wire) == 5 + struct.unpack("!H", wire[3:5])[0]
        assert wire[43] == 32, "a session id of 32 bytes"
        at = SESSION_ID + 32
        self.suites = self._u16_list(at)
        at += 2 + struct.unpack("!H", wire[at:at + 2])[0]
        at += 1 + wire[at] + 2
        self.shares, self.sni, self.alpn = {}, "", False
        while at < len(wire):
            kind, size = struct.unpack("!HH", wire[at:at + 4])
            at += 4
            if kind == 0:
                self.sni = wire[at + 5:at + size].decode()
            elif kind == 16:
                self.alpn = True
            elif kind == 51:
                self._read_shares(at + 2, at + size)
            at += size

    @property
    def random(self):
        return self.wire[RANDOM:RANDOM + 32]

    @property
    def session_id(self):
        return self.wire[SESSION_ID:SESSION_ID + 32]

    def _u16_list(self, at):
        n = struct.unpack("!H", self.wire[at:at + 2])[0] // 2
        return struct.unpack(f"!{n}H", self.wire[at + 2:at + 2 + 2 * n])

    def _read_shares(self, at, end):
        while at < end:
            group, size = struct.unpack("!HH", self.wire[at:at + 4])
            self.shares[group] = (at + 4, size)
            at += 4 + size

    def forge(self, server_public, short_id="", when=None, version=(25, 12, 1)):
        """The same hello with a random, an X25519 share and a REALITY session id of our own making."""
        private = x25519.private_key()
        wire = bytearray(self.wire)
        wire[RANDOM:RANDOM + 32] = os.urandom(32)
        at, size = self.shares[X25519]
        wire[at:at + size] = x25519.public_key(private)
        key = auth_key(x25519.shared(private, server_public), bytes(wire[RANDOM:RANDOM + 32]))
        wire[SESSION_ID:SESSION_ID + 32] = bytes(32)
        plain = (bytes(version) + b"\0" + struct.pack("!I", int(time.time() if when is None else when))
                 + bytes.fromhex(short_id).ljust(8, b"\0"))
        wire[SESSION_ID:SESSION_ID + 32] = aesgcm.seal(key, bytes(wire[RANDOM + 20:RANDOM + 32]), plain,
                                                       bytes(wire[5:]))
        return bytes(wire)


def auth_key(secret, random):
    """HKDF-SHA256 with one block of output."""
    prk = hmac.digest(random[:20], secret, hashlib.sha256)
    return hmac.digest(prk, b"REALITY\x01", hashlib.sha256)


def catch(start_client):
    """The first ClientHello of a real client. start_client(port) starts one that dials this port of loopback, and
    returns its SOCKS address."""
    caught = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            with s:
                s.settimeout(10)
                try:
                    head = socks5.read_exactly(s, 5)
                    caught.append(head + socks5.read_exactly(s, struct.unpack("!H", head[3:5])[0]))
                except OSError:
                    pass
    threading.Thread(target=serve, daemon=True).start()
    try:
        proxy = start_client(listener.getsockname()[1])
        with socks5.connect(proxy, "127.0.0.1", 9) as s:
            s.sendall(b"x")
            wait.until(lambda: caught, 15, "a ClientHello")
        return Hello(caught[0])
    finally:
        ports.stop_listening(listener)
