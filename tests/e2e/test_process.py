"""The process: configuration files and their mistakes, signals, ports in use, disks that cannot be written."""
import os
import re
import signal
import socket

import pytest

from harness import paths, ports, process, spec, v2sp, vless, wait
from harness.panel import Panel
from harness.spec import ALICE, BOB


@pytest.fixture
def two(stage):
    """Two nodes of one panel, one process: v2sp.Served with `nodes` (a, b)."""
    a = spec.Node(port=ports.free_port(), users=[(1, ALICE)])
    b = spec.Node(port=ports.free_port(), users=[(1, ALICE)])
    p = Panel()
    for i, n in ((1, a), (2, b)):
        p.add_node(i, v2sp.TOKEN, v2sp.node_object(n), v2sp.user_list(n))
    s = v2sp.Served(a, stage.subdirectory("two"), panel=p)
    s.own_panel, s.nodes = True, (a, b)
    s.entries = [v2sp.node_entry(a, p.url, 1), v2sp.node_entry(b, p.url, 2)]
    s.reconfigure(nodes=s.entries)
    stage.watch_served(s)
    return s


@pytest.mark.sanitizer
def test_port_in_use_waits_and_retries(two, origin):
    """The node whose port is taken says so and waits; the other runs. When the port is free it starts by itself."""
    a, b = two.nodes
    taken = socket.create_server((a.listen, a.port))
    two.start(wait_port=False)
    two.process.wait_port(b.port)
    assert not vless.refused(b, ALICE, origin)
    two.process.wait_log(rf"(?i){a.port}.*(in use|taken)|(in use|taken).*{a.port}")
    taken.close()
    wait.until(lambda: wait.connectable(a.listen, a.port), 60, "the node takes its port")
    assert not vless.refused(a, ALICE, origin)


@pytest.mark.sanitizer
def test_sighup_adds_and_removes_nodes(two, origin):
    """The difference is applied; sessions of nodes that stay do not notice."""
    a, b = two.nodes
    two.reconfigure(nodes=two.entries[:1])
    two.start()
    with vless.Session(a, ALICE, origin) as alice:
        alice.say()
        two.reconfigure(nodes=two.entries)
        two.process.signal(signal.SIGHUP)
        two.process.wait_port(b.port)
        assert not vless.refused(b, ALICE, origin)
        alice.say()
        two.reconfigure(nodes=two.entries[:1])
        two.process.signal(signal.SIGHUP)
        wait.until(lambda: not wait.connectable(b.listen, b.port), 15, "the removed node stops listening")
        alice.say()


def test_removed_node_reports_a_last_time(two, origin):
    a, b = two.nodes
    two.start()
    two.process.wait_port(b.port)
    with vless.Session(b, ALICE, origin) as alice:
        alice.say(4321)
    two.reconfigure(nodes=two.entries[:1], top={"DrainTimeout": 1})
    two.process.signal(signal.SIGHUP)
    two.panel.wait_sum(1, alice.up, alice.down)


def test_sighup_with_a_broken_file_changes_nothing(two, origin):
    a, _ = two.nodes
    two.start()
    with vless.Session(a, ALICE, origin) as alice:
        alice.say()
        with open(two.config, "w") as f:
            f.write('{"Nodes": [ {"ApiHost": ] }')
        two.process.signal(signal.SIGHUP)
        two.process.wait_log(r"config\.json:1:\d+|old configuration")
        alice.say()
        assert not vless.refused(a, ALICE, origin)


def test_sigusr1_reopens_the_log(serve, node, stage):
    """As logrotate does it: rename, signal, and the next lines are in a new file."""
    log = str(stage.subdirectory("log") / "v2sp.log")
    s = serve(node, top={"Log": {"Level": "debug", "Output": log}})
    wait.until(lambda: os.path.exists(log) and os.path.getsize(log), 30, "lines in the log file")
    os.rename(log, log + ".1")
    s.process.signal(signal.SIGUSR1)
    wait.until(lambda: os.path.exists(log), 30, "a new log file")
    s.panel.nodes[1].token = "changed"       # something to log
    wait.until(lambda: os.path.getsize(log), 20, "lines in it")


def test_json_log(serve, node, stage):
    import json
    log = str(stage.subdirectory("log") / "v2sp.log")
    serve(node, top={"Log": {"Level": "debug", "Output": log, "Format": "json"}})
    wait.until(lambda: os.path.exists(log) and os.path.getsize(log), 30, "lines in the log file")
    with open(log) as f:
        for line in f.read().splitlines():
            json.loads(line)


@pytest.mark.sanitizer
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly(serve, node, origin, number):
    s = serve(node, top={"DrainTimeout": 1})
    with vless.Session(node, BOB, origin) as bob:
        bob.say()
        s.expected_to_end = True
        s.process.signal(number)
        wait.until(lambda: not wait.connectable(node.listen, node.port), 30, "it stops listening")
        assert s.process.wait(15) == 0


