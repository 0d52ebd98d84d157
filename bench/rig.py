"""The rig: nginx as the web server, one process for raw sinks, the Xray client, and the server under measurement."""
import os
import subprocess
import sys

from harness import fallback, ports, shadowsocks, singbox, spec, v2sp, xray
from harness.process import Process

SERVERS = ("v2sp", "xray", "sing-box")
GB = 10**9

SHAPES = {
    "vless-raw": {},
    "vless-tls": {"tls": True},
    "vless-ws-tls": {"tls": True, "network": "ws", "path": "/chat"},
    "trojan-tls": {"protocol": "trojan", "tls": True},
    "ss2022": {"protocol": "shadowsocks", "settings": shadowsocks.node("2022-blake3-aes-128-gcm")},
    "ss-aead": {"protocol": "shadowsocks", "settings": shadowsocks.node("aes-128-gcm")},
    "vmess-ws": {"protocol": "vmess", "network": "ws", "path": "/chat"},
    "vision-tls": {"tls": True, "flow": spec.VISION},
    "vision-reality": {"flow": spec.VISION},
}


def is_vision(case):
    """These carry TLS 1.3 inside, as browsers do; without it the flow would never turn raw."""
    return case.startswith("vision-")


class Origins:
    """nginx with a big and a small file, the big one also at 1000 Mbit/s (/steady); a sink that throws away what it is sent and a holder of idle connections.
    With a certificate both are inside TLS 1.3; nginx is then the REALITY target too."""

    def __init__(self, directory, cert=None):
        directory.mkdir()
        self.tls = cert is not None
        (directory / "www").mkdir()
        with open(directory / "www" / "big", "wb") as f:
            f.truncate(GB // 2)              # a hole: nginx sends it from the page cache of nothing
        (directory / "www" / "small").write_bytes(b"x" * 100)
        self.web, self.sink = ports.free_port(), ports.free_port()
        secure = (f"ssl_certificate {cert.cert}; ssl_certificate_key {cert.key}; ssl_protocols TLSv1.3; "
                  "keepalive_timeout 3600; ") if cert else ""
        site = (f"server {{ listen 127.0.0.1:{self.web} {'ssl' if cert else ''} backlog=4096; {secure}"
                f"root {directory}/www; sendfile on; tcp_nopush on; "
                f"location /steady {{ alias {directory}/www/big; limit_rate 125000000; }} }}\n")
        self.nginx = fallback.Nginx(directory, {}, http=site)
        self.nginx.wait(self.web)
        self.sinker = Process("sink", [sys.executable, "-B", os.path.join(os.path.dirname(__file__), "sink.py"),
                                       str(self.sink), *([cert.cert, cert.key] if cert else [])], str(directory))
        self.sinker.wait_port(self.sink)

    def stop(self):
        self.nginx.stop()
        self.sinker.stop()


class Server:
    """One of SERVERS with one node; `process` is what is measured."""

    def __init__(self, kind, node, directory):
        directory.mkdir(parents=True)
        self.kind, self.node, self._served = kind, node, None
        if kind == "v2sp":
            self._served = v2sp.Served(node, directory, push=60, pull=60, top={"Log": {"Level": "warning"}}).start()
            self.process = self._served.process
        elif kind == "xray":
            self.process = xray.start_server(node, directory)
        else:
            self.process = singbox.start_server(node, directory)

    def stop(self):
        (self._served or self.process).stop()


def node(case, cert, users=None, target=None):
    """`target`: port of the REALITY target."""
    n = spec.Node(port=ports.free_port(), cert=cert, **SHAPES[case])
    if case == "vision-reality":
        n = n.with_(reality=spec.Reality(f"127.0.0.1:{target}"))
    return n.with_(users=users) if users else n


def start_client(node_, directory):
    """The same real client for every server."""
    directory.mkdir(parents=True, exist_ok=True)
    return xray.start_client(node_, spec.Client(tls_version="1.3" if node_.tls else ""), directory, loglevel="error")


def machine():
    """What a reader needs to judge absolute numbers."""
    def read(path):
        try:
            with open(path) as f:
                return f.read().strip()
        except OSError:
            return "?"
    cpu = next((line.split(":", 1)[1].strip() for line in read("/proc/cpuinfo").splitlines()
                if line.startswith("model name")), "?")
    version = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False,
                             cwd=os.path.dirname(__file__))
    return {"kernel": os.uname().release, "cpu": cpu, "cores": os.cpu_count(),
            "congestion control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
            "memory": read("/proc/meminfo").splitlines()[0].split(":")[1].strip(),
            "v2sp": version.stdout.strip() or "?", "xray": "v1.251201.0", "sing-box": "v1.12.12"}
