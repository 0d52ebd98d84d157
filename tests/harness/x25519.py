"""X25519 (RFC 7748), for key pairs and for hellos that tests make themselves. Not constant time: test keys only."""
import base64
import os

P = 2**255 - 19
BASE = b"\x09" + bytes(31)


def private_key():
    return os.urandom(32)


def public_key(private):
    return shared(private, BASE)


def text(key):
    """As panels and clients write keys: base64url without padding."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def shared(private, peer):
    """The Montgomery ladder of RFC 7748 section 5."""
    k = bytearray(private)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    scalar = int.from_bytes(k, "little")
    u = int.from_bytes(peer, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = scalar >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a % P, c * b % P, a * a % P, b * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")
