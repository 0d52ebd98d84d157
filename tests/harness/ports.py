"""Free TCP and UDP ports below the range the kernel hands to outgoing connections."""
import os
import random
import socket

LOW, HIGH, BLOCK = 12000, 32000, 50
_rng = random.Random(os.urandom(8))
_reservations, _left = [], []


def _next_port():
    """Never the same twice, in no two processes at a time: tests run side by side, and between the choice of a port and
    its use another process could choose it too. A process reserves ports by blocks, with a name that the kernel gives to
    one socket only."""
    while not _left:
        first = _rng.randrange(LOW, HIGH, BLOCK)
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            mark.bind(f"\0v2sp-test-ports-{first}")
        except OSError:
            mark.close()
            continue
        _reservations.append(mark)
        _left.extend(_rng.sample(range(first, first + BLOCK), BLOCK))
    return _left.pop()


def free_port(host="127.0.0.1"):
    """A port nobody is bound to, TCP and UDP, and that no test process has given out before."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = _next_port()
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(family, kind) as s:
                    s.bind((host, port))
        except OSError:
            continue
        return port


def stop_listening(listener):
    """Closes a listening socket. A thread that waits in accept() would take one more connection without the shutdown."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    listener.close()


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
