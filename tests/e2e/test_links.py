"""Nodes of every type in the embedded panel: what a node is told, and what the link tells a client, agree."""
import base64
import json
import urllib.request

import pytest

from harness import embedded, links

TOKEN = "test-token-of-nodes"
SNI = ("--sni", "n.test")
NODES = {       # name: (options, type, what the answer has besides, what the link has)
    "vless": ((), "vless", {"flow": "", "tls": 0}, {"encryption": "none", "security": "none"}),
    "vless-reality": (("--tls", "reality", "--sni", "www.example.org"), "vless", {"flow": "xtls-rprx-vision", "tls": 2},
                      {"security": "reality", "sni": "www.example.org", "flow": "xtls-rprx-vision", "fp": "chrome"}),
    "vless-pq": (("--encryption", "random", "--encryption-auth", "mlkem768"), "vless", {"tls": 0}, {"security": "none"}),
    "vmess": (("--type", "vmess"), "vmess", {"tls": 0, "network": "tcp"}, {"type": "tcp", "encryption": "auto"}),
    "vmess-ws": (("--type", "vmess", "--network", "ws", "--path", "/m?ed=2048", "--ws-host", "c.test", "--tls", "tls",
                  "--self-signed", *SNI), "vmess", {"tls": 1, "networkSettings": {"path": "/m?ed=2048", "host": "c.test"}},
                 {"type": "ws", "path": "/m?ed=2048", "host": "c.test", "security": "tls", "allowInsecure": "1"}),
    "vmess-reality": (("--type", "vmess", "--tls", "reality", "--sni", "www.example.org"), "vmess", {"tls": 2},
                      {"security": "reality", "encryption": "auto"}),
    "trojan": (("--type", "trojan", *SNI), "trojan", {"tls": 1, "server_name": "n.test"},
               {"security": "tls", "sni": "n.test", "type": "tcp"}),
    "trojan-ws": (("--type", "trojan", "--network", "ws", "--path", "/t", *SNI), "trojan", {"tls": 1, "network": "ws"},
                  {"type": "ws", "path": "/t"}),
    "ss": (("--type", "shadowsocks", "--cipher", "chacha20-poly1305"), "shadowsocks",
           {"cipher": "chacha20-ietf-poly1305", "tls": 0, "network": "tcp"}, {}),
    "ss-none": (("--type", "shadowsocks", "--cipher", "none"), "shadowsocks", {"cipher": "none"}, {}),
    "ss2022-128": (("--type", "shadowsocks"), "shadowsocks", {"cipher": "2022-blake3-aes-128-gcm"}, {}),
    "ss2022-256": (("--type", "shadowsocks", "--cipher", "2022-blake3-aes-256-gcm"), "shadowsocks",
                   {"cipher": "2022-blake3-aes-256-gcm"}, {}),
    "ss2022-chacha": (("--type", "shadowsocks", "--cipher", "2022-blake3-chacha20-poly1305"), "shadowsocks",
                      {"cipher": "2022-blake3-chacha20-poly1305"}, {}),
}


@pytest.fixture
def panel(stage):
    p = embedded.EmbeddedPanel(stage.subdirectory("panel")).serve()
    stage.at_end(p.stop)
    return p


def secret_of(node, uuid):
    """The password a client needs, by the rules panels have."""
    if not node["cipher"].startswith("2022-"):
        return uuid
    size = 16 if "128" in node["cipher"] else 32
    key = base64.b64decode(node["server_key"])
    assert len(key) == size
    if "chacha20" in node["cipher"]:
        return node["server_key"]
    return node["server_key"] + ":" + base64.b64encode(uuid[:size].encode()).decode()


def test_answers_and_links_of_every_type(panel):
    for name, (options, *_) in NODES.items():
        panel.call("node", "add", "--name", f"Zürich {name}", "--port", 8443, "--host", "2001:db8::7", "--token", TOKEN,
                   *options)
    anna = panel.json("user", "add", "anna & ben")
    found = {v["node"]: v["link"] for v in panel.json("user", "link", anna["name"])}
    for number, (name, (_, kind, answer, query)) in enumerate(NODES.items(), 1):
        url = f"{panel.url}?action=config&node_id={number}&node_type={kind}&token={TOKEN}"
        with urllib.request.urlopen(url) as reply:
            node = json.load(reply)
        assert (node["node_type"], node["server_port"]) == (kind, 8443), name
        assert node.items() >= answer.items(), (name, node)
        assert ("cipher" in node, "server_key" in node) == (kind == "shadowsocks", name.startswith("ss2022")), name
        assert ("flow" in node, "decryption" in node) == (kind == "vless", name == "vless-pq"), name
        link = links.parse(found[number])
        assert (link.protocol, link.host, link.port) == (kind, "2001:db8::7", 8443), name
        assert link.name == f"anna & ben@Zürich {name}"
        assert link.query.items() >= query.items(), (name, found[number])
        if kind == "shadowsocks":
            assert (link.method, link.secret) == (node["cipher"], secret_of(node, anna["uuid"])), name
        else:
            assert link.secret == anna["uuid"], name
        assert node.get("decryption", TOKEN) not in found[number]
    pq = links.parse(found[list(NODES).index("vless-pq") + 1]).query["encryption"]
    assert pq.startswith("mlkem768x25519plus.random.0rtt.") and len(pq.split(".")[3]) == 1579


@pytest.mark.parametrize("options, names", [
    (("--type", "snell"), "--type snell"),
    (("--type", "trojan", "--tls", "none"), "--tls none"),
    (("--type", "shadowsocks", "--network", "ws"), "--network ws"),
    (("--type", "shadowsocks", "--cipher", "rc4"), "--cipher rc4"),
    (("--type", "shadowsocks", "--server-key", "AAAA"), "--server-key"),
    (("--cipher", "aes-128-gcm"), "--cipher"),
    (("--type", "vmess", "--flow", "xtls-rprx-vision"), "--flow"),
    (("--encryption", "quick"), "--encryption quick"),
])
def test_a_mistake_is_named_by_its_option(panel, options, names):
    assert names in panel.call("node", "add", "--port", 1, *options, status=2)


def test_a_node_becomes_another(panel):
    """What belonged to the old type is gone, what the new one needs is there; the token stays."""
    panel.call("node", "add", "--port", 8443, "--tls", "reality", "--sni", "www.example.org", "--encryption", "native")
    before = panel.json("node", "show", 1)
    listed = panel.json("node", "list")[0]
    assert "decryption" not in listed and listed["tls_settings"].keys() == before["tls_settings"].keys() - {"private_key"}
    panel.call("node", "set", 1, "--type", "shadowsocks", "--cipher", "2022-blake3-aes-256-gcm")
    after = panel.json("node", "show", 1)
    assert (after["token"], after["port"]) == (before["token"], 8443)
    assert (after["tls"], after["flow"], "encryption" in after) == (0, "", False)
    assert len(base64.b64decode(after["server_key"])) == 32
    assert not {"server_key", "token"} & panel.json("node", "list")[0].keys()
    panel.call("node", "set", 1, "--name", "n")
    assert panel.json("node", "show", 1)["server_key"] == after["server_key"]
