"""kill -9 at random points: what was relayed before is reported after."""
import random
import threading

import pytest

from harness import panel as behaviours
from harness import vless, wait
from harness.spec import ALICE


class Talker(threading.Thread):
    """Says things until the session breaks. `said` is what left, `heard` what came back: it certainly passed both ways, and
    was counted before it was handed on."""

    def __init__(self, node, origin, seed):
        super().__init__(daemon=True)
        self.session = vless.Session(node, ALICE, origin)
        self.rng = random.Random(seed)
        self.said = self.heard = 0

    def run(self):
        try:
            while True:
                n = self.rng.randrange(1, 30_000)
                self.said += n
                self.session.say(n)
                self.heard += n
        except OSError:
            pass


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("panel_is", ["well", "dropping", "gone"])
def test_kill_9(serve, node, origin, seed, panel_is):
    """Several lives of the process under one panel. Afterwards the panel's sum lies between what was heard and
    what was said: of a message in flight at a kill nobody knows how much passed."""
    rng = random.Random(seed)
    s = serve(node)
    if panel_is == "dropping":
        s.panel.behave("push", behaviours.drop_after_apply, times=4)
    sure_up = sure_down = most_up = most_down = 0
    for life in range(4):
        if panel_is == "gone" and life == 1:
            s.panel.close()
        talkers = [Talker(node, origin, seed * 100 + life * 10 + i) for i in range(3)]
        for t in talkers:
            t.start()
        threading.Event().wait(rng.uniform(0.2, 4))      # the random point is the subject of the test
        s.process.kill()
        for t in talkers:
            t.join(10)
            head = len(b"ECHO\n")
            sure_up, sure_down = sure_up + head + t.heard, sure_down + t.heard
            most_up, most_down = most_up + head + t.said, most_down + t.said
        s.start()
    if panel_is == "gone":
        s.panel.open()
    with vless.Session(node, ALICE, origin) as last:     # what comes after proves that counting goes on
        last.say(1000)
        sure_up, most_up = sure_up + last.up, most_up + last.up
        sure_down, most_down = sure_down + last.down, most_down + last.down
        wait.until(lambda: s.panel.sum(1)[0] >= sure_up and s.panel.sum(1)[1] >= sure_down, 120,
                   lambda: f"{s.panel.sum(1)} to reach {(sure_up, sure_down)}")
    s.restart()                                          # the last report of all
    up, down = s.panel.sum(1)
    assert sure_up <= up <= most_up
    assert sure_down <= down <= most_down
    assert not s.panel.conflicts
