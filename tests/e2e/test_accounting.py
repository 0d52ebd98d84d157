"""Whatever happens, in whatever order: what the panels have booked in the end is what was forwarded.

A failure names its seed; V2SP_SEED=N (and V2SP_STEPS=N, if it was not the usual number) takes the same steps again.
V2SP_SEEDS=N makes the slow test try N of them."""
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import upgrades
from harness.schedule import World, Wrong

SANITIZER_REPORT = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer)")
STEPS = int(os.environ.get("V2SP_STEPS", 45))
SEEDS = [int(s) for s in os.environ.get("V2SP_SEED", "1,2,3,4,5,6,7,8").split(",")]
MANY = int(os.environ.get("V2SP_SEEDS", 24))


def outcome(directory, seed):
    """What is wrong with a seed, or nothing."""
    directory.mkdir()
    world = World(directory, seed)
    try:
        world.run(STEPS)
    except Wrong as e:
        return str(e)
    finally:
        world.close()
    for name, log in world.logs():
        found = SANITIZER_REPORT.search(log)
        if found:
            return f"seed {seed}: {name}: {log[found.start():found.start() + 4000]}"
    return None


def run(tmp_path, seeds, at_once):
    upgrades.adopt_orphans()
    with ThreadPoolExecutor(at_once) as pool:
        wrong = [x for x in pool.map(lambda seed: outcome(tmp_path / f"{seed}", seed), seeds) if x]
    assert not wrong, f"{len(wrong)} of {len(seeds)} seeds\n" + "\n\n".join(wrong[:3])


@pytest.mark.sanitizer
def test_what_is_booked_is_what_was_forwarded(tmp_path):
    run(tmp_path, SEEDS, 8)


@pytest.mark.slow
def test_many_schedules(tmp_path):
    run(tmp_path, range(1000, 1000 + MANY), 16)
