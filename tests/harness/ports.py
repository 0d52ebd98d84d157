"""Free TCP and UDP ports below the range the kernel hands to outgoing connections."""
import os
import random
import socket

_rng = random.Random(os.urandom(8))
_given = set()


def free_port(host="127.0.0.1"):
    """A port nobody is bound to, TCP and UDP, and that this process has not given out before."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = _rng.randrange(12000, 32000)
        if port in _given:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(family, kind) as s:
                    s.bind((host, port))
        except OSError:
            continue
        _given.add(port)
        return port


def free_loopback_ip(port):
    """An address 127.0.x.y on which the given (low) port is free for TCP and UDP."""
    while True:
        ip = f"127.0.{_rng.randrange(1, 250)}.{_rng.randrange(2, 250)}"
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as s:
                    s.bind((ip, port))
            return ip
        except PermissionError:
            raise
        except OSError:
            continue