def test_second_signal_ends_at_once(serve, node, origin):
    s = serve(node, top={"DrainTimeout": 60})
    with vless.Session(node, BOB, origin) as bob:
        bob.say()
        s.expected_to_end = True
        s.process.signal(signal.SIGTERM)
        s.process.wait_log(r"(?i)stopping")
        s.process.signal(signal.SIGTERM)
        s.process.wait(5)


def test_state_directory_cannot_be_written(serve, node, origin):
    """One clear line; the node serves and reports, from memory."""
    state = "/proc/v2sp-state"                 # not even root can make it
    s = serve(node, top={"StateDir": state})
    s.process.wait_log(r"(?i)(error|warn).*/proc/v2sp-state")
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        s.panel.wait_sum(1, alice.up, alice.down)


MISTAKES = {
    "syntax": ('{"Nodes": [\n  {"ApiHost": "http://p/api" "ApiKey": "k"}\n]}', [r"config\.json:2:\d+"]),
    "not-json": ("hello", [r"config\.json:1:1"]),
    "truncated": ('{"Nodes": [', [r"config\.json:1:\d+"]),
    "type": ('{"Nodes": [\n {"ApiHost": "http://p/api", "ApiKey": "k",\n  "NodeID": "seven"}]}',
             [r"config\.json:3:\d+", "NodeID"]),
    "typo": ('{"Nodes": [\n {"ApiHost": "http://p/api", "ApiKey": "k", "NodeID": 1,\n  "LisenIP": "0.0.0.0"}]}',
             [r"config\.json:3:\d+", "LisenIP", "ListenIP"]),
    "no-node": ('{"Nodes": []}', ["no node"]),
    "twice": ('{"Nodes": [\n {"ApiHost": "http://p/api", "ApiKey": "k", "NodeID": 1},\n'
              ' {"ApiHost": "http://p/api", "ApiKey": "k", "NodeID": 1}]}', [r"config\.json:3:\d+"]),
}


@pytest.mark.sanitizer
@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_names_file_line_and_column(tmp_path, mistake):
    text, expected = MISTAKES[mistake]
    file = tmp_path / "config.json"
    file.write_text(text)
    status, out = process.run([paths.v2sp(), "check", "-c", file])
    for pattern in expected:
        assert re.search(pattern, out), out
    assert status == (0 if mistake == "typo" else 1), out


def test_check_accepts_comments_and_commas(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('// a node\n{ "nodes": [ /* one */ {"APIHOST": "http://127.0.0.1:1/api", "ApiKey": "k", "nodeid": "7",'
                    ' "NodeType": "vless", }, ], }\n')
    status, out = process.run([paths.v2sp(), "check", "-c", file])
    assert status == 0, out


def test_missing_file(tmp_path):
    status, out = process.run([paths.v2sp(), "run", "-c", tmp_path / "none.json"])
    assert status == 1 and "none.json" in out


def test_check_online(stage, node):
    """--online asks the panels: right and wrong token."""
    p = Panel()
    stage.at_end(p.close)
    p.add_node(1, v2sp.TOKEN, v2sp.node_object(node), v2sp.user_list(node))
    directory = str(stage.subdirectory("online"))
    good = v2sp.write_config(directory, [v2sp.node_entry(node, p.url)])
    assert process.run([paths.v2sp(), "check", "-c", good, "--online"])[0] == 0
    bad = v2sp.write_config(directory, [v2sp.node_entry(node, p.url, token="wrong")])
    status, out = process.run([paths.v2sp(), "check", "-c", bad, "--online"])
    assert status == 1 and "401" in out and "wrong" not in out, out


def test_include(serve, node, origin, stage):
    """A node may live in a file of its own, with comments."""
    import json
    directory = stage.subdirectory("include")
    p = Panel()
    stage.at_end(p.close)
    p.add_node(1, v2sp.TOKEN, v2sp.node_object(node), v2sp.user_list(node))
    (directory / "node.json").write_text("// mine\n" + json.dumps(v2sp.node_entry(node, p.url)))
    config = v2sp.write_config(str(directory), [{"Include": "node.json"}])
    proc = v2sp.start(str(directory), config)
    stage.watch(proc, proc.stop)
    proc.wait_port(node.port)
    assert not vless.refused(node, ALICE, origin)


@pytest.mark.parametrize("args, expected", [
    (["version"], r"v2sp \d"), (["--help"], "run"), (["help"], "panel"), (["x25519"], r"Private key: \S{43}\n"),
    (["run", "--help"], "-c"), (["check", "--help"], "--online"), (["config", "--help"], "init"),
    (["upgrade", "--help"], "BINARY"), (["panel", "--help"], "serve"), (["demo", "--help"], "demo")])
def test_commands(args, expected):
    status, out = process.run([paths.v2sp(), *args])
    assert status == 0 and re.search(expected, out), out


def test_unknown_command():
    status, out = process.run([paths.v2sp(), "fly"])
    assert status == 2 and "fly" in out
