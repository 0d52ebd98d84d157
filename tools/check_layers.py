#!/usr/bin/env python3
"""Checks that the folders of src/ depend on each other as tools/layers.conf says.

    check_layers.py [--build DIR]

Fails on: an include that is not in the table, a cycle of headers, one transport or protocol including
another, the data plane including the control plane, a system or library header in the wrong folder.
With --build it also reads the objects of a plain gcc build there: pure folders may call only what
[symbols] lists, and writable variables live only where [writable] says.
"""
import argparse
import collections
import fnmatch
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import ctext  # noqa: E402
import layers  # noqa: E402

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
DATA_PLANE = {"session", "outbound"}
CONTROL_PLANE = {"control", "panel", "panelserver", "app"}
# Sections that only the dynamic linker writes to, and what the compiler adds by itself.
READ_ONLY_AFTER_START = (".data.rel.ro",)


def includes_of(path):
    text = path.read_text(encoding="utf-8")
    # Literals must stay (they are the names), comments must not hide or add an include.
    bare = re.sub(r"//[^\n]*|/\*.*?\*/",
                  lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)
    for match in INCLUDE.finditer(bare):
        yield bare.count("\n", 0, match.start()) + 1, match.group(1), match.group(2)


def is_test(path):
    return path.stem.endswith(("_test", "_fuzz")) or path.stem.startswith(("test_", "fake_"))


class Includes:
    """The checks that read #include lines."""

    def __init__(self, table):
        self.table = table
        self.problems = []
        self.graph = collections.defaultdict(list)

    def run(self):
        for folder in self.table.unknown:
            self.problems.append(f"src/{folder}: not in tools/layers.conf [includes]; add a line that "
                                 "says what it may include")
        for folder in self.table.order:
            for path in sorted((layers.SRC / folder).glob("*.[ch]")):
                for line, kind, name in includes_of(path):
                    where = f"{path.relative_to(layers.ROOT)}:{line}"
                    if kind == '"':
                        self.own(folder, path, where, name)
                    else:
                        self.foreign(folder, path, where, name)
        self.cycles()
        return self.problems

    def own(self, folder, path, where, name):
        target = layers.SRC / name
        if not target.is_file():
            self.problems.append(f'{where}: no src/{name}; includes are written from src/ on, such as '
                                 '"base/status.h"')
            return
        to = str(pathlib.PurePosixPath(name).parent)
        self.graph[str(path.relative_to(layers.SRC))].append(name)
        if to == folder or to in self.table.may_include(folder, tests=is_test(path)):
            return
        reason = "that edge is not in tools/layers.conf"
        kind = folder.split("/")[0]
        if kind in ("transport", "proto") and to.split("/")[0] == kind:
            reason = f"one {kind} must not know another; what both need belongs below them"
        elif folder in DATA_PLANE and to.split("/")[0] in CONTROL_PLANE:
            reason = "the data plane must not know the control plane; they meet in policy/view.h"
        self.problems.append(f"{where}: {folder} includes {to} ({name}): {reason}")

    def foreign(self, folder, path, where, name):
        if is_test(path):
            return
        if self.table.is_pure(folder):
            for pattern in self.table.words("pure", "headers"):
                if fnmatch.fnmatchcase(name, pattern):
                    self.problems.append(f"{where}: <{name}> in the pure folder {folder}: sockets, clocks "
                                         "and threads belong to io; take what is needed as an argument")
        for pattern, allowed in self.table.conf["vendor"].items():
            if fnmatch.fnmatchcase(name, pattern) and folder not in allowed.split():
                self.problems.append(f"{where}: <{name}> may be included in {allowed} only")

    def cycles(self):
        state = {}

        def visit(node, trail):
            state[node] = 1
            for nxt in self.graph.get(node, []):
                if state.get(nxt) == 1:
                    ring = trail[trail.index(nxt):] if nxt in trail else [node]
                    self.problems.append("cycle of headers: " + " -> ".join(ring + [nxt]))
                elif nxt not in state:
                    visit(nxt, trail + [nxt])
            state[node] = 2

        for node in sorted(self.graph):
            if node not in state:
                visit(node, [node])


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def source_of(member):
    """Meson names the object of src/base/log.c 'libbase.a.p/src_base_log.c.o'."""
    return pathlib.PurePath(member).name.removesuffix(".o")


def libraries(table, build):
    for folder in table.order:
        path = build / f"lib{folder.replace('/', '_')}.a"
        if path.exists():
            yield folder, path


def check_symbols(table, build):
    """What pure objects need from outside, against [symbols]."""
    problems = []
    ours = set()
    needs = collections.defaultdict(lambda: collections.defaultdict(set))
    for folder, path in libraries(table, build):
        member = "?"
        for line in tool("nm", "--format=posix", str(path)).splitlines():
            if line.endswith("]:"):
                member = source_of(line[line.rindex("[") + 1:-2])
                continue
            words = line.split()
            if len(words) < 2:
                continue
            if words[1] in "Uw":
                needs[folder][words[0]].add(member)
            elif words[1].isupper():
                ours.add(words[0])
    for folder in needs:
        if not table.is_pure(folder):
            continue
        allowed = table.words("symbols", "*")
        for pattern in table.conf["symbols"]:
            if pattern != "*" and fnmatch.fnmatchcase(folder, pattern):
                allowed = allowed + table.words("symbols", pattern)
        for symbol, members in sorted(needs[folder].items()):
            if symbol in ours or any(fnmatch.fnmatchcase(symbol, p) for p in allowed):
                continue
            problems.append(f"src/{folder}: {', '.join(sorted(members))} call {symbol}(), which is not "
                            "on the list of this pure folder (tools/layers.conf [symbols])")
    return problems


def check_writable(table, build):
    """Writable variables, against [writable]."""
    problems = []
    allowed = table.words("writable", "folders")
    for folder, path in libraries(table, build):
        if folder in allowed:
            continue
        member = "?"
        for line in tool("objdump", "-t", str(path)).splitlines():
            if ":     file format" in line:
                member = source_of(line.split(":")[0])
                continue
            # value, seven flag columns, section, size, name
            match = re.match(r"^[0-9a-f]+ (.{7}) (\S+)\s+[0-9a-f]+\s+(?:\.\w+ )?(\S+)$", line)
            if not match or "d" in match.group(1):
                continue  # no symbol, or one for debuggers (sections themselves)
            section, name = match.group(2), match.group(3)
            if section.startswith(READ_ONLY_AFTER_START):
                continue
            if section.startswith((".data", ".bss", ".tdata", ".tbss", "*COM*")):
                problems.append(f"src/{folder}: {member} has the writable variable {name}; keep state in a "
                                "struct that the caller owns, or make it const")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, help="a plain gcc build to read objects from")
    args = parser.parse_args()
    table = layers.Table.load()
    problems = Includes(table).run()
    if args.build:
        problems += check_symbols(table, args.build) + check_writable(table, args.build)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
