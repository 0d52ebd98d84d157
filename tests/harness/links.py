"""Share links as clients read them, written apart from the code that makes them; and Xray's outbound for one."""
import base64
import dataclasses
import json
import urllib.parse


@dataclasses.dataclass
class Link:
    protocol: str
    host: str
    port: int
    name: str
    secret: str                     # the id or the password
    method: str = ""                # Shadowsocks
    query: dict = dataclasses.field(default_factory=dict)   # in the words of vless://: type, security, sni, ...


def _base64(text):
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True).decode()


def _vmess(text):
    """v2rayN's JSON, every value a text."""
    v = json.loads(_base64(text))
    assert all(isinstance(x, str) for x in v.values()) and v["v"] == "2" and v["aid"] == "0" and v["type"] == "none", v
    query = {"type": v["net"], "security": v["tls"] or "none", "sni": v["sni"], "alpn": v["alpn"], "fp": v["fp"],
             "path": v["path"], "host": v["host"], "allowInsecure": v.get("insecure", ""), "encryption": v["scy"]}
    return Link("vmess", v["add"], int(v["port"]), v["ps"], v["id"], query={k: x for k, x in query.items() if x})


def _shadowsocks(u):
    """SIP002: user info in base64url, or, for the 2022 editions, percent-encoded."""
    user = u.netloc.rpartition("@")[0]
    if ":" in user:
        method, secret = (urllib.parse.unquote(x) for x in user.split(":", 1))
    else:
        assert "=" not in user
        method, secret = _base64(user).split(":", 1)
    return Link("shadowsocks", u.hostname, u.port, urllib.parse.unquote(u.fragment), secret, method)


def parse(text):
    u = urllib.parse.urlsplit(text)
    if u.scheme == "vmess" and "@" not in u.netloc:
        return _vmess(text[len("vmess://"):])
    if u.scheme == "ss":
        return _shadowsocks(u)
    query = urllib.parse.parse_qs(u.query, strict_parsing=True)
    assert all(len(v) == 1 for v in query.values()), text
    return Link(u.scheme, u.hostname, u.port, urllib.parse.unquote(u.fragment), urllib.parse.unquote(u.username),
                query={k: v[0] for k, v in query.items()})


def _stream(q):
    stream = {"network": {"tcp": "raw"}.get(q.get("type", "tcp"), q.get("type", "tcp"))}
    if q.get("security") == "tls":
        stream["security"] = "tls"
        stream["tlsSettings"] = {"serverName": q.get("sni", ""), "allowInsecure": q.get("allowInsecure") == "1"}
    if q.get("security") == "reality":
        stream["security"] = "reality"
        stream["realitySettings"] = {"serverName": q["sni"], "fingerprint": q["fp"], "publicKey": q["pbk"],
                                     "shortId": q.get("sid", ""), "spiderX": q.get("spx", "/")}
    if stream["network"] == "ws":
        stream["wsSettings"] = {"path": q.get("path", "/"), "host": q.get("host", "")}
    return stream


def xray_outbound(link):
    q, server = link.query, {"address": link.host, "port": link.port}
    if link.protocol == "vless":
        user = {"id": link.secret, "encryption": q["encryption"], "flow": q.get("flow", "")}
        settings = {"vnext": [{**server, "users": [user]}]}
    elif link.protocol == "vmess":
        settings = {"vnext": [{**server, "users": [{"id": link.secret, "security": q["encryption"]}]}]}
    elif link.protocol == "trojan":
        settings = {"servers": [{**server, "password": link.secret}]}
    else:
        settings = {"servers": [{**server, "method": link.method, "password": link.secret}]}
    return {"protocol": link.protocol, "settings": settings, "streamSettings": _stream(q)}
