"""Files that change while v2sp runs, and ports that move."""
import os
import re
import signal
import socket
import ssl

import pytest

from harness import certs, paths, ports, process, spec, v2sp, vless, wait
from harness.spec import ALICE, BOB


def expected_reloads(s, more=1):
    return len(re.findall(r"read again", s.process.log())) + more


def test_a_changed_file_acts_by_itself(serve, node, origin):
    """No signal: the file is replaced as an editor does it. Sessions do not notice. A broken file, or one without a node,
    changes nothing and is said once; the next good one acts."""
    s = serve(node)
    s.process.wait_log(r"watching \d+ files")
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        goal = expected_reloads(s)
        s.reconfigure(extra={"LimitConfig": {"ConnLimit": 1}})
        s.process.wait_log(r"read again: 1 nodes", count=goal)
        alice.say()
        with open(s.config, "w") as f:
            f.write("{ nothing of the kind")
        s.process.wait_log(r"has errors: going on with the old configuration")
        with open(s.config, "w") as f:
            f.write("{}")
        s.process.wait_log(r"has no node: going on with the old configuration")
        alice.say()
        assert not vless.refused(node, ALICE, origin)        # the limit closes alice's session for it
        goal = expected_reloads(s)
        s.reconfigure()
        s.process.wait_log(r"read again: 1 nodes", count=goal)
    assert len(re.findall(r"going on with the old configuration", s.process.log())) == 2
    assert not vless.refused(node, ALICE, origin)


def test_what_the_file_includes_is_watched(serve, node, origin):
    """An included file behind two links, as Kubernetes mounts it, and the pattern that finds new ones."""
    import json
    s = serve(node)
    other = spec.Node(port=ports.free_port(), users=[(1, ALICE)])
    s.panel.add_node(2, v2sp.TOKEN, v2sp.node_object(other), v2sp.user_list(other))
    for name in ("..1", "..2", "nodes.d"):
        os.mkdir(os.path.join(s.directory, name))
    entry = v2sp.node_entry(node, s.panel.url)
    for name, extra in (("..1", {}), ("..2", {"Name": "turned"})):
        with open(os.path.join(s.directory, name, "node.json"), "w") as f:
            json.dump({**entry, **extra}, f)
    os.symlink("..1", os.path.join(s.directory, "..data"))
    os.symlink("..data/node.json", os.path.join(s.directory, "node.json"))
    goal = expected_reloads(s)
    s.reconfigure(nodes=[{"Include": ["node.json", "nodes.d/*.json"]}])
    s.process.wait_log(r"read again: 1 nodes", count=goal)
    os.symlink("..2", os.path.join(s.directory, "..new"))
    os.rename(os.path.join(s.directory, "..new"), os.path.join(s.directory, "..data"))
    s.process.wait_log(r"\[turned\]: options changed")
    s.reconfigure(nodes=[{"Include": ["node.json", "nodes.d/*.json", "later.json"]}])
    s.process.wait_log(r"later\.json.*\n.*going on with the old configuration")
    with open(os.path.join(s.directory, "later.json"), "w") as f:       # all that was wrong
        json.dump({**v2sp.node_entry(other, s.panel.url, 2), "Name": "later"}, f)
    s.process.wait_port(other.port)
    os.remove(os.path.join(s.directory, "later.json"))
    s.reconfigure(nodes=[{"Include": ["node.json", "nodes.d/*.json"]}])
    s.process.wait_log(r"\[later\]: no longer configured")
    with open(os.path.join(s.directory, "nodes.d", "two.json"), "w") as f:
        json.dump(v2sp.node_entry(other, s.panel.url, 2), f)
    s.process.wait_port(other.port)


def test_a_renewed_certificate_is_taken_up_at_once(serve, node, origin, tmp_path):
    """Sooner than the look every 30 seconds."""
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    first, second = certs.make(tmp_path / "1"), certs.make(tmp_path / "2")
    node = node.with_(tls=True, cert=first)
    s = serve(node)
    s.process.wait_log(r"watching \d+ files")

    def shown():
        with socket.create_connection((node.listen, node.port), 10) as c:
            with vless.tls_context().wrap_socket(c, server_hostname=node.sni) as t:
                return ssl.DER_cert_to_PEM_cert(t.getpeercert(True))

    with open(second.cert) as f:
        wanted = f.read()
    assert shown() not in wanted
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        for new, old in ((second.cert, first.cert), (second.key, first.key)):
            os.rename(new, old)
        wait.until(lambda: shown() in wanted, 20, "the renewed certificate")
        alice.say()


def open_files(pid):
    directory = f"/proc/{pid}/fd"
    for number in os.listdir(directory):
        try:
            yield os.readlink(os.path.join(directory, number))
        except FileNotFoundError:       # closed meanwhile
            pass


def test_not_watching(stage, node):
    """--watch=false: only SIGHUP counts."""
    s = v2sp.Served(node, stage.subdirectory("v2sp"))
    stage.watch_served(s)
    s.process = process.Process("v2sp", [paths.v2sp(), "run", "--watch=false", "-c", s.config], s.directory)
    s.process.wait_port(node.port, node.listen)
    assert not any("inotify" in name for name in open_files(s.process.pid))


@pytest.mark.sanitizer
def test_a_port_that_is_taken_keeps_the_old_one(serve, node, origin):
    """The panel moves the node to a port that is taken: it says so and serves on where it is. When the port is free it
    moves; sessions do not notice."""
    s = serve(node)
    stranger = socket.create_server((node.listen, 0))
    port = stranger.getsockname()[1]
    moved = node.with_(port=port)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        s.panel.nodes[1].config = v2sp.node_object(moved)
        s.process.wait_log(rf"{port} is in use")
        assert not vless.refused(node, ALICE, origin)
        alice.say()
        stranger.close()
        wait.until(lambda: not wait.connectable(node.listen, node.port), 30, "the node to leave its old port")
        assert not vless.refused(moved, ALICE, origin)
        alice.say()


def test_two_nodes_change_places(stage, origin):
    """Each wants the other's port, in one reload: neither waits for the other for ever."""
    a = spec.Node(port=ports.free_port(), users=[(1, ALICE)])
    b = spec.Node(port=ports.free_port(), users=[(2, BOB)])
    s = v2sp.Served(a, stage.subdirectory("v2sp"))
    stage.watch_served(s)
    s.panel.add_node(2, v2sp.TOKEN, v2sp.node_object(b), v2sp.user_list(b))
    s.reconfigure(nodes=[v2sp.node_entry(a, s.panel.url, 1), v2sp.node_entry(b, s.panel.url, 2)])
    s.start()
    s.process.wait_port(b.port)
    s.reconfigure(nodes=[v2sp.node_entry(a, s.panel.url, 1, Port=b.port), v2sp.node_entry(b, s.panel.url, 2, Port=a.port)])
    s.process.signal(signal.SIGHUP)
    for node, user, port in ((a, ALICE, b.port), (b, BOB, a.port)):
        moved = node.with_(port=port)
        wait.until(lambda moved=moved, user=user: not vless.refused(moved, user, origin), 30,
                   lambda: f"{user} to be served at the other port\n{s.process.tail()}")
