"""Asks the stats API for one counter RATE times a second on one connection, whether it is answered or not.

    asker.py ADDRESS COUNTER RATE

A line on standard input is answered with how many were asked and answered since the one before, and with the worst
milliseconds that the last answer was late; its end ends the asking."""
import os
import select
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
from harness import stats  # noqa: E402

TURN = 0.01
HEAD = stats.request_head(f"/{stats.XRAY}/GetStats")


class Answers:
    """Frames of the server, of which only the ends of streams matter."""

    def __init__(self, s):
        self.s, self.left, self.ended = s, b"", 0

    def take(self):
        if not select.select([self.s], [], [], 0)[0]:
            return
        data = self.left + self.s.recv(1 << 18)
        while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
            kind, flags, stream = data[3], data[4], int.from_bytes(data[5:9], "big")
            if kind == stats.GOAWAY:
                sys.exit("the server says goodbye")
            self.ended += stream != 0 and (kind == stats.RST or kind in (stats.DATA, stats.HEADERS) and flags & 1)
            data = data[9 + size:]
        self.left = data


def main(address, counter, rate):
    raw = stats.Raw(address, stats.window(1 << 30))
    raw.send(stats.frame(stats.WINDOW, 0, 0, b"\x3f\0\0\0"))
    answers, message = Answers(raw.s), stats.message(stats.field(1, counter))
    each, stream, asked, worst, late_since = int(float(rate) * TURN), 1, 0, 0.0, None
    said = [0, 0]
    turn = time.monotonic()
    while True:
        for _ in range(each):
            raw.send(stats.head(stream, HEAD) + stats.frame(stats.DATA, 1, stream, message))
            stream, asked = stream + 2, asked + 1
        turn += TURN
        while (rest := turn - time.monotonic()) > 0:
            select.select([raw.s, sys.stdin], [], [], rest)
            answers.take()
            if answers.ended == asked:
                late_since = None
            if select.select([sys.stdin], [], [], 0)[0]:
                if not sys.stdin.readline():
                    return
                print(asked - said[0], answers.ended - said[1], f"{worst * 1000:.3f}", flush=True)
                said, worst = [asked, answers.ended], 0.0
        answers.take()
        if answers.ended < asked:
            late_since = late_since or turn - TURN
            worst = max(worst, time.monotonic() - late_since)


main(*sys.argv[1:])
