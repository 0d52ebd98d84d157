"""Reload and upgrade under load: nobody is dropped, no byte is wrong, every byte is reported once."""
import signal

import pytest

from harness import upgrades, vless, wait
from harness.spec import ALICE, BOB


@pytest.fixture(autouse=True)
def orphans():
    upgrades.adopt_orphans()


def test_upgrade_keeps_what_is_open(serve, node, origin):
    """A session lives on in the old process, a new one is the new process's; the old one ends, sums are whole."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(5000)
        old = upgrades.upgrade(s)
        alice.say(5000)
        with vless.Session(node, BOB, origin) as bob:
            bob.say(3000)
            alice.say(7000)
            assert old.alive()
        alice.close()
        upgrades.wait_all_left(s)
    s.panel.wait_sum(1, alice.up, alice.down)
    s.panel.wait_sum(2, bob.up, bob.down)
    assert s.panel.raw == s.panel.total
