#!/usr/bin/env python3
"""Runs every check that needs no running program.

    lint.py [--build DIR] [--format]

--build   a plain gcc build, for the checks that read objects
--format  rewrite the C files with clang-format instead of checking
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys

TOOLS = pathlib.Path(__file__).resolve().parent
ROOT = TOOLS.parent


def c_files():
    found = []
    for folder in ("src", "bench", "tests"):
        found += sorted(p for p in (ROOT / folder).rglob("*.[ch]")
                        if not {"testdata", ".cache"} & set(p.parts))
    return found


def clang_format():
    """Version 14 where it is there: other versions break lines differently."""
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path:
            version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
            return path, "version 14." in version
    return None, False


def check_format():
    path, exact = clang_format()
    if not path:
        return 1, "clang-format is not installed: script/setup test"
    if not exact:
        return 0, "skipped: the style is pinned to clang-format 14, this is another version"
    files = [str(p) for p in c_files()]
    run = subprocess.run([path, "--dry-run", "-Werror", *files], capture_output=True, text=True)
    # Quoted source lines may hold the same words: only what begins with a place counts.
    places = (re.match(r"(/.*?):\d+:\d+: error:", line) for line in run.stderr.splitlines())
    bad = sorted({place.group(1) for place in places if place})
    text = "".join(f"{pathlib.Path(b).relative_to(ROOT)}: not in the house style; `make format` fixes it\n"
                   for b in bad)
    return run.returncode, text


def script(*command):
    run = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr


def checks(build):
    """(name, function) of each check; a function gives (status, text)."""
    with_build = ["--build", str(build)] if build else []
    return [
        ("layers", lambda: script("tools/check_layers.py", *with_build)),
        ("sizes", lambda: script("tools/check_sizes.py")),
        ("banned", lambda: script("tools/check_banned.py")),
        ("format", check_format),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("--format", action="store_true")
    args = parser.parse_args()
    if args.format:
        path, exact = clang_format()
        if not exact:
            sys.exit("clang-format 14 is needed: other versions break lines differently")
        return subprocess.run([path, "-i", *map(str, c_files())]).returncode
    failed = 0
    for name, check in checks(args.build):
        status, text = check()
        print(f"lint: {name:8} {'ok' if status == 0 else 'FAILED'}")
        if text.strip():
            print("".join(f"    {line}\n" for line in text.strip().split("\n")), end="")
        failed += status != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
