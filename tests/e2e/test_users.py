"""Users come, change and go at the panel; the sessions of all others do not notice."""
import contextlib

import pytest

from harness import panel as behaviours
from harness import vless, wait
from harness.spec import ALICE, BOB, CAROL


def users(*pairs):
    return [{"id": i, "uuid": u} for i, u in pairs]


def applied(panel):
    """The node has asked for users after the last change and has got an answer with content."""
    panel.wait_calls("user", code=200)


def first_session(node, user, origin):
    """A session of a user of whom each worker hears at its own time. No other attempt is booked."""
    def attempt():
        session = vless.Session(node, user, origin)
        try:
            session.say(777)
            return session
        except ConnectionError:
            session.close()
            return None
    return wait.until(attempt, 20, "a session")


@pytest.mark.sanitizer
def test_added_user_is_served(serve, node, origin):
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        assert vless.refused(node, CAROL, origin)
        s.panel.set_users(1, users((1, ALICE), (2, BOB), (3, CAROL)))
        applied(s.panel)
        wait.until(lambda: not vless.refused(node, CAROL, origin), 20, "carol is served")
        alice.say()


@pytest.mark.sanitizer
def test_removed_user_ends_at_once(serve, node, origin):
    """Her sessions close, the idle one too, her last bytes are reported, she cannot come back, and Bob's session stays."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice, vless.Session(node, ALICE, origin) as idle, \
            vless.Session(node, BOB, origin) as bob:
        for session in (alice, idle, bob):
            session.say(1000)
        s.panel.set_users(1, users((2, BOB)))
        alice.say(5000)
        assert alice.ended(15), "the session of a removed user goes on"
        assert idle.ended(15), "her idle session goes on"
        bob.say()
        s.panel.wait_sum(1, alice.up + idle.up, alice.down + idle.down)
        # Not before: each worker takes the news up by itself, and one may have cut her before another knows.
        assert vless.refused(node, ALICE, origin)
    s.panel.wait_sum(2, bob.up, bob.down)


@pytest.mark.sanitizer
def test_new_uuid_is_a_rotation(serve, node, origin):
    """Same id, another credential: the old one is out at once, its sessions too; the account goes on."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as old, vless.Session(node, BOB, origin) as bob:
        old.say()
        bob.say()
        s.panel.set_users(1, users((1, CAROL), (2, BOB)))
        assert old.ended(15)
        with first_session(node, CAROL, origin) as new:
            bob.say()
            s.panel.wait_sum(1, old.up + new.up, old.down + new.down)
        assert vless.refused(node, ALICE, origin)


def test_new_id_for_a_uuid_closes_the_account(serve, node, origin):
    """Bytes up to the change are the old id's, bytes after it the new one's."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as before:
        before.say(1000)
        s.panel.wait_sum(1, before.up, before.down)
        s.panel.set_users(1, users((11, ALICE), (2, BOB)))
        applied(s.panel)
        wait.until(lambda: not vless.refused(node, ALICE, origin), 20, "served under the new id")
        base = s.panel.sum(1)
        with vless.Session(node, ALICE, origin) as after:
            after.say(2000)
            wait.until(lambda: s.panel.sum(11)[1] >= 2000, 20, lambda: f"{s.panel.total}")
        assert s.panel.sum(1)[1] == base[1], "the old account goes on growing"


def test_empty_list_and_back(serve, node, origin):
    """An empty list is not a missing one: everybody goes."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        s.panel.set_users(1, [])
        assert alice.ended(15)
        wait.until(lambda: vless.refused(node, BOB, origin), 20, "bob is gone too")
    s.panel.set_users(1, users((1, ALICE)))
    wait.until(lambda: not vless.refused(node, ALICE, origin), 15, "alice is back")


def test_mass_delete_needs_a_second_answer(serve, node, origin):
    """MassDeleteGuard: more than half and more than 20 users gone in one answer are believed the second time."""
    crowd = [(i, f"00000000-0000-4000-8000-{i:012d}") for i in range(10, 60)]
    node.users = [(1, ALICE)] + crowd
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        s.panel.set_users(1, users((2, BOB)))
        applied(s.panel)
        alice.say()
        assert alice.ended(20), "believed the second time"


@pytest.mark.slow
def test_another_short_list_is_no_second_answer(serve, node, origin):
    """MassDeleteGuard: whoever is missing must be missing twice in the same list."""
    crowd = [(i, f"00000000-0000-4000-8000-{i:012d}") for i in range(10, 60)]
    node.users = [(1, ALICE)] + crowd
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        for short in (users((2, BOB)), users((3, CAROL)), users(*crowd)):
            s.panel.set_users(1, short)
            alice.say()
            applied(s.panel)
        assert alice.ended(20), "most users are there again, and she is not: no reason for doubt"
        assert s.process.log().count("MassDeleteGuard") == 2


def test_a_tenth_of_many_users_is_replaced(serve, node, origin):
    """One answer takes 300 of 3,000 users away and brings 300 others; only the sessions of those who went end."""
    crowd = [(i, f"00000000-0000-4000-8000-{i:012d}") for i in range(1, 3001)]
    node.users = crowd
    s = serve(node)
    with contextlib.ExitStack() as open_sessions:
        sessions = {i: open_sessions.enter_context(vless.Session(node, u, origin)) for i, u in crowd[4::50]}
        for session in sessions.values():
            session.say(1000)
        s.panel.set_users(1, users(*((i, u) if i > 300 else (i + 5000, u.replace("4000", "4001")) for i, u in crowd)))
        gone = {i: session for i, session in sessions.items() if i <= 300}
        assert len(gone) == 6
        for session in gone.values():
            assert session.ended(20), "the session of a removed user goes on"
        rest = {i: session for i, session in sessions.items() if i > 300}
        for session in rest.values():
            session.say(500)
        with first_session(node, crowd[0][1].replace("4000", "4001"), origin):
            for i, session in sessions.items():
                s.panel.wait_sum(i, session.up, session.down)


def test_bad_users_are_skipped(serve, node, origin):
    """One row the panel got wrong does not cost the others their service."""
    s = serve(node)
    s.panel.set_users(1, [{"id": 1, "uuid": ALICE}, {"id": 5}, {"uuid": BOB}, {"id": "x", "uuid": BOB},
                          {"id": 6, "uuid": ""}, "junk", {"id": "3", "uuid": CAROL, "speed_limit": None}])
    applied(s.panel)
    wait.until(lambda: not vless.refused(node, CAROL, origin), 30, "ids may be strings")
    assert not vless.refused(node, ALICE, origin)


@pytest.mark.parametrize("bad", [behaviours.html, behaviours.status(500), behaviours.half,
                                 behaviours.status(200, b'{"data":[]}'),
                                 behaviours.status(200, b'{"status":"fail","message":"x"}')],
                         ids=["html", "500", "half", "no-users-key", "fail-200"])
def test_unusable_answers_change_nothing(serve, node, origin, bad):
    """Whoever was served is served; the change behind the bad answer arrives with the first good one."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        s.panel.set_users(1, users((3, CAROL)))
        s.panel.behave("user", bad, times=2)
        s.panel.wait_calls("user", timeout=20)
        alice.say()
        assert not vless.refused(node, BOB, origin)
        assert alice.ended(60), "the good answer counts"
        assert not vless.refused(node, CAROL, origin)
