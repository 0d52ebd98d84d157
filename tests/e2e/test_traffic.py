"""What is counted reaches the panel exactly once, whatever the panel does. `total` is the sum of a panel that honours
Idempotency-Key; it must equal the payload bytes of the users' sessions to the byte."""
import threading

import pytest

from harness import panel as behaviours
from harness import vless, wait
from harness.spec import ALICE, BOB

BEHAVIOURS = {
    "500": behaviours.status(500),
    "503": behaviours.status(503, headers=(("Retry-After", "1"),)),
    "429": behaviours.status(429),
    "html-502": behaviours.status(502, b"<html>Bad gateway</html>"),
    "drop-before": behaviours.drop_before,
    "drop-after": behaviours.drop_after_apply,
    "half-answer": behaviours.half,
    "half-unapplied": behaviours.half_unapplied,
}


@pytest.mark.sanitizer
def test_sums_while_all_is_well(serve, node, origin):
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
        alice.say(100_000)
        bob.say(1)
        s.panel.wait_sum(1, alice.up, alice.down)
        s.panel.wait_sum(2, bob.up, bob.down)
        alice.say(10)
        s.panel.wait_sum(1, alice.up, alice.down)
    assert s.panel.missing_keys == 0
    assert s.panel.raw == s.panel.total


def test_no_empty_pushes(serve, node, origin):
    s = serve(node)
    s.panel.wait_calls("user", 2)
    assert s.panel.count("push") == 0


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_failing_push(serve, node, origin, name):
    """Two failures, traffic going on meanwhile, then a panel that works."""
    s = serve(node)
    s.panel.behave("push", BEHAVIOURS[name], times=2)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        s.panel.wait_calls("push", timeout=30)
        alice.say(20_000)
        s.panel.wait_calls("push", timeout=90)
        alice.say(3)
        s.panel.wait_sum(1, alice.up, alice.down, timeout=120)
    assert s.panel.missing_keys == 0


def test_html_with_200(serve, node, origin):
    """A login page is no receipt. Whether the panel applied the push cannot be known, so the same batch comes again."""
    s = serve(node)
    s.panel.behave("push", behaviours.html, times=1)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        s.panel.wait_calls("push", timeout=30)
        s.panel.wait_calls("push", timeout=60)
        s.panel.wait_sum(1, alice.up, alice.down, timeout=60)


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "unapplied"])
def test_slow_push(serve, node, origin, applied):
    """Slower than Timeout: given up, sent again under the same key; the users notice nothing."""
    s = serve(node, extra={"Timeout": 2})
    release = threading.Event()
    s.panel.behave("push", behaviours.slow(release, applied), times=1)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        wait.until(lambda: (alice.say(10) or True) and s.panel.count("push", 200) > 0, 90, "a push got through")
        release.set()
        s.panel.wait_sum(1, alice.up, alice.down, timeout=60)


def test_slow_get_does_not_hold_up_anything(serve, node, origin):
    """Polling hangs; pushes and sessions go on."""
    s = serve(node)
    release = threading.Event()
    for action in ("config", "user", "alivelist"):
        s.panel.behave(action, behaviours.slow(release))
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(5000)
        s.panel.wait_sum(1, alice.up, alice.down, timeout=30)
    release.set()


@pytest.mark.sanitizer
def test_panel_gone_and_back(serve, node, origin):
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        s.panel.wait_sum(1, alice.up, alice.down)
        s.panel.close()
        for _ in range(5):
            alice.say(10_000)
            with vless.Session(node, BOB, origin) as bob:
                bob.say(1000)
        s.panel.open()
        s.panel.wait_sum(1, alice.up, alice.down, timeout=90)
        s.panel.wait_sum(2, 5 * bob.up, 5 * bob.down, timeout=30)


def test_restart_while_the_panel_is_gone(serve, node, origin):
    """Counted before the restart, kept in the spool, reported by the next process; and the cache lets users in."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as first:
        first.say(5000)
        s.panel.close()
        first.say(7000)
    s.restart()
    with vless.Session(node, ALICE, origin) as second:
        second.say(11_000)
        s.panel.open()
        s.panel.wait_sum(1, first.up + second.up, first.down + second.down, timeout=90)


def test_unknown_outcome_across_a_restart(serve, node, origin):
    """The push was applied, the answer never came, the process ended: the next one repeats it under its key."""
    s = serve(node)
    s.panel.behave("push", behaviours.drop_after_apply)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(5000)
        wait.until(lambda: s.panel.sum(1) == (alice.up, alice.down), 30, "applied once")
    s.restart()
    s.panel.behave_normally()
    with vless.Session(node, ALICE, origin) as again:
        again.say(100)
        s.panel.wait_sum(1, alice.up + again.up, alice.down + again.down, timeout=90)


@pytest.mark.sanitizer
def test_last_report_at_sigterm(serve, node, origin):
    """Bytes of the last interval are pushed before the process ends."""
    s = serve(node, push=3600)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(123_456)
    s.expected_to_end = True
    assert s.process.stop() == 0
    assert s.panel.sum(1) == (alice.up, alice.down)


def test_small_traffic_of_a_user_who_leaves(serve, node, origin):
    """Below ReportMinTraffic he waits; when he is taken out of the list it is reported with the next push."""
    s = serve(node, extra={"ReportMinTraffic": 100_000})
    with vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
        alice.say(1000)
        bob.say(1000)
        s.panel.set_users(1, [{"id": 2, "uuid": BOB}])
        s.panel.wait_sum(1, alice.up, alice.down)
        assert s.panel.sum(2) == (0, 0), "bob is still here and has moved as little"


def test_open_session_at_sigterm(serve, node, origin):
    """Also those of a session that is open and that the end of the process cuts."""
    s = serve(node, push=3600, top={"DrainTimeout": 1})
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(50_000)
        s.expected_to_end = True
        assert s.process.stop() == 0
        assert s.panel.sum(1) == (alice.up, alice.down)


def test_long_transfer_is_reported_while_it_runs(serve, node, origin):
    """Spliced bytes count as they pass, not at the end of the session."""
    s = serve(node)
    with vless.connect((node.listen, node.port)) as c:
        v = vless.Stream(c, ALICE, origin.host, origin.port, first=b"SOURCE 10000000000 1\n")
        for part in range(1, 4):
            v.read(5_000_000)
            wait.until(lambda: s.panel.sum(1)[1] >= part * 5_000_000, 20, "a report in the middle of the download")
