"""The floor: what it costs to let the kernel move the same bytes, between the same client and the same origins, with no
proxy protocol at all (splice.c). A server whose layers have all left can get near it and not below it."""
import json
import os
import shutil
import subprocess

import rig
from harness import paths, ports
from harness.process import Process

NAME = "splice"
# The cases in which all but the first bytes are left to the kernel.
CASES = ("vless-raw", "vision-tls", "vision-reality")


def rows(case):
    return ("down", "up") if case in CASES and shutil.which("cc") else ()


class Path:
    """The relay and the client that goes through it: in place of a server and its client."""

    def __init__(self, directory, origins):
        directory.mkdir(parents=True)
        self.directory, self.origins = directory, origins
        program = directory / "splice"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "splice.c")
        subprocess.run(["cc", "-O2", "-std=c17", "-D_GNU_SOURCE", "-pthread", "-o", program, source], check=True)
        self.ways = {origins.web: ports.free_port(), origins.sink: ports.free_port()}
        pairs = [str(p) for target, port in self.ways.items() for p in (port, target)]
        self.process = Process("splice", [str(program), *pairs], str(directory))
        for port in self.ways.values():
            self.process.wait_port(port)
        self.client, self.proxy = self._client()

    def _client(self):
        """The benchmark's client, without a protocol."""
        port = ports.free_port()
        config = {
            "log": {"loglevel": "error", "access": "none"},
            "inbounds": [{"listen": "127.0.0.1", "port": port, "protocol": "socks", "settings": {"auth": "noauth"}}],
            "outbounds": [{"tag": str(target), "protocol": "freedom", "settings": {"redirect": f"127.0.0.1:{way}"}}
                          for target, way in self.ways.items()],
            "routing": {"rules": [{"type": "field", "port": str(target), "outboundTag": str(target)}
                                  for target in self.ways]}}
        with open(self.directory / "client.json", "w") as f:
            json.dump(config, f)
        client = Process("client", [paths.peer("xray"), "run", "-c", str(self.directory / "client.json")],
                         str(self.directory))
        client.wait_port(port)
        return client, ("127.0.0.1", port)

    def cost(self, load, total):
        """CPU-seconds per GB."""
        load(self.proxy, self.origins, rig.GB // 10)
        before = self.process.cpu_seconds()
        moved = load(self.proxy, self.origins, total)
        return (self.process.cpu_seconds() - before) / (moved / rig.GB)

    def stop(self):
        self.client.stop()
        self.process.stop()
