#!/usr/bin/env python3
"""Checks that files, functions and lines stay small enough to read.

    check_sizes.py [--max-branches N]     N: also fail on functions with more branches
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import ctext  # noqa: E402
import layers  # noqa: E402

FILE_LINES = 800
HEADER_LINES = 150
FUNCTION_LINES = 80
TEST_LINES = 120  # a test may be one long table
COLUMNS = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-branches", type=int, default=0)
    args = parser.parse_args()
    problems = []
    for path in sorted(layers.SRC.rglob("*.[ch]")) + sorted((layers.ROOT / "bench").rglob("*.[ch]")):
        name = path.relative_to(layers.ROOT)
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        # A fake_x.h is a test double that brings its code along.
        header = path.suffix == ".h" and not path.stem.startswith("fake_")
        limit = HEADER_LINES if header else FILE_LINES
        if lines > limit:
            problems.append(f"{name}: {lines} lines, at most {limit}; split it by subject or by state")
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > COLUMNS:
                problems.append(f"{name}:{number}: {len(line)} columns, at most {COLUMNS}; `make format` "
                                "breaks code but leaves comments to you")
        for function, first, last, branches in ctext.functions(text):
            most = TEST_LINES if path.stem.endswith("_test") else FUNCTION_LINES
            if last - first + 1 > most:
                problems.append(f"{name}:{first}: {function}() has {last - first + 1} lines, at most "
                                f"{most}; take a step out of it and name that step")
            if args.max_branches and branches > args.max_branches:
                problems.append(f"{name}:{first}: {function}() has {branches} branches, at most "
                                f"{args.max_branches}")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
