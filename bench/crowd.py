"""What a connection costs a Shadowsocks AEAD node with many users, whose protocol does not say who is there: from a
source never seen, so that the user has to be looked for, and from one he used before.

The client is a few lines of Python: the real one would open them all from one address."""
import hashlib
import hmac
import os
import socket
import struct

import rig
from harness import aesgcm, ports, shadowsocks, spec

CIPHER = "aes-256-gcm"
CROWDS = (1, 10_000, 100_000)
UNSEEN = 150                    # connections, each of another user from another address
AGAIN = 6                       # more of each from there
SLOW = 30                       # of the Go servers, which need 25 ms and more for each


def users(count):
    return [(i, f"{i:08x}-0000-4000-8000-{i * 2654435761 % (1 << 48):012x}") for i in range(1, count + 1)]


def _key(password, salt):
    first = hashlib.md5(password.encode()).digest()
    prk = hmac.new(salt, first + hashlib.md5(first + password.encode()).digest(), hashlib.sha1).digest()
    one = hmac.new(prk, b"ss-subkey\1", hashlib.sha1).digest()
    return (one + hmac.new(prk, one + b"ss-subkey\2", hashlib.sha1).digest())[:32]


def request(user, port):
    """A stream's beginning: the address alone, then a line, as Xray sends them."""
    salt = os.urandom(32)
    key, wire, count = _key(user, salt), salt, 0
    for part in (b"\1\x7f\0\0\1" + struct.pack("!H", port), b"H\n"):
        for piece in (struct.pack("!H", len(part)), part):
            wire += aesgcm.seal(key, struct.pack("<Q", count) + bytes(4), piece, b"")
            count += 1
    return wire


def visit(address, source, wire):
    with socket.socket() as s:
        s.bind((source, 0))
        s.settimeout(20)
        s.connect(address)
        s.sendall(wire)
        if not s.recv(1):
            raise ConnectionError("closed without an answer")


def _cpu(server, visits):
    before = server.process.cpu_seconds()
    for v in visits:
        visit(*v)
    return (server.process.cpu_seconds() - before) * 1000 / len(visits)


def _measure(kind, count, directory, origins, results):
    n = UNSEEN if kind == "v2sp" else SLOW
    crowd = users(count)
    node = spec.Node(port=ports.free_port(), protocol="shadowsocks", settings=shadowsocks.node(CIPHER), users=crowd)
    server = rig.Server(kind, node, directory)
    try:
        address = (node.listen, node.port)
        who = [(f"127.2.{i // 200}.{i % 200 + 1}", crowd[i * 7919 % count][1]) for i in range(n)]
        visit(address, "127.3.0.1", request(crowd[-1][1], origins.sink))

        def visits(times):
            return [(address, source, request(user, origins.sink)) for _ in range(times) for source, user in who]
        results.add("ss-users", kind, f"CPU-ms, {count} unseen", _cpu(server, visits(1)))
        results.add("ss-users", kind, f"CPU-ms, {count} seen", _cpu(server, visits(AGAIN if kind == "v2sp" else 1)))
    except OSError as e:
        results.failed("ss-users", kind, f"{count} users", str(e) or type(e).__name__)
    finally:
        server.stop()


def run(servers, runs, work, results, origins):
    for i in range(runs):
        for count in CROWDS:
            for kind in servers:
                if kind == "v2sp" or count <= 10_000:
                    _measure(kind, count, work / f"ss-users-{count}-{kind}-{i}", origins, results)
