"""One byte to and fro through a node, again and again; how long the worst took. A process of its own, so that nothing
but the node keeps it waiting.

    pulse.py HOST PORT ECHO_PORT UUID vless|vmess

Each line on standard input is answered with the worst milliseconds since the one before; its end ends the pulse."""
import os
import select
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
import vmess_users  # noqa: E402
from harness import socks5, vless  # noqa: E402

PAUSE = 0.0005


def main(host, port, echo, user, protocol):
    s = vless.connect((host, int(port)))
    request, answer = {"vless": (lambda: vless.header(user, "127.0.0.1", int(echo)), 2),
                       "vmess": (lambda: vmess_users.User(user).request("127.0.0.1", int(echo)), 38)}[protocol]
    s.sendall(request() + b"ECHO\nx")
    socks5.read_exactly(s, answer + 1)   # the response header and the byte
    worst = 0.0
    while True:
        start = time.perf_counter()
        s.sendall(b"x")
        socks5.read_exactly(s, 1)
        worst = max(worst, time.perf_counter() - start)
        if select.select([sys.stdin], [], [], PAUSE)[0]:
            if not sys.stdin.readline():
                return
            print(f"{worst * 1000:.3f}", flush=True)
            worst = 0.0


main(*sys.argv[1:])
