#!/usr/bin/env python3
"""Tells meson.build what is in src/: one line a folder that holds C files, lowest layer first.

    FOLDER|FOLDERS IT MAY USE|LIBRARY SOURCES|NAME=UNIT TEST ...|NAME=FUZZ TARGET ...
        |TEST SUPPORT|FOLDERS WHOSE TEST SUPPORT ITS TESTS USE

(in one line). Test support is test_x.c and fake_x.c: linked into tests and fuzz targets only.

Files are found, not enumerated, and the folders come from tools/layers.conf: a new module is a new
file, a new transport a new folder, and neither is written down a second time here.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import layers  # noqa: E402


def kind_of(path):
    """lib, test, fuzz, support, or main for the one file that holds main()."""
    if path.stem.endswith("_test"):
        return "test"
    if path.stem.endswith("_fuzz"):
        return "fuzz"
    if path.stem.startswith(("test_", "fake_")):
        return "support"
    return "main" if path.parent.name == "app" and path.stem == "main" else "lib"


def main():
    table = layers.Table.load()
    found = {folder: collections.defaultdict(list) for folder in table.order}
    stems = collections.Counter()
    for folder in table.order:
        for path in sorted((layers.SRC / folder).glob("*.c")):
            found[folder][kind_of(path)].append(path)
            stems[path.stem] += 1

    def program(folder, path):
        # Two modules may have a file of one name; then the folder tells their tests apart.
        name = path.stem if stems[path.stem] == 1 else folder.replace("/", "_") + "_" + path.stem
        return f"{name}={path.relative_to(layers.ROOT)}"

    for folder in table.order:
        kinds = found[folder]
        if not any(kinds.values()):
            continue
        uses = [f for f in table.order if f in table.may_include(folder) and found[f]["lib"]]
        print("|".join([
            folder, " ".join(uses),
            " ".join(str(p.relative_to(layers.ROOT)) for p in kinds["lib"]),
            " ".join(program(folder, p) for p in kinds["test"]),
            " ".join(program(folder, p) for p in kinds["fuzz"]),
            " ".join(str(p.relative_to(layers.ROOT)) for p in kinds["support"]),
            " ".join(f for f in table.order if found[f]["support"]
                     and (f == folder or f in table.may_include(folder, tests=True)))]))


if __name__ == "__main__":
    main()
