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


@pytest.fixture
def address():
    return f"127.0.0.1:{ports.free_port()}"


@pytest.fixture
def serve_api(serve, node, address):
    """serve_api(lists, ...) starts v2sp with the stats API at `address`; stats.Api."""
    from harness import stats       # needs grpcio

    def start(lists=None, top=None, **more):
        lists = stats.ALL if lists is None else lists
        s = serve(node, extra={"Name": "in-1"}, top={**stats.api(address, **lists), **(top or {})}, **more)
        s.process.wait_port(int(address.rpartition(":")[2]))
        return stats.Api(s, address, "in-1")
    return start
