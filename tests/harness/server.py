"""The server under test, by kind: v2sp, or a peer in its place (to prove the tests themselves)."""
import os
import signal

from . import singbox, v2sp, xray

KIND = os.environ.get("V2SP_TEST_SERVER", "v2sp")


class Server:
    """`process` is the server; `panel` is None when it is a peer."""

    def __init__(self, node, directory, kind=KIND):
        self.node, self.kind = node, kind
        self.panel = None
        if kind == "v2sp":
            self._served = v2sp.Served(node, directory).start()
            self.process, self.panel = self._served.process, self._served.panel
        elif kind == "xray":
            self.process = xray.start_server(node, directory)
        elif kind == "sing-box":
            self.process = singbox.start_server(node, directory)
        else:
            raise ValueError(f"V2SP_TEST_SERVER={kind}")
        self.address = (node.listen, node.port)

    def reload(self, **options):
        """With these options of the node in its file; v2sp only."""
        self._served.reconfigure(extra=options)
        self.process.signal(signal.SIGHUP)

    def stop(self):
        if self.panel:
            self._served.stop()
        else:
            self.process.stop()
