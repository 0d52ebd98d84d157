"""What finding the user of a VMess connection costs at 1, 10,000 and 100,000 users: from a source that was never seen,
and from the same source again.

The real client has one source address; here thousands of users come from as many. So the requests (security "zero": a
request header, then plain bytes) are made here, with the AES of the machine's libcrypto."""
import ctypes
import hashlib
import hmac
import os
import random
import socket
import time
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor

import polls
import rig
from harness import ports, spec

COUNTS = (1, 10_000, 100_000)
CONNECTIONS = 2000
FEWER = 100                     # of a server that takes tens of milliseconds for each
AT_ONCE = 8
CHANGED = 100

_crypto = ctypes.CDLL("libcrypto.so.3")
for _name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_gcm", "EVP_aes_128_ecb"):
    getattr(_crypto, _name).restype = ctypes.c_void_p
_p = ctypes.c_void_p


def _seal(cipher, key, nonce, data, aad=b"", tag=16):
    ctx, n = _p(_crypto.EVP_CIPHER_CTX_new()), ctypes.c_int()
    out = ctypes.create_string_buffer(len(data) + 32)
    _crypto.EVP_EncryptInit_ex(ctx, _p(getattr(_crypto, cipher)()), None, key, nonce)
    if aad:
        _crypto.EVP_EncryptUpdate(ctx, None, ctypes.byref(n), aad, len(aad))
    _crypto.EVP_EncryptUpdate(ctx, out, ctypes.byref(n), data, len(data))
    sealed = out.raw[:len(data)]
    if tag:
        _crypto.EVP_EncryptFinal_ex(ctx, out, ctypes.byref(n))
        _crypto.EVP_CIPHER_CTX_ctrl(ctx, 0x10, tag, out)        # EVP_CTRL_AEAD_GET_TAG
        sealed += out.raw[:tag]
    _crypto.EVP_CIPHER_CTX_free(ctx)
    return sealed


def _kdf(key, *path):
    def nested(inner, word):
        pad = word.ljust(64, b"\0")
        i, o = bytes(b ^ 0x36 for b in pad), bytes(b ^ 0x5c for b in pad)
        return lambda m: inner(o + inner(i + m))

    h = lambda m: hmac.digest(b"VMess AEAD KDF", m, "sha256")       # noqa: E731
    for word in path:
        h = nested(h, word)
    return h(key)


class User:
    def __init__(self, text):
        self.key = hashlib.md5(uuid.UUID(text).bytes + b"c48619fe-8f02-49e0-b9e9-edf763e17e21").digest()
        self.auth_key = _kdf(self.key, b"AES Auth ID Encryption")[:16]

    def request(self, host, port):
        """A request for TCP to host:port, without chunks or cipher."""
        stamp = int(time.time()).to_bytes(8, "big") + os.urandom(4)
        auth_id = _seal("EVP_aes_128_ecb", self.auth_key, None, stamp + zlib.crc32(stamp).to_bytes(4, "big"), tag=0)
        nonce = os.urandom(8)
        header = (b"\x01" + os.urandom(33) + b"\0\x05\0\x01" + port.to_bytes(2, "big") + b"\x01" +
                  socket.inet_aton(host))
        fnv = 0x811c9dc5
        for b in header:
            fnv = (fnv ^ b) * 0x01000193 & 0xffffffff
        header += fnv.to_bytes(4, "big")

        def part(word, data):
            return _seal("EVP_aes_128_gcm", _kdf(self.key, b"VMess Header AEAD Key" + word, auth_id, nonce)[:16],
                         _kdf(self.key, b"VMess Header AEAD Nonce" + word, auth_id, nonce)[:12], data, auth_id)
        return auth_id + part(b"_Length", len(header).to_bytes(2, "big")) + nonce + part(b"", header)


def crowd(count, generation=0):
    """Of all but the first generation the first CHANGED have other uuids."""
    return [(i, f"{i:08x}-{generation if i <= CHANGED else 0:04x}-4000-8000-{i * 2654435761 % (1 << 48):012x}")
            for i in range(1, count + 1)]


def _visit(node, origins, user, source):
    with socket.socket() as s:
        s.settimeout(10)
        s.bind((source, 0))
        s.connect((node.listen, node.port))
        s.sendall(user.request("127.0.0.1", origins.web) +
                  b"GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while not answer.endswith(100 * b"x"):       # Xray would close a second later
            part = s.recv(4096)
            assert part, f"closed after {len(answer)} bytes"
            answer += part


def _visits(server, origins, visits):
    """Xray-core remembers requests by 8 bits of hash: it takes one in two thousand here for a replay, and does not answer
    it. That one is made again; v2sp gets no second try."""
    tries = 1 if server.kind == "v2sp" else 5

    def visit(v):
        for left in reversed(range(tries)):
            try:
                return _visit(server.node, origins, *v)
            except TimeoutError:
                if left == 0:
                    raise

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(visit, visits))


def _measure(server, origins, users, connections, results, count):
    rng = random.Random(count)
    chosen = [User(users[rng.randrange(len(users))][1]) for _ in range(connections)]
    visits = [(u, f"127.{2 + i // 60000}.{i // 250 % 240 + 1}.{i % 250 + 1}") for i, u in enumerate(chosen)]
    _visits(server, origins, [(User(users[-1][1]), "127.1.1.1")] * 20)
    for what in ("unseen", "seen"):
        before = polls.cpu_ns(server.process.pid)
        _visits(server, origins, visits)
        cpu = polls.cpu_ns(server.process.pid) - before
        results.add("vmess-users", server.kind, f"CPU-ms, {count} {what}", cpu / 1e6 / connections)


def run(servers, runs, work, results):
    origins = rig.Origins(work / "origins-vmess-users")
    try:
        for count in COUNTS:
            users = crowd(count)
            for i in range(runs):
                for kind in servers:
                    node = spec.Node(port=ports.free_port(), protocol="vmess", users=users)
                    server = rig.Server(kind, node, work / f"vmess-users-{count}-{kind}-{i}")
                    slow = kind != "v2sp" and count > 1000
                    try:
                        _measure(server, origins, users, FEWER if slow else CONNECTIONS, results, count)
                    finally:
                        server.stop()
    finally:
        origins.stop()
