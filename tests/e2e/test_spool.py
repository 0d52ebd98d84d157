"""v2sp spool: what waits to be reported is shown, sent again, forgotten or given to another node, whether the service
runs or not, and nothing is counted twice or lost by it."""
import json

import pytest

from harness import admin, upgrades, v2sp, vless, wait
from harness import panel as behaviours
from harness.spec import ALICE, BOB

pytestmark = pytest.mark.v2sp_only
AT_MOST_ONCE = {"ReportPolicy": "at-most-once", "Name": "in-1"}


def spool(served, *words):
    return admin.command("spool", *words, "-c", served.config)


def waiting(served):
    """What waits, by node; nodes of which nothing does are left out."""
    done = spool(served, "list", "--json")
    assert done.returncode == 0, done.stderr
    nodes = json.loads(done.stdout)["nodes"]
    return [n for n in nodes if n["accounts"]["rows"] or n["batches"]]


def sums(node):
    parts = [node["accounts"], *node["batches"]]
    return sum(p["up"] for p in parts), sum(p["down"] for p in parts)


def spent(node, user, origin, n):
    """A session of the user that has ended; what it moved."""
    with vless.Session(node, user, origin) as session:
        session.say(n)
        return session.up, session.down


def report(served, node="in-1"):
    """Makes what waits due now."""
    done = spool(served, "replay", "--node", node)
    assert done.returncode == 0, done.stderr


def parked(served):
    def look():
        return [b for n in waiting(served) for b in n["batches"] if b["parked"]]
    report(served)
    return wait.until(look, 20, "a parked batch")


def test_nothing_is_dropped_while_an_earlier_process_lives(serve, node, origin):
    """After an upgrade: a batch that it is sending would be booked all the same."""
    upgrades.adopt_orphans()
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        upgrades.upgrade(s)
        done = spool(s, "drop", "7", "--yes")
        assert done.returncode == 1 and "still lives" in done.stderr
    upgrades.wait_all_left(s)
    wait.until(lambda: "there is no batch 7" in spool(s, "drop", "7", "--yes").stderr, 20, "the right to drop")


@pytest.mark.sanitizer
def test_parked_and_sent_once_more(serve, node, origin):
    """at-most-once: an answer that was lost parks the batch, later traffic goes on; a panel that knows keys books the
    parked batch once though it is sent twice."""
    s = serve(node, extra=AT_MOST_ONCE)
    s.panel.behave("push", behaviours.drop_after_apply, times=1)
    up, down = spent(node, ALICE, origin, 1000)
    batch, = parked(s)
    assert (batch["up"], batch["down"], batch["rows"], batch["tried"]) == (up, down, 1, True)
    assert batch["key"] in s.panel.batches and batch["frozen"] > 0
    s.process.wait_log("parked")
    other = spent(node, BOB, origin, 500)
    s.panel.wait_sum(2, *other, timeout=90)
    assert s.panel.sum(1, s.panel.raw) == (up, down), "sent again though nobody asked"
    done = spool(s, "replay", batch["number"])
    assert done.returncode == 0, done.stderr
    wait.until(lambda: s.panel.sum(1, s.panel.raw) == (2 * up, 2 * down), 20, "the batch once more")
    assert s.panel.sum(1) == (up, down)
    wait.until(lambda: not waiting(s), 20, "an empty spool")
    assert spool(s, "list").stdout == "nothing waits\n"


def test_parked_and_dropped(serve, node, origin):
    s = serve(node, extra=AT_MOST_ONCE)
    s.panel.behave("push", behaviours.drop_after_apply, times=1)
    up, down = spent(node, ALICE, origin, 1000)
    batch, = parked(s)
    shown = spool(s, "list").stdout
    assert "parked" in shown and "in-1" in shown and max(map(len, shown.splitlines())) <= 100, shown
    assert spool(s, "drop", batch["number"]).returncode == 2, "without --yes"
    assert spool(s, "drop", batch["number"] + 7, "--yes").returncode == 1
    done = spool(s, "drop", batch["number"], "--yes")
    assert done.returncode == 0 and f"{up} bytes up, {down} down" in done.stdout
    s.process.wait_log(f"dropped.*{up} bytes up")
    assert not waiting(s)
    assert s.panel.sum(1, s.panel.raw) == (up, down)


