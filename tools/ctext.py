"""A light reading of C source for the lint checks: no compiler, only tokens and braces."""
import re

_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text, keep_comments=False):
    """@text with comments and literals replaced by spaces; line numbers stay."""
    def fill(match):
        token = match.group(0)
        if keep_comments and token.startswith("/"):
            return token
        return "".join("\n" if c == "\n" else " " for c in token)
    return _TOKEN.sub(fill, text)


def comments(text):
    """(line number, comment text) of every comment."""
    for match in _TOKEN.finditer(text):
        if match.group(0).startswith("/"):
            yield text.count("\n", 0, match.start()) + 1, match.group(0)


_NAME = re.compile(r"([A-Za-z_]\w*)\s*\(")
_BRANCH = re.compile(r"\b(?:if|for|while|case)\b|&&|\|\||\?")


def functions(text):
    """(name, first line, last line, branches) of every function body.

    Relies on the house style: the brace that opens a function is alone in column 1, the one that ends
    it too."""
    lines = blank(text).split("\n")
    start = None
    for i, line in enumerate(lines):
        if line.startswith("{") and start is None:
            start = i
        elif line.startswith("}") and start is not None:
            head = start - 1
            while head > 0 and not re.match(r"[A-Za-z_]", lines[head]):
                head -= 1
            while head > 0 and re.match(r"[A-Za-z_]", lines[head - 1]) and \
                    not re.search(r"[;})]\s*$", lines[head - 1]):
                head -= 1
            names = _NAME.findall(" ".join(lines[head:start]))
            names = [n for n in names if n != "__attribute__"]
            if names and not line.startswith("};"):
                body = "\n".join(lines[start:i + 1])
                yield names[0], head + 1, i + 1, 1 + len(_BRANCH.findall(body))
            start = None
