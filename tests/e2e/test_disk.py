"""A disk that is full: clear words, the node serves on, and what was counted is reported once there is room."""
import pytest

from harness import disk, spec, vless

ALICE = spec.ALICE


@pytest.fixture
def small_disk(stage):
    """small_disk(size): a disk.SmallDisk for the state directory."""
    def make(size):
        try:
            d = disk.SmallDisk(stage.subdirectory("disk") / "state", size)
        except disk.NoDisk:
            pytest.skip("no mount namespaces here")
        stage.at_end(d.stop)
        return d
    return make


@pytest.mark.sanitizer
def test_disk_full_for_a_while(serve, small_disk, node, origin):
    """Reports wait, service does not; when there is room again every byte is booked once."""
    state = small_disk("64m")
    s = serve(node, top={"StateDir": state.directory}, wrapper=state.enter)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        s.panel.wait_sum(1, alice.up, alice.down)
        state.fill()
        with vless.Session(node, spec.BOB, origin) as bob:
            alice.say(200_000)
            bob.say(300_000)
            s.process.wait_log(r"(?i)(error|warning).*(full|no space)", 30)
            # Also for users who come meanwhile, and for longer than a report takes.
            for _ in range(2):
                s.panel.wait_calls("user")
                alice.say(50_000)
            with vless.Session(node, ALICE, origin) as again:
                again.say(70_000)
            state.free()
            up, down = alice.up + again.up, alice.down + again.down
            s.panel.wait_sum(1, up, down, 60)
            s.panel.wait_sum(2, bob.up, bob.down, 60)
    assert s.process.stop() == 0
    assert s.panel.sum(1) == (up, down) and s.panel.sum(2) == (bob.up, bob.down)


def test_disk_full_at_the_start(serve, small_disk, node, origin):
    """Nothing can be kept, and the log says so; users are served and booked all the same."""
    state = small_disk("4k")
    s = serve(node, top={"StateDir": state.directory}, wrapper=state.enter)
    s.process.wait_log(rf"(?i)(error|warning).*{state.directory}")
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(100_000)
        s.panel.wait_sum(1, alice.up, alice.down)
    assert s.process.stop() == 0


def test_kill_9_on_a_full_disk(serve, small_disk, node, origin):
    """What was counted while nothing could be written is in the mapping, and is found by the next start."""
    state = small_disk("64m")
    s = serve(node, top={"StateDir": state.directory}, wrapper=state.enter)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        s.panel.wait_sum(1, alice.up, alice.down)
        state.fill()
        alice.say(500_000)
        s.process.wait_log(r"(?i)(error|warning).*(full|no space)", 30)
        alice.say(500_000)
        s.process.kill()
        state.free()
        s.start()
        s.panel.wait_sum(1, alice.up, alice.down, 60)
