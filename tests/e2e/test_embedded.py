"""v2sp under its own panel, with the real clients on the panel's own share configuration."""
import hashlib
import json

import pytest

from harness import certs, embedded, links, origins, paths, ports, process, socks5, spec, targets, v2sp, visit, vless, wait
from harness.process import Process


class Setup:
    """Embedded panel with one node and the user anna, and the node running."""

    def __init__(self, stage, *node_options):
        self.stage, self.directory = stage, stage.subdirectory("embedded")
        self.port = ports.free_port()
        self.panel = embedded.EmbeddedPanel(self.directory).serve()
        self.panel.call("node", "add", "--name", "first", "--port", self.port, "--host", "127.0.0.1", "--interval", "5",
                        "--token", v2sp.TOKEN, *node_options)
        self.anna = self.panel.json("user", "add", "anna")
        entry = {"ApiHost": self.panel.url, "ApiKey": v2sp.TOKEN, "NodeID": 1,
                 "ListenIP": "127.0.0.1", "AllowPrivate": True, "CertConfig": {"CertMode": "self", "CertDomain": "n.test"}}
        self.config = v2sp.write_config(str(self.directory), [entry])
        self.node, self.lives = None, 0
        self.start_node()
        stage.watch_served(self)

    # what Stage.watch_served() needs
    expected_to_end = False
    process = property(lambda self: self.node)

    def stop(self):
        self.node.stop()
        self.panel.stop()

    def start_node(self):
        self.lives += 1
        self.node = v2sp.start(str(self.directory), self.config, f"v2sp-{self.lives}")
        self.node.wait_port(self.port)

    def client(self, user, kind):
        """A real client on the configuration `v2sp panel user link --format` prints."""
        port = ports.free_port()
        text = self.panel.call("user", "link", user, "--node", "1", "--format", kind, "--socks", port)
        file = self.directory / f"{kind}-{port}.json"
        file.write_text(text)
        p = Process(f"{kind}-{port}", [paths.peer(kind), "run", "-c", file], str(self.directory))
        self.stage.at_end(p.stop)
        p.wait_port(port)
        return "127.0.0.1", port


SHAPES = {
    "raw": ("--tls", "none"),
    "tls": ("--tls", "tls", "--sni", "n.test", "--self-signed"),
    "ws-tls": ("--network", "ws", "--path", "/chat?ed=2048", "--tls", "tls", "--sni", "n.test", "--self-signed"),
    "vmess-ws": ("--type", "vmess", "--network", "ws", "--path", "/m"),
    "trojan": ("--type", "trojan", "--sni", "n.test", "--self-signed"),
    "shadowsocks": ("--type", "shadowsocks", "--cipher", "chacha20-ietf-poly1305"),
    "ss2022": ("--type", "shadowsocks", "--cipher", "2022-blake3-aes-256-gcm"),
}


def move(proxy, origin, protocol):
    """Both ways, in the bounds of Xray's clients: Trojan's cannot begin with many bytes, and that of Shadowsocks 2022 does
    not pass on an end."""
    if protocol == "ss2022":
        with visit.connect(proxy, origin) as s:
            s.sendall(b"SOURCE 1000000 1\n")
            assert hashlib.sha256(socks5.read_exactly(s, 1_000_000)).hexdigest() == origins.digest(1_000_000, 1)
    else:
        visit.download(proxy, origin, 1_000_000)
    visit.upload(proxy, origin, 300_000, small_first=protocol == "trojan")


def move_datagrams(proxy):
    """Returns the bytes sent and received."""
    sizes = (1, 700, 1400)
    with origins.UdpEcho() as o, socks5.Udp(proxy) as u:
        for n in sizes:
            u.sendto(bytes(n), o.address)
            assert u.recvfrom() == (bytes(n), o.address)
    return sum(sizes), sum(sizes)


@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", ["xray", "sing-box"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_printed_configuration_works(stage, origin, shape, kind):
    """What the panel prints for a client connects, and what it moved is what the panel counted."""
    s = Setup(stage, *SHAPES[shape])
    proxy = s.client("anna", kind)
    move(proxy, origin, shape)
    up, down = move_datagrams(proxy)
    s.expected_to_end = True
    assert s.node.stop() == 0           # with a last report
    booked = s.panel.user_sum("anna")
    wait.until(lambda: booked == (origin.rx + up, origin.tx + down), 30,
               lambda: f"panel {booked}, origin {(origin.rx, origin.tx)} and datagrams {(up, down)}")


ENCRYPTION = {
    "native": ("--encryption", "native"),
    "pq-vision": ("--encryption", "random", "--encryption-auth", "mlkem768", "--encryption-ticket", "0s", "--flow", spec.VISION),
}


@pytest.mark.parametrize("name", ENCRYPTION)
def test_vless_encryption_by_link(stage, origin, name):
    """The panel makes the pair: one half goes to the node, the other with the link."""
    s = Setup(stage, *ENCRYPTION[name])
    proxy = client_of_link(stage, s.panel.json("user", "link", "anna")[0]["link"], s.directory)
    move(proxy, origin, name)


