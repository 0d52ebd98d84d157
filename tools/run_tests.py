#!/usr/bin/env python3
"""Runs every check of the project in stages and counts what passed. Started by script/test.

Each unit test program, fuzz target, pytest item and lint check counts one. Logs are in build/test-logs/.
The last line is "N passed, N failed"; the exit status is 0 only when something passed and nothing failed.
"""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

TOOLS = pathlib.Path(__file__).resolve().parent
ROOT = TOOLS.parent
sys.path.insert(0, str(TOOLS))
import fuzz  # noqa: E402
import lint  # noqa: E402

LOGS = ROOT / "build" / "test-logs"
PYTHON = "/usr/bin/python3"
RELEASE = ["-Dbuildtype=release", "-Ddebug=true", "-Dwerror=true"]
ASAN = ["-Dbuildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false",
        "-Dfuzz=true", "-Dwerror=true"]
TSAN = ["-Dbuildtype=debugoptimized", "-Db_sanitize=thread", "-Db_lundef=false", "-Dwerror=true"]
CLANG = {"CC": "clang"}
FUZZ_TOTAL_S = 80
REPORT_LINES = 30


class Tally:
    """What passed, failed and was skipped, over all stages."""

    def __init__(self, quick=False):
        self.quick = quick
        self.passed = 0
        self.failed = []  # (stage, name, text, log)
        self.skipped = []

    def add(self, stage, name, ok, text="", log=None):
        if ok:
            self.passed += 1
        else:
            self.failed.append((stage, name, text, log))
            print(f"  FAILED {name}", flush=True)


class Progress:
    """Shows that a stage is alive: its last log line in place (terminal) or every half minute (log)."""

    def __init__(self, stage, log):
        self.stage, self.log = stage, log
        self.begin = time.monotonic()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _last_line(self):
        try:
            with open(self.log, "rb") as f:
                f.seek(max(0, f.seek(0, os.SEEK_END) - 400))
                lines = f.read().decode("utf-8", "replace").replace("\r", "\n").strip().split("\n")
            return "".join(c for c in lines[-1] if c.isprintable())[:70]
        except OSError:
            return ""

    def _run(self):
        terminal = sys.stdout.isatty()
        while not self.over.wait(1 if terminal else 30):
            spent = int(time.monotonic() - self.begin)
            if terminal:
                print(f"\r  {spent:4} s  {self._last_line():70}", end="", flush=True)
            else:
                print(f"  {spent:4} s  {self._last_line()}", flush=True)

    def stop(self):
        self.over.set()
        self.thread.join()
        if sys.stdout.isatty():
            print("\r" + " " * 82 + "\r", end="", flush=True)


def end(child):
    """Ends a child with what it started: politely first, so that tests can stop their servers."""
    for sign, patience in ((signal.SIGINT, 20), (signal.SIGTERM, 5), (signal.SIGKILL, None)):
        try:
            os.killpg(child.pid, sign)
            child.wait(patience)
            return
        except ProcessLookupError:
            child.wait()
            return
        except subprocess.TimeoutExpired:
            continue


