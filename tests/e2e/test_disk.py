"""A disk that is full: clear words, the node serves on, and what was counted is reported once there is room."""
import errno
import os
import subprocess

import pytest

from harness import spec, vless

ALICE = spec.ALICE
# A state directory on a small disk of the process's own. %s: its size.
MOUNT = 'mount -t tmpfs -o size=%s none "$1" && shift && exec "$@"'


def private(state, size):
    """What to put before a command so that it has such a disk; skips the test where that is not allowed."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    wrapper = [*unshare, "sh", "-c", MOUNT % size, "sh", str(state)]
    state.mkdir()
    if subprocess.run([*wrapper, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no mount namespaces here")
    return wrapper


class Disk:
    """The disk that only the process sees."""

    def __init__(self, process, state):
        self.filler = f"/proc/{process.pid}/root{state}/filler"

    def fill(self):
        with open(self.filler, "wb", buffering=0) as f:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        f.write(b"x" * size)
                except OSError as e:
                    assert e.errno == errno.ENOSPC

    def free(self):
        os.unlink(self.filler)


@pytest.mark.sanitizer
def test_disk_full_for_a_while(serve, stage, node, origin):
    """Reports wait, service does not; when there is room again every byte is booked once."""
    state = stage.directory / "small-disk"
    s = serve(node, top={"StateDir": str(state)}, wrapper=private(state, "64m"))
    disk = Disk(s.process, state)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        s.panel.wait_sum(1, alice.up, alice.down)
        disk.fill()
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
            disk.free()
            up, down = alice.up + again.up, alice.down + again.down
            s.panel.wait_sum(1, up, down, 60)
            s.panel.wait_sum(2, bob.up, bob.down, 60)
    assert s.process.stop() == 0
    assert s.panel.sum(1) == (up, down) and s.panel.sum(2) == (bob.up, bob.down)


def test_disk_full_at_the_start(serve, stage, node, origin):
    """Nothing can be kept, and the log says so; users are served and booked all the same."""
    state = stage.directory / "no-room"
    s = serve(node, top={"StateDir": str(state)}, wrapper=private(state, "4k"))
    s.process.wait_log(r"(?i)(error|warning).*no-room")
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(100_000)
        s.panel.wait_sum(1, alice.up, alice.down)
    assert s.process.stop() == 0


def test_kill_9_on_a_full_disk(serve, stage, node, origin, tmp_path):
    """What was counted while nothing could be written is in the mapping, and is found by the next start."""
    if os.geteuid() != 0:
        pytest.skip("needs a disk that outlives the process")
    state = tmp_path / "state"
    state.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", state], stderr=subprocess.DEVNULL, check=False)
    if mounted.returncode:
        pytest.skip("cannot mount")
    stage.at_end(lambda: subprocess.run(["umount", "-l", state], check=True))
    s = serve(node, top={"StateDir": str(state)})
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        s.panel.wait_sum(1, alice.up, alice.down)
        filler = Disk(s.process, state)
        filler.filler = str(state / "filler")
        filler.fill()
        alice.say(500_000)
        s.process.wait_log(r"(?i)(error|warning).*(full|no space)", 30)
        alice.say(500_000)
        s.process.kill()
        filler.free()
        s.start()
        s.panel.wait_sum(1, alice.up, alice.down, 60)