def test_who_is_online_goes_with_the_node(stage, origin):
    """The panel shows a user online, and nobody any more as soon as the node has ended."""
    s = Setup(stage, "--tls", "none")
    proxy = s.client("anna", "xray")
    with visit.connect(proxy, origin) as held:
        held.sendall(b"SOURCE 1000 1\n")
        socks5.read_exactly(held, 1000)
        wait.until(lambda: s.panel.json("stats")["online"] == 1, 30, "anna is online")
        s.expected_to_end = True
        assert s.node.stop() == 0
        assert s.panel.json("stats")["online"] == 0


def test_users_come_and_go(stage, origin):
    s = Setup(stage, "--tls", "none")
    s.panel.call("user", "add", "ben")
    proxy = s.client("ben", "xray")
    wait.until(lambda: _works(proxy, origin), 20, "ben is served")
    s.panel.call("user", "del", "ben")
    wait.until(lambda: not _works(proxy, origin), 20, "ben is out")
    visit.echo(s.client("anna", "xray"), origin)


def test_block_rules(stage, origin):
    s = Setup(stage, "--tls", "none", "--block", f"port:{origin.port},domain:a.example")
    node, anna = spec.Node(port=s.port), s.anna["uuid"]
    assert vless.refused(node, anna, origin)
    assert s.panel.json("node", "show", 1)["block"] == [f"port:{origin.port}", "domain:a.example"]
    out = s.panel.call("node", "set", 1, "--block", "domain:a.example,regexp:b(", status=2)
    assert '"regexp:b(": missing closing parenthesis' in out
    s.panel.call("node", "set", 1, "--block", "")
    wait.until(lambda: not vless.refused(node, anna, origin), 20, "nothing is blocked any more")


def test_quota_ends_service(stage, origin):
    """Over his quota a user leaves the list; reset-traffic brings him back."""
    s = Setup(stage, "--tls", "none")
    s.panel.call("user", "set", "anna", "--quota", "1M")
    proxy = s.client("anna", "xray")
    visit.download(proxy, origin, 1_500_000)
    wait.until(lambda: not _works(proxy, origin), 30, "the quota ends service")
    s.panel.call("reset-traffic", "anna")
    wait.until(lambda: _works(proxy, origin), 30, "back after the reset")


def _works(proxy, origin):
    try:
        visit.echo(proxy, origin)
        return True
    except OSError:
        return False


@pytest.mark.sanitizer
def test_panel_restart_and_node_restart(stage, origin):
    """Whoever goes away and comes back, nothing is lost and nothing is counted twice."""
    s = Setup(stage, "--tls", "none")
    proxy = s.client("anna", "sing-box")
    visit.download(proxy, origin, 200_000)
    s.panel.process.stop()
    visit.upload(proxy, origin, 100_000)
    assert s.node.stop() == 0
    s.start_node()
    visit.echo(proxy, origin)
    s.panel.serve()
    wait.until(lambda: s.panel.user_sum("anna") == (origin.rx, origin.tx), 60,
               lambda: f"panel {s.panel.user_sum('anna')}, origin {(origin.rx, origin.tx)}")


def test_kill_9_of_both(stage, origin):
    s = Setup(stage, "--tls", "none")
    proxy = s.client("anna", "sing-box")
    for life in range(3):
        visit.download(proxy, origin, 100_000 + life)
        origin.wait_closed(life + 1)
        s.panel.process.kill()
        s.node.kill()
        s.panel.serve()
        s.start_node()
    wait.until(lambda: s.panel.user_sum("anna") == (origin.rx, origin.tx), 60,
               lambda: f"panel {s.panel.user_sum('anna')}, origin {(origin.rx, origin.tx)}")


# -- v2sp demo

class Demo:
    """Never without --tls or --target: by itself the demo looks for a public site to look like."""
    def __init__(self, stage, directory, name, *options):
        if "--target" not in options and "--protocol" not in options:
            options += ("--tls",)
        self.process = Process(name, [paths.v2sp(), "demo", "--state", directory / "state", "--host", "127.0.0.1",
                                      "--allow-private", "--no-qr", *options], str(directory))
        stage.at_end(self.process.stop)
        self.link = self.process.wait_log(r"^(vless|vmess|trojan|ss)://[^\s\x1b]+").group(0)
        self.port = links.parse(self.link).port
        self.process.wait_port(self.port)


def client_of_link(stage, link, directory):
    """The Xray client configured from nothing but the share link."""
    port = ports.free_port()
    config = {"inbounds": [{"listen": "127.0.0.1", "port": port, "protocol": "socks", "settings": {"udp": True}}],
              "outbounds": [links.xray_outbound(links.parse(link))]}
    file = directory / f"client-{port}.json"
    file.write_text(json.dumps(config))
    p = Process(f"client-{port}", [paths.peer("xray"), "run", "-c", file], str(directory))
    stage.at_end(p.stop)
    p.wait_port(port)
    return "127.0.0.1", port


