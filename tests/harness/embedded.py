"""The embedded panel: `v2sp panel serve` as a process, its other commands as calls."""
import json
import os

from . import paths, ports
from .process import Process, run


class EmbeddedPanel:
    def __init__(self, directory):
        self.directory, self.state = str(directory), os.path.join(str(directory), "panel-state")
        self.process = self.url = self.listen = None
        self.call("init")

    def call(self, *args, status=0):
        """v2sp panel <args> --state …; returns what it printed."""
        got, out = run([paths.v2sp(), "panel", *args, "--state", self.state])
        assert got == status, f"v2sp panel {' '.join(map(str, args))}: {got}\n{out}"
        return out

    def json(self, *args):
        return json.loads(self.call(*args, "--json"))

    def serve(self, listen=None):
        """Starts to answer nodes; the address of the first time stays."""
        listen = listen or f"127.0.0.1:{ports.free_port()}"
        self.process = Process("panel", [paths.v2sp(), "panel", "serve", "--state", self.state, "--rate", "0",
                                         "--listen", self.listen or listen], self.directory)
        found = self.process.wait_log(r"(http://\S+?:\d+)(/\S*)?")
        base = found.group(1)
        self.listen = base[len("http://"):]
        self.url = base + "/api/v2sp"
        return self

    def stop(self):
        if self.process:
            self.process.stop()

    def user_sum(self, name):
        u = self.json("user", "show", name)
        return u["up"], u["down"]
