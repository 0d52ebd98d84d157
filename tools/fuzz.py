#!/usr/bin/env python3
"""Runs libFuzzer targets on their seeds.

    fuzz.py --build DIR --list
    fuzz.py --build DIR [--seconds N] [TARGET ...]
    fuzz.py --build DIR --forever TARGET

Seeds of src/x/foo_fuzz.c are src/x/testdata/foo_fuzz/ or testdata/foo/, else all of src/x/testdata/.
What a run learns stays in DIR/corpus/TARGET, what it finds in DIR/crashes/.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import layers  # noqa: E402

SANITIZE = str(layers.ROOT / "tools" / "sanitize")


def targets(build):
    """name -> (program, source) of every target that is built in @build."""
    lines = subprocess.run([sys.executable, str(layers.ROOT / "tools" / "sources.py")], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    found = {}
    for line in lines:
        for word in line.split("|")[4].split():
            name, source = word.split("=")
            found[name] = (build / name, layers.ROOT / source)
    return found


def seeds_of(source):
    data = source.parent / "testdata"
    stem = source.stem
    for name in (stem, stem.removesuffix("_fuzz")):
        if (data / name).is_dir():
            return [data / name]
    return [data] if data.is_dir() else []


def command(build, name, program, source, limit):
    corpus = build / "corpus" / name
    crashes = build / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    return [SANITIZE, str(program), "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
            f"-artifact_prefix={crashes}/{name}-", *limit, str(corpus), *map(str, seeds_of(source))]


def run(build, name, program, source, seconds, log):
    """Runs one target for @seconds; gives (name, passed, text, seconds taken)."""
    begin = time.monotonic()
    line = command(build, name, program, source, [f"-max_total_time={seconds}"])
    with open(log, "wb") as out:
        try:
            status = subprocess.run(line, stdout=out, stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL, timeout=seconds * 3 + 120).returncode
        except subprocess.TimeoutExpired:
            status = "no end within its time"
    text = pathlib.Path(log).read_text(encoding="utf-8", errors="replace")
    return name, status == 0, text, time.monotonic() - begin


def run_all(build, names, seconds, log_dir, done=lambda result: None):
    """Runs the named targets (all when empty), one a core; @done hears of each."""
    found = targets(build)
    log_dir.mkdir(parents=True, exist_ok=True)
    results = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(run, build, name, *found[name], seconds, log_dir / f"{name}.log")
                for name in (names or sorted(found))]
        for job in concurrent.futures.as_completed(jobs):
            results.append(job.result())
            done(results[-1])
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--forever", metavar="TARGET")
    parser.add_argument("names", nargs="*", metavar="TARGET")
    args = parser.parse_args()
    build = args.build.resolve()
    found = targets(build)
    for name in args.names + ([args.forever] if args.forever else []):
        if name not in found:
            sys.exit(f"no fuzz target {name}; there are: {' '.join(sorted(found))}")
    if args.list:
        print("make fuzz T=NAME, with one of:\n  " + "\n  ".join(sorted(found)))
        return 0
    if args.forever:
        line = command(build, args.forever, *found[args.forever],
                       [f"-fork={os.cpu_count() or 1}", "-ignore_timeouts=0"])
        os.execv(line[0], line)
    bad = 0
    for name, passed, text, _ in run_all(build, args.names, args.seconds, build / "fuzz-logs"):
        print(f"{name:32} {'ok' if passed else 'FAILED'}")
        if not passed:
            print("\n".join(text.splitlines()[-40:]))
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
