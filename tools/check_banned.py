#!/usr/bin/env python3
"""Checks the C files for functions that are easy to get wrong, and all files for unfinished marks."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import ctext  # noqa: E402
import layers  # noqa: E402

INSTEAD = {
    "strcpy": "memcpy with a length, or arena_strdup",
    "strcat": "snprintf with a size",
    "stpcpy": "memcpy with a length",
    "strncpy": "memcpy with a length (it may leave the end open)",
    "strncat": "snprintf with a size",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "fgets",
    "scanf": "a parser that reports errors",
    "sscanf": "a parser that reports errors",
    "fscanf": "a parser that reports errors",
    "atoi": "strtol with its end pointer checked",
    "atol": "strtol with its end pointer checked",
    "atoll": "strtoll with its end pointer checked",
    "atof": "strtod with its end pointer checked",
    "strtok": "a loop over memchr",
    "alloca": "a bounded array or an arena",
    "system": "posix_spawn with an argument list",
    "popen": "posix_spawn with an argument list",
    "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
    "rand": "the crypto_random family",
    "srand": "the crypto_random family",
    "random": "the crypto_random family",
    "drand48": "the crypto_random family",
    "gmtime": "gmtime_r",
    "localtime": "localtime_r",
    "ctime": "strftime",
    "asctime": "strftime",
    "inet_ntoa": "addr_str",
    "inet_addr": "addr_parse_ip",
    "gethostbyname": "the resolver in io",
    "getaddrinfo": "the resolver in io (it must not block a worker)",
    "signal": "sigaction or signalfd",
    "select": "the event loop",
    "usleep": "a timer of the event loop",
    "setjmp": "a status",
    "longjmp": "a status",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(INSTEAD) + r")\s*\(")
# The words are split so that this file does not find itself.
MARK = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
FOLDERS = ("src", "tests", "bench", "tools", "script", "docs", "man", "dist")
SUFFIXES = {".c", ".h", ".py", ".sh", ".md", ".json", ".build", ".txt", ".conf", ".1", ".service", ""}


def texts():
    for folder in FOLDERS:
        for path in sorted((layers.ROOT / folder).rglob("*")):
            skip = {"testdata", "__pycache__", ".cache", "results"} & set(path.parts)
            if path.is_file() and not skip and path.suffix in SUFFIXES:
                yield path


def main():
    problems = []
    for path in texts():
        name = path.relative_to(layers.ROOT)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            mark = MARK.search(line)
            if mark:
                problems.append(f"{name}:{number}: '{mark.group(0)}' is a promise nobody keeps: do it, or "
                                "write it down as an issue")
        if path.suffix not in (".c", ".h") or path.stem.endswith("_test") \
                or path.stem.startswith("fake_"):
            continue
        for number, line in enumerate(ctext.blank(text).split("\n"), 1):
            for match in CALL.finditer(line):
                word = match.group(1)
                if line[match.start():].startswith("signal(SIGPIPE, SIG_IGN)"):
                    continue  # portable and without traps
                problems.append(f"{name}:{number}: {word}() is not used here; use {INSTEAD[word]}")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
