"""Block rules: those of the panel's routes and of RuleListPath, and what happens when they change."""
import json
import os
import signal
import urllib.request

import pytest

from harness import admin, origins, paths, ports, process, vless, wait
from harness.spec import ALICE


class Named:
    """An origin as clients may call it."""

    def __init__(self, host, origin):
        self.host, self.port, self.origin = host, origin.port, origin


def blocked(node, host, origin):
    """A session to the origin under this name ends without a byte, and nothing reaches the origin."""
    opened = origin.opened
    ended = vless.refused(node, ALICE, Named(host, origin))
    assert not ended or origin.opened == opened, "the target was dialled"
    return ended


def put(path, text):
    with open(path + ".new", "wb") as f:
        f.write(text.encode())
    os.replace(path + ".new", path)


def page(address):
    return urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode()


@pytest.mark.sanitizer
def test_routes_of_the_panel(serve, node, origin):
    """Names, networks and ports are blocked before anything is dialled; the rest passes; a bad rule is named."""
    address = f"127.0.0.1:{ports.free_port()}"
    s = serve(node, wait_port=False, extra={"Name": "n"}, top={"Metrics": {"Listen": address}})
    with origins.Tcp() as other, origins.Tcp(host="127.0.0.3") as third:
        s.panel.nodes[1].config["routes"] = [
            {"id": 1, "action": "block", "match": ["", "regexp:ab(c", "domain:LOCALHOST", "geosite:cn"]},
            {"id": 2, "action": "block_ip", "match": {"0": "127.0.0.2/31"}},
            {"id": 3, "action": "block_port", "match": f"{other.port}", "action_value": None},
            {"id": 4, "action": "dns", "match": []}]
        s.process.wait_log("block rules: 3 of the panel", timeout=30)
        s.process.wait_port(node.port)
        s.process.wait_log(r'routes: route 1, "regexp:ab\(c": .* at character 4: skipped')
        s.process.wait_log(r'routes: route 1, "geosite:cn": .*: skipped')
        s.process.wait_log(r'1 route with action "dns"')
        wait.until(lambda: blocked(node, "localhost", origin), 30, "the rules hold")
        assert blocked(node, "LocalHost.", origin) and blocked(node, "sub.localhost", origin)
        assert blocked(node, "127.0.0.3", third)
        assert blocked(node, "127.0.0.1", other)
        with vless.Session(node, ALICE, origin) as alice:
            alice.say(5000)
        s.process.wait_log("blocked by rule 1: domain:LOCALHOST")
        tag = '{node="n",rule='
        found = page(address)
        assert f'v2sp_node_audit_hits_total{tag}"127.0.0.2/31"}} 1\n' in found
        assert f'v2sp_node_audit_hits_total{tag}"domain:LOCALHOST"}}' in found


@pytest.mark.sanitizer
def test_a_name_in_a_blocked_network(serve, node, origin):
    """What a name stands for is held against networks before it is dialled; one address of several is enough, and
    localhost is ::1 and 127.0.0.1. A hit like another, in the log, in status and metrics."""
    address = f"127.0.0.1:{ports.free_port()}"
    s = serve(node, extra={"Name": "n"}, top={"Metrics": {"Listen": address}})
    with vless.Session(node, ALICE, Named("localhost", origin)) as alice:
        alice.say()
        s.panel.nodes[1].config["routes"] = [{"id": 1, "action": "block_ip", "match": ["10.0.0.0/8", "::1/128"]}]
        wait.until(lambda: blocked(node, "localhost", origin), 20, "the rule holds")
        before = s.process.log().count("blocked by rule 1: ::1/128")
        assert blocked(node, "A.LocalHost", origin)
        s.process.wait_log(rf"user=1 .*tcp:A\.LocalHost:{origin.port} \(::1\) blocked by rule 1: ::1/128")
        assert s.process.log().count("blocked by rule 1: ::1/128") == before + 1
        with vless.Session(node, ALICE, origin) as other:       # the address itself is not blocked
            other.say(5000)
        alice.say(5000)
    hits = before + 1
    assert f'v2sp_node_audit_hits_total{{node="n",rule="::1/128"}} {hits}\n' in page(address)
    found = admin.status(s.config)["nodes"][0]["blocked"]
    assert found["hits"] == hits and found["users"][0]["uid"] == 1
    assert found["rules"] == [{"rule": "::1/128", "hits": hits}]
    # The process goes, the sums stay; what Prometheus adds up by itself begins anew.
    s.process.kill()
    s.process.start()
    s.process.wait_port(node.port)
    assert admin.status(s.config)["nodes"][0]["blocked"] == found
    assert 'v2sp_node_audit_hits_total{node="n",rule="::1/128"}' not in page(address)


