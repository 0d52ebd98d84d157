"""Reads tools/layers.conf: which folders exist, in which order, and what each may include."""
import configparser
import fnmatch
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
CONF = ROOT / "tools" / "layers.conf"


class Table:
    """The folders of src/ in layer order (`order`) and the edges between them."""

    def __init__(self, conf, existing):
        self.conf = conf
        self.order = []
        self._edges = {}
        rows = list(conf["includes"].items())
        for pattern, allowed in rows:
            for folder in sorted(f for f in existing if fnmatch.fnmatchcase(f, pattern)):
                if folder not in self._edges:
                    self.order.append(folder)
                    self._edges[folder] = allowed.split()
        self.unknown = sorted(set(existing) - set(self.order))

    @classmethod
    def load(cls):
        conf = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        conf.optionxform = str
        conf.read(CONF, encoding="utf-8")
        folders = {str(p.parent.relative_to(SRC)) for p in SRC.rglob("*.[ch]")}
        return cls(conf, {f for f in folders if "testdata" not in f.split("/")})

    def may_include(self, folder, tests=False):
        """The other folders whose headers @folder, or its tests, may include."""
        patterns = self._edges[folder] + (self.words("tests", folder) if tests else [])
        return {f for f in self.order if f != folder
                and any(fnmatch.fnmatchcase(f, p) for p in patterns)}

    def words(self, section, key):
        return self.conf.get(section, key, fallback="").split()

    def is_pure(self, folder):
        return not any(fnmatch.fnmatchcase(folder, p) for p in self.words("impure", "folders"))