def run(stage, command, log, timeout, env=None, append=False):
    """Runs @command into @log; gives its status, or None when its time ran out."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab" if append else "wb") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        progress = Progress(stage, log)
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, env={**os.environ, **(env or {})},
                                 start_new_session=True)
        try:
            return child.wait(timeout)
        except subprocess.TimeoutExpired:
            end(child)
            out.write(f"\nended by the test runner after {timeout} s\n".encode())
            return None
        except BaseException:
            end(child)
            raise
        finally:
            progress.stop()


def tail(log, lines=REPORT_LINES):
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def build(tally, stage, folder, options, targets, env=None):
    """Builds; a failure counts as one check, success as none (what was built is counted)."""
    return made(tally, stage, folder, ["script/build", folder, *options, *targets], "build", env)


def made(tally, stage, folder, command, what, env=None):
    log = LOGS / f"{stage}-{what}.log"
    status = run(stage, command, log, 1200, env)
    if status != 0:
        errors = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
                  if "error:" in line or "undefined reference" in line or "FAILED:" in line]
        tally.add(stage, f"{what} in {folder}/", False, "\n".join(errors[:REPORT_LINES]) or tail(log), log)
    return status == 0


def unit(tally, stage, folder, wrapper=()):
    """The unit tests of a build folder, through Meson."""
    log = LOGS / f"{stage}-unit.log"
    record = ROOT / folder / "meson-logs" / "testlog.json"
    record.unlink(missing_ok=True)
    scale = "6" if wrapper else "2"
    # A test that does not compile must not hide what the others say.
    made(tally, stage, folder, ["ninja", "-C", folder, "-k", "0", "unit-tests"], "build-tests")
    run(stage, [*wrapper, "meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", "-t", scale],
        log, 900)
    seen = 0
    if record.exists():
        for line in record.read_text(encoding="utf-8").splitlines():
            test = json.loads(line)
            seen += 1
            text = (test.get("stdout") or "") + (test.get("stderr") or "")
            tally.add(stage, test["name"], test["result"] in ("OK", "EXPECTEDFAIL"),
                      test["result"] + "\n" + "\n".join(text.splitlines()[-REPORT_LINES:]), log)
    if not seen:
        tally.add(stage, "unit tests did not run", False, tail(log), log)


def pytest(tally, stage, folder, env, marks=None, wrapper=(), timeout=900, waiting=2):
    """The pytest items of one folder, from pytest's own record. They wait more than they compute, so
    several run at a time: one a processor, and @waiting."""
    workers = (os.cpu_count() or 1) + waiting
    if not (ROOT / folder).is_dir():
        return
    log = LOGS / f"{stage}.log"
    record = LOGS / f"{stage}.xml"
    record.unlink(missing_ok=True)
    command = [*wrapper, PYTHON, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider",
               f"--junitxml={record}", "-n", str(workers), "--durations=15", folder]
    if marks:
        command += ["-m", marks]
    status = run(stage, command, log, timeout, env)
    seen = 0
    if record.exists():
        for case in xml.etree.ElementTree.parse(record).getroot().iter("testcase"):
            name = f"{case.get('classname', '')}::{case.get('name', '')}".lstrip(":")
            bad = [e for e in case if e.tag in ("failure", "error")]
            if any(e.tag == "skipped" for e in case) and not bad:
                why = next(e for e in case if e.tag == "skipped").get("message", "")
                tally.skipped.append(f"{stage}: {name}: {why}")
                continue
            seen += 1
            text = "\n".join((bad[0].text or "").splitlines()[-REPORT_LINES:]) if bad else ""
            tally.add(stage, name, not bad, text, log)
    if status is None:
        tally.add(stage, "did not end in time", False, tail(log), log)
    elif status not in (0, 1, 5) or (status == 1 and not seen):
        tally.add(stage, f"pytest ended with status {status}", False, tail(log), log)


# ---- stages: each gets the tally; the text says what it does ----------------------------------------


def stage_gcc(tally):
    """build with gcc, warnings are errors"""
    return build(tally, "gcc", "build", RELEASE, ["v2sp"])


def stage_lint(tally):
    """layers, symbols, sizes, banned functions, formatting"""
    for name, check in lint.checks(ROOT / "build"):
        status, text = check()
        (LOGS / f"lint-{name}.log").write_text(text)
        tally.add("lint", f"lint {name}", status == 0, "\n".join(text.splitlines()[:REPORT_LINES]),
                  LOGS / f"lint-{name}.log")


def stage_unit(tally):
    """unit tests (gcc)"""
    unit(tally, "unit", "build")


def stage_asan(tally):
    """clang build, warnings are errors; unit tests under AddressSanitizer and UBSan"""
    if build(tally, "asan", "build-asan", ASAN, ["v2sp"], CLANG):
        unit(tally, "asan", "build-asan", ["tools/sanitize"])


def stage_fuzz(tally):
    """every fuzz target on its seeds, a few seconds each"""
    folder = ROOT / "build-asan"
    names = sorted(fuzz.targets(folder))
    if not names or not build(tally, "fuzz", "build-asan", ASAN, ["fuzzers"], CLANG):
        return
    seconds = max(3, min(10, FUZZ_TOTAL_S * (os.cpu_count() or 1) // len(names)))
    print(f"  {len(names)} targets, {seconds} s each", flush=True)
    logs = LOGS / "fuzz"
    for name, ok, text, _ in fuzz.run_all(folder, names, seconds, logs):
        lines = text.splitlines()
        start = next((i for i, line in enumerate(lines) if "ERROR:" in line or "runtime error" in line),
                     max(0, len(lines) - REPORT_LINES))
        tally.add("fuzz", f"fuzz {name}", ok, "\n".join(lines[start:start + REPORT_LINES]),
                  logs / f"{name}.log")


def stage_tsan(tally):
    """unit tests under ThreadSanitizer"""
    if build(tally, "tsan", "build-tsan", TSAN, ["v2sp"], CLANG):
        unit(tally, "tsan", "build-tsan", ["tools/sanitize"])


def stage_peers(tally):
    """fetch and build the real Xray-core and sing-box (once)"""
    if not (ROOT / "tests/peers/install").exists():
        return
    log = LOGS / "peers.log"
    if run("peers", ["tests/peers/install"], log, 1200) != 0:
        tally.add("peers", "install the peers", False, tail(log), log)


def peer_env(folder):
    return {"V2SP_BIN": str(ROOT / folder / "v2sp"), "PYTHONDONTWRITEBYTECODE": "1"}


def stage_e2e(tally):
    """the binary against the embedded panel and a misbehaving one"""
    pytest(tally, "e2e", "tests/e2e", peer_env("build"), "not slow" if tally.quick else None,
           waiting=4)                    # for a panel's next interval, most of the time


def stage_interop(tally):
    """the real Xray-core and sing-box against the binary"""
    pytest(tally, "interop", "tests/interop", peer_env("build"), "not slow", timeout=1500)


def stage_interop_slow(tally):
    """what takes minutes each: gigabytes, thousands of connections; only when asked for by name"""
    pytest(tally, "interop-slow", "tests/interop", peer_env("build"), "slow", timeout=7200)


def sanitized(tally, name):
    folder = f"build-{name}"
    if not (ROOT / folder / "v2sp").exists():
        tally.add(f"e2e-{name}", f"no {folder}/v2sp (stage {name} builds it)", False)
        return
    # Their reports go to the standard error of the program, which the tests read.
    for tests in ("e2e", "interop"):
        pytest(tally, f"{tests}-{name}", f"tests/{tests}", peer_env(folder), "sanitizer",
               ["tools/sanitize"], timeout=1500)


def stage_e2e_asan(tally):
    """a selection of both under AddressSanitizer and UBSan"""
    sanitized(tally, "asan")


def stage_e2e_tsan(tally):
    """a selection of both under ThreadSanitizer"""
    sanitized(tally, "tsan")


STAGES = {"gcc": stage_gcc, "lint": stage_lint, "unit": stage_unit, "asan": stage_asan,
          "fuzz": stage_fuzz, "tsan": stage_tsan, "peers": stage_peers, "e2e": stage_e2e,
          "interop": stage_interop, "e2e-asan": stage_e2e_asan, "e2e-tsan": stage_e2e_tsan}
ON_REQUEST = {"interop-slow": stage_interop_slow}
KNOWN = {**STAGES, **ON_REQUEST}
QUICK = ["gcc", "lint", "unit", "peers", "e2e", "interop"]


def report(tally):
    for stage, name, text, log in tally.failed:
        print(f"\n--- {stage}: {name}")
        for line in text.strip().splitlines():
            print(f"    {line}")
        if log:
            print(f"    whole log: {os.path.relpath(log, ROOT)}")
    if tally.skipped:
        print("\nskipped:")
        for line in tally.skipped:
            print(f"    {line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    args = parser.parse_args()
    if args.list:
        for name, stage in KNOWN.items():
            print(f"{name:12} {stage.__doc__}")
        return 0
    for name in args.stages:
        if name not in KNOWN:
            sys.exit(f"no stage {name}; there are: {' '.join(KNOWN)}")
    names = args.stages or (QUICK if args.quick else list(STAGES))
    LOGS.mkdir(parents=True, exist_ok=True)
    tally = Tally(args.quick)
    begin = time.monotonic()
    try:
        for number, name in enumerate(names, 1):
            started, passed, failed = time.monotonic(), tally.passed, len(tally.failed)
            print(f"[{number}/{len(names)}] {name}: {KNOWN[name].__doc__}", flush=True)
            go_on = KNOWN[name](tally)
            print(f"[{number}/{len(names)}] {name}: {tally.passed - passed} passed, "
                  f"{len(tally.failed) - failed} failed, {time.monotonic() - started:.0f} s", flush=True)
            if go_on is False:
                break
    except KeyboardInterrupt:
        tally.add("run", "interrupted", False)
    report(tally)
    print(f"\n{time.monotonic() - begin:.0f} s, logs in build/test-logs/")
    print(f"{tally.passed} passed, {len(tally.failed)} failed")
    return 0 if tally.passed and not tally.failed else 1


if __name__ == "__main__":
    sys.exit(main())
