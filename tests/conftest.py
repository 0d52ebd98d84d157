"""Fixtures of all tests that drive the finished programs."""
import os
import re

import pytest

from harness import certs, paths, process, server, singbox, xray

SANITIZER_REPORT = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer)")


def pytest_configure():
    process.raise_nofile()


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("v2sp_only") and server.KIND != "v2sp":
            item.add_marker(pytest.mark.skip(reason="v2sp only"))


@pytest.fixture(scope="session", autouse=True)
def programs():
    """Every program there is needed, or one line that says how to get it."""
    if not os.access(paths.v2sp(), os.X_OK) and server.KIND == "v2sp":
        pytest.exit(f"{paths.v2sp()} is missing: run make, or set V2SP_BIN", 2)
    for name in ("xray", "sing-box"):
        if not os.access(paths.peer(name), os.X_OK):
            pytest.exit(f"{paths.peer(name)} is missing: run tests/peers/install", 2)


@pytest.fixture(scope="session")
def cert(tmp_path_factory):
    return certs.make(tmp_path_factory.mktemp("cert"))


class Stage:
    """Starts servers and clients of one test (or module) in a directory of its own; ends them all."""

    def __init__(self, directory, cert):
        self.directory, self.cert, self._ends = directory, cert, []

    def subdirectory(self, name):
        n = len(os.listdir(self.directory))
        path = self.directory / f"{n:02}-{name}"
        path.mkdir()
        return path

    def at_end(self, function):
        self._ends.append(function)

    def server(self, node):
        if node.tls and not node.cert and server.KIND != "v2sp":
            node = node.with_(cert=self.cert)      # peers cannot make their own
        s = server.Server(node, self.subdirectory("server"))
        self.watch(s.process, s.stop)
        return s

    def client(self, kind, node, client):
        return self.client_process(kind, node, client)[1]

    def client_process(self, kind, node, client):
        """As client(), for tests that end it themselves: (process, proxy)."""
        start = {"xray": xray.start_client, "sing-box": singbox.start_client}[kind]
        p, proxy = start(node, client, self.subdirectory(kind))
        self.at_end(p.stop)
        return p, proxy

    def watch(self, proc, stop):
        """A program under test: it must live until it is stopped, end cleanly, and report no sanitizer finding."""
        def end():
            alive = proc.alive() or proc.stopped
            stop()
            found = SANITIZER_REPORT.search(proc.log())
            assert not found, f"{proc.name}: {proc.log()[found.start():found.start() + 4000]}"
            assert alive, f"{proc.name} died during the test\n{proc.tail()}"
        self.at_end(end)

    def watch_served(self, served):
        """As watch(), for a v2sp.Served whose process may be replaced during the test."""
        def end():
            proc = served.process
            alive = proc.alive() or proc.stopped
            served.stop()
            found = SANITIZER_REPORT.search(proc.log())
            assert not found, f"{proc.name}: {proc.log()[found.start():found.start() + 4000]}"
            assert alive or served.expected_to_end, f"{proc.name} died during the test\n{proc.tail()}"
        self.at_end(end)

    def end(self):
        errors = []
        for f in reversed(self._ends):
            try:
                f()
            except BaseException as e:       # go on, every process must be stopped
                errors.append(e)
        self._ends.clear()
        if errors:
            raise errors[0]


@pytest.fixture
def stage(tmp_path, cert):
    s = Stage(tmp_path, cert)
    yield s
    s.end()


@pytest.fixture(scope="module")
def module_stage(tmp_path_factory, cert, request):
    s = Stage(tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2]), cert)
    yield s
    s.end()
