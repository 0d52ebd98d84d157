"""How the node talks to its panel: cache, ETag, both shapes of the config reply, errors named once."""
import re

import pytest

from harness import panel as behaviours
from harness import ports, v2sp, vless, wait
from harness.spec import ALICE, BOB


@pytest.mark.sanitizer
def test_start_from_the_cache(serve, node, origin):
    """The panel is down when the node starts: it serves whom it served last, and asks on."""
    s = serve(node)
    assert not vless.refused(node, ALICE, origin)
    s.panel.wait_calls("user")
    s.panel.close()
    s.restart()
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        s.panel.set_users(1, [{"id": 2, "uuid": BOB}])
        s.panel.open()
        assert alice.ended(60), "the panel is back, its list counts"


def test_first_start_without_a_panel(serve, node, origin):
    """Nothing cached: it waits, says so, and starts when the panel comes."""
    from harness.panel import Panel
    p = Panel()
    p.add_node(1, v2sp.TOKEN, v2sp.node_object(node), v2sp.user_list(node))
    p.close()
    s = serve(node, panel=p, wait_port=False)
    s.process.wait_log(r"(?i)(panel|connect|refused)", timeout=15)
    assert not wait.connectable(node.listen, node.port)
    p.open()
    s.process.wait_port(node.port, timeout=60)
    assert not vless.refused(node, ALICE, origin)
    p.close()


def test_etag_and_304(serve, node):
    """What has not changed is answered 304; the tag goes back as it came."""
    s = serve(node)
    s.panel.wait_calls("config", 2, timeout=30)
    s.panel.wait_calls("user", 2, timeout=30)
    assert s.panel.count("config", 200) == 1 and s.panel.count("user", 200) == 1
    assert s.panel.count("config", 304) >= 1 and s.panel.count("user", 304) >= 1


def test_etag_is_committed_after_success(serve, node, origin):
    """config is new, user fails in the same turn: config is not acknowledged by a 304 before it is applied."""
    s = serve(node)
    s.panel.wait_calls("user")
    moved = node.with_(port=ports.free_port())
    s.panel.behave("user", behaviours.status(500), times=2)
    s.panel.nodes[1].config = v2sp.node_object(moved)
    s.process.wait_port(moved.port, timeout=90)


def test_request_form(serve, node):
    """Query and headers of the dialect."""
    s = serve(node)
    s.panel.wait_calls("user")
    headers = {k.lower(): v for k, v in s.panel.requests[0][2].items()}
    assert headers["user-agent"].startswith("v2sp/")
    assert "if-none-match" not in headers, "an empty one is worse than none"


@pytest.mark.parametrize("shape", ["local-file", "strings", "php-empty", "case"])
def test_shapes_of_the_config_reply(serve, node, origin, shape):
    config = v2sp.node_object(node)
    if shape == "local-file":
        config = {"Log": {"Level": "none"}, "Cores": [{"Type": "xray"}],
                  "Nodes": [{"NodeID": 99, "server_port": 1}, {"NodeID": 1, **config}]}
    elif shape == "strings":
        config.update(server_port=str(node.port), tls="0", base_config={"push_interval": "5", "pull_interval": "5"})
    elif shape == "php-empty":
        config.update(networkSettings=[], tls_settings=[], routes=[], extra_of_the_future={"a": [1]})
    else:
        config = {k.upper(): v for k, v in config.items()}
    from harness.panel import Panel
    p = Panel()
    p.add_node(1, v2sp.TOKEN, config, v2sp.user_list(node))
    serve(node, panel=p)
    assert not vless.refused(node, ALICE, origin)
    p.close()


def test_port_change_at_the_panel(serve, node, origin):
    """The new listener serves; the sessions of the old one go on for their drain time."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as old:
        old.say()
        moved = node.with_(port=ports.free_port())
        s.panel.nodes[1].config = v2sp.node_object(moved)
        s.process.wait_port(moved.port, timeout=20)
        assert not vless.refused(moved, ALICE, origin)
        old.say()
        wait.until(lambda: not wait.connectable(node.listen, node.port), 30, "the old port closes")


ERRORS = {
    "wrong-token": (lambda p: setattr(p.nodes[1], "token", "another"), r"401|[Tt]oken|credential"),
    "unknown-node": (lambda p: p.nodes.update({5: p.nodes.pop(1)}), r"404|unknown|not know"),
    "disabled-node": (lambda p: setattr(p.nodes[1], "enabled", False), r"403|disabled|forbid"),
    "html": (lambda p: p.behave("config", behaviours.html), r"json|html"),
    "500": (lambda p: p.behave("config", behaviours.status(500)), r"500"),
}


@pytest.mark.parametrize("error", ERRORS)
def test_error_is_named_once_and_service_goes_on(serve, node, origin, error):
    """(These errors are the operator's to mend; the next question comes after a minute or more.)"""
    s = serve(node, top={"Log": {"Level": "info"}})
    s.panel.wait_calls("alivelist")
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        change, pattern = ERRORS[error]
        change(s.panel)
        s.process.wait_log(rf"(?i)(?:warn|error).*(?:{pattern})", timeout=30)
        s.panel.wait_calls("alive", timeout=15)
        lines = [x for x in s.process.log().splitlines() if re.search(rf"(?i)(?:warn|error).*(?:{pattern})", x)]
        assert len(lines) == 1, "\n".join(lines)
        assert v2sp.TOKEN not in s.process.log(), "the token is in the log"
        alice.say()
        assert not vless.refused(node, BOB, origin)


@pytest.mark.sanitizer
def test_alive_report(serve, node, origin):
    """Who is online and from where; an empty report when the node ends."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        wait.until(lambda: s.panel.online.get(1) == {"1": ["127.0.0.1"]}, 30, lambda: f"alive: {s.panel.online}")
        s.stop()
        assert s.panel.online[1] == {"1": []}
