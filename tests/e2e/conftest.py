"""Fixtures of the end-to-end tests: v2sp against a panel, users that speak VLESS themselves."""
import pytest

from harness import origins, ports, spec, v2sp


@pytest.fixture
def origin():
    with origins.Tcp() as o:
        yield o


@pytest.fixture
def node():
    return spec.Node(port=ports.free_port(), users=[(1, spec.ALICE), (2, spec.BOB)])


@pytest.fixture
def serve(stage):
    """serve(node, ...) starts v2sp under its own scripted panel; v2sp.Served."""
    def start(node, name="v2sp", wait_port=True, **more):
        served = v2sp.Served(node, stage.subdirectory(name), **more).start(wait_port)
        stage.watch_served(served)
        return served
    return start