@pytest.mark.sanitizer
def test_rules_change_while_a_session_runs(serve, node, origin):
    """Other rules hold from the next session on; the listener and the sessions that are open do not notice."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        s.panel.nodes[1].config["routes"] = [{"id": 9, "action": "block", "match": "127.0.0.1"}]
        wait.until(lambda: blocked(node, origin.host, origin), 20, "the rule holds")
        alice.say(5000)
    assert s.process.log().count("serving vless") == 1


def test_a_hundred_thousand_rules(serve, node, origin):
    """A list as long as there are: the node starts with it, and knows its last entry."""
    s = serve(node, wait_port=False)
    names = [f"domain:n{i}.host{i % 977}.example" for i in range(100_000)]
    s.panel.nodes[1].config["routes"] = [{"id": 1, "action": "block", "match": names + ["127.0.0.1"]}]
    s.process.wait_log("block rules: 100001 of the panel", timeout=30)
    s.process.wait_port(node.port)
    wait.until(lambda: blocked(node, origin.host, origin), 20, "the last rule holds")
    with origins.Tcp(host="127.0.0.3") as third:
        assert not blocked(node, third.host, third)


def test_check_names_bad_lines(tmp_path):
    (tmp_path / "rules.txt").write_text("domain:a.example\nregexp:ab(c\n")
    node = {"ApiHost": "http://127.0.0.1:1/", "ApiKey": "k", "NodeID": 1, "RuleListPath": str(tmp_path / "rules.txt")}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"StateDir": str(tmp_path), "Nodes": [node]}))
    status, out = process.run([paths.v2sp(), "check", "-c", file])
    assert status == 0 and "1 warning" in out, out
    assert 'rules.txt: line 2, "regexp:ab(c": missing closing parenthesis' in out
    (tmp_path / "rules.txt").unlink()
    status, out = process.run([paths.v2sp(), "check", "-c", file])
    assert status == 0 and "No such file or directory" in out, out


def test_a_file_of_rules(serve, node, origin, tmp_path):
    """As editors write it; read again at SIGHUP; while it is away its last rules go on."""
    path = str(tmp_path / "rules.txt")
    s = serve(node, extra={"RuleListPath": path})
    s.process.wait_log("No such file or directory; none of its rules hold")
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        put(path, "\ufeff# local\r\n\r\n^127\\.0\\.0\\.[0-9]$\r\nregexp:*\r\n")
        s.process.signal(signal.SIGHUP)
        s.process.wait_log(f"block rules: 0 of the panel, 1 of {path}")
        s.process.wait_log(r'line 4, "regexp:\*": .*: skipped')
        wait.until(lambda: blocked(node, origin.host, origin), 30, "the file's rules hold")
        os.unlink(path)
        s.process.signal(signal.SIGHUP)
        s.process.wait_log("the rules it had go on")
        assert blocked(node, origin.host, origin)
        put(path, "nothing.example\n")
        s.process.signal(signal.SIGHUP)
        wait.until(lambda: not blocked(node, origin.host, origin), 30, "the other rules hold")
        alice.say(5000)