def test_without_the_service(serve, node, origin):
    """After kill -9 the list reads what was stored; an order first takes what the counters of the dead process hold."""
    s = serve(node, extra=AT_MOST_ONCE)
    s.panel.behave("push", behaviours.drop_after_apply, times=1)
    first = spent(node, ALICE, origin, 1000)
    batch, = parked(s)
    s.panel.close()
    second = spent(node, BOB, origin, 500)
    s.process.kill()
    n, = waiting(s)
    assert n["tag"] == "in-1" and n["batches"][0]["parked"]
    assert "was killed" in spool(s, "list").stderr
    done = spool(s, "replay", "--node", "in-1")
    assert done.returncode == 0, done.stderr
    n, = waiting(s)
    assert sums(n) == (first[0] + second[0], first[1] + second[1])
    assert not n["batches"][0]["parked"] and n["batches"][0]["key"] == batch["key"]
    s.panel.open()
    s.start()
    report(s)
    s.panel.wait_sum(2, *second)
    s.panel.wait_sum(1, *first)
    assert s.panel.sum(1, s.panel.raw) == (2 * first[0], 2 * first[1])


def test_usage(serve, node):
    s = serve(node)
    for words in (("",), (), ("list", "3"), ("replay",), ("replay", "x"), ("drop", "--yes"), ("replay", "3", "--to", "a")):
        assert spool(s, *words).returncode == 2, words
    assert spool(s, "replay", 3).returncode == 1
    assert spool(s, "drop", "--node", "nobody", "--yes").returncode == 1


@pytest.mark.sanitizer
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_node_that_is_another_one_now(serve, node, origin, running):
    """The operator gave the node a new number at the panel. What waits of the old one goes to the new one, in the
    batch that may have been booked under its old key, and is booked once."""
    s = serve(node, extra={"Name": "in-1"})
    s.panel.behave("push", behaviours.drop_after_apply, times=1)
    first = spent(node, ALICE, origin, 1000)
    report(s)
    wait.until(lambda: s.panel.sum(1) == first, 20, "the first push")
    s.panel.close()
    second = spent(node, BOB, origin, 500)
    assert s.process.stop() == 0
    s.panel.open()
    s.panel.nodes.pop(1)
    s.panel.add_node(2, v2sp.TOKEN, v2sp.node_object(node), v2sp.user_list(node))
    s.node_id = 2
    s.reconfigure(extra={"Name": "in-2"})
    if running:
        s.start()
    else:
        s.process.start()           # knows the new node, so it has a row
        s.process.wait_port(node.port)
        assert s.process.stop() == 0
    old, = waiting(s)
    assert old["tag"] is None and "|1|" in old["identity"]
    assert sums(old) == (first[0] + second[0], first[1] + second[1])
    assert "not configured" in spool(s, "list").stdout
    assert spool(s, "replay", "--node", old["row"]).returncode == 1, "to whom?"
    assert spool(s, "replay", "--node", old["row"], "--to", "in-1").returncode == 1, "there is no in-1 any more"
    assert spool(s, "drop", "--node", "in-2", "--yes").returncode == 1, "in-2 is configured"
    done = spool(s, "replay", "--node", old["identity"], "--to", "in-2")
    assert done.returncode == 0, done.stderr
    if not running:
        s.start()
        report(s, "in-2")
    s.panel.wait_sum(2, *second)
    s.panel.wait_sum(1, *first)
    wait.until(lambda: not waiting(s), 20, "an empty spool")


def test_a_node_that_is_gone(serve, node, origin):
    s = serve(node, extra={"Name": "in-1"})
    s.panel.close()
    moved = spent(node, ALICE, origin, 1000)
    assert s.process.stop() == 0
    s.node_id = 2
    s.reconfigure(extra={"Name": "in-2"})
    old, = waiting(s)
    assert sums(old) == moved
    assert spool(s, "drop", "--node", old["row"]).returncode == 2, "without --yes"
    done = spool(s, "drop", "--node", old["row"], "--yes")
    assert done.returncode == 0 and f"{moved[0]} bytes up" in done.stdout
    assert not waiting(s)
