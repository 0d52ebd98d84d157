#!/usr/bin/env python3
"""Lists the C files of one folder of src/ for meson.build: one path a line, sorted.

usage: sources.py KIND FOLDER     KIND: lib (module sources), test (*_test.c), fuzz (*_fuzz.c)

Files are found, not enumerated: a new module is a new file and nothing else.
"""
import pathlib
import sys

kind, folder = sys.argv[1], sys.argv[2]
root = pathlib.Path(__file__).resolve().parent.parent
for path in sorted((root / "src" / folder).glob("*.c")):
    stem = path.stem
    found = "test" if stem.endswith("_test") else "fuzz" if stem.endswith("_fuzz") else "lib"
    if found == kind:
        print(path.relative_to(root))
