"""Waiting for events. Nothing in the tests sleeps for a guess: it polls a condition until a deadline."""
import socket
import time

STEP = 0.02


def until(condition, timeout, what):
    """Polls condition() until it is true and returns its value; fails with `what` after timeout seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(STEP)


def udp_bound(port):
    """Is a UDP socket of this machine bound to the port?"""
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            with open(table) as f:
                if any(line.split()[1].endswith(f":{port:04X}") for line in f.readlines()[1:]):
                    return True
        except OSError:
            pass
    return False


def connectable(host, port, timeout=0.5):
    try:
        socket.create_connection((host, port), timeout).close()
        return True
    except OSError:
        return False