@pytest.mark.sanitizer
def test_demo(stage):
    """One command: a link that works; Ctrl-C ends it and shows the sums; the second start keeps user and counters."""
    import signal
    directory = stage.subdirectory("demo")
    first = Demo(stage, directory, "demo-1")
    proxy = client_of_link(stage, first.link, directory)
    with origins.Tcp() as o:
        visit.download(proxy, o, 3_000_000)
        visit.upload(proxy, o, 1_000_000)
        o.wait_closed(2)
        moved = o.rx, o.tx
        first.process.signal(signal.SIGINT)
        assert first.process.wait(20) == 0, first.process.tail()
        panel = lambda: json.loads(process.run([paths.v2sp(), "panel", "stats", "--json", "--state",
                                                directory / "state"])[1])
        assert (panel()["ever_up"], panel()["ever_down"]) == moved
        second = Demo(stage, directory, "demo-2")
        assert second.link == first.link
        visit.download(proxy, o, 500_000)
        second.process.signal(signal.SIGINT)
        assert second.process.wait(20) == 0
        assert panel()["ever_down"] >= moved[1] + 500_000


def test_demo_looks_like_its_target(stage):
    """REALITY with Vision from one command; the second start keeps keys and link."""
    import signal
    directory = stage.subdirectory("demo-reality")
    site = targets.Nginx(stage.subdirectory("site"), certs.make(directory, "site.test"))
    stage.at_end(site.stop)
    choose = ("--target", f"127.0.0.1:{site.port}", "--sni", "site.test")
    first = Demo(stage, directory, "demo-1", *choose)
    assert "security=reality" in first.link and "flow=xtls-rprx-vision" in first.link
    proxy = client_of_link(stage, first.link, directory)
    with origins.Tcp() as o:
        visit.download(proxy, o, 3_000_000)
        visit.upload(proxy, o, 1_000_000)
        first.process.signal(signal.SIGINT)
        assert first.process.wait(20) == 0, first.process.tail()
        second = Demo(stage, directory, "demo-2", *choose)
        assert second.link == first.link
        visit.echo(proxy, o)


def test_demo_says_why_it_has_no_reality(stage):
    """A target that is not there: one line, and TLS with Vision instead."""
    directory = stage.subdirectory("demo-fallback")
    demo = Demo(stage, directory, "demo", "--target", f"127.0.0.1:{ports.free_port()}", "--sni", "site.test")
    demo.process.wait_log(r"No REALITY, .*: Connection refused")
    assert "security=tls" in demo.link and "flow=xtls-rprx-vision" in demo.link
    with origins.Tcp() as o:
        visit.echo(client_of_link(stage, demo.link, directory), o)


def test_demo_needs_no_free_default_port(stage):
    """Two demos side by side find ports of their own."""
    a = Demo(stage, stage.subdirectory("a"), "demo-a")
    b = Demo(stage, stage.subdirectory("b"), "demo-b")
    assert a.port != b.port
    with origins.Tcp() as o:
        visit.echo(client_of_link(stage, b.link, stage.subdirectory("client")), o)


DEMOS = {"trojan": ("trojan",), "vmess": ("vmess",), "vmess-plain": ("vmess", "--plain"), "shadowsocks": ("ss",),
         "ss2022": ("ss2022",)}


@pytest.mark.parametrize("name", DEMOS)
def test_demo_of_each_protocol(stage, name):
    """The link alone is enough for a client."""
    directory = stage.subdirectory("demo")
    demo = Demo(stage, directory, "demo", "--protocol", *DEMOS[name])
    with origins.Tcp() as o:
        proxy = client_of_link(stage, demo.link, directory)
        move(proxy, o, name)
        move_datagrams(proxy)


@pytest.mark.parametrize("protocol", ["vmess", "trojan"])
def test_demo_of_other_protocols_with_reality(stage, protocol):
    directory = stage.subdirectory("demo-reality")
    site = targets.Nginx(stage.subdirectory("site"), certs.make(directory, "site.test"))
    stage.at_end(site.stop)
    demo = Demo(stage, directory, "demo", "--protocol", protocol, "--target", f"127.0.0.1:{site.port}", "--sni", "site.test")
    assert links.parse(demo.link).query["security"] == "reality"
    with origins.Tcp() as o:
        move(client_of_link(stage, demo.link, directory), o, protocol)


def test_demo_keeps_a_node_for_each_protocol(stage):
    """One user, and for each protocol a port, keys and a link of its own, whatever was tried in between."""
    import signal
    directory = stage.subdirectory("demo")
    found = []
    for i, protocol in enumerate(["trojan", "ss2022", "vmess", "trojan", "ss2022"]):
        demo = Demo(stage, directory, f"demo-{i}", "--protocol", protocol)
        demo.process.signal(signal.SIGINT)
        assert demo.process.wait(20) == 0, demo.process.tail()
        found.append(demo.link)
    assert found[3] == found[0] and found[4] == found[1] and len(set(found)) == 3
    trojan, ss, vmess = (links.parse(text) for text in found[:3])
    assert trojan.secret == vmess.secret
    assert len({trojan.port, ss.port, vmess.port}) == 3
    users = json.loads(process.run([paths.v2sp(), "panel", "user", "list", "--json", "--state", directory / "state"])[1])
    assert [u["name"] for u in users] == ["demo"]
