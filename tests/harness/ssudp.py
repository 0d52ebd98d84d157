"""Datagrams of Shadowsocks with aes-256-gcm (SIP004), client side: those to the server are sealed, of those that come
back only the length is of interest."""
import functools
import hashlib
import hmac
import ipaddress
import os
import struct

from . import aesgcm

CIPHER = "aes-256-gcm"
SALT, TAG, ADDRESS = 32, 16, 7
OVERHEAD = SALT + TAG + ADDRESS


@functools.cache
def _master(password):
    """OpenSSL's EVP_BytesToKey with MD5 and no salt."""
    key, block = b"", b""
    while len(key) < 32:
        block = hashlib.md5(block + password.encode()).digest()
        key += block
    return key[:32]


def _subkey(master, salt):
    """HKDF-SHA1 (RFC 5869), 32 bytes."""
    prk = hmac.digest(salt, master, hashlib.sha1)
    first = hmac.digest(prk, b"ss-subkey\x01", hashlib.sha1)
    return (first + hmac.digest(prk, first + b"ss-subkey\x02", hashlib.sha1))[:32]


def seal(password, target, data):
    salt = os.urandom(SALT)
    address = b"\x01" + ipaddress.IPv4Address(target[0]).packed + struct.pack("!H", target[1])
    return salt + aesgcm.seal(_subkey(_master(password), salt), bytes(12), address + data, b"")
