"""Where the programs under test are."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def v2sp():
    """The binary under test: $V2SP_BIN, else build/v2sp."""
    return os.path.abspath(os.environ.get("V2SP_BIN") or os.path.join(ROOT, "build", "v2sp"))


def peer(name):
    """xray or sing-box as installed by tests/peers/install."""
    directory = os.environ.get("V2SP_PEERS_DIR") or os.path.join(ROOT, ".cache", "peers")
    return os.path.join(directory, name)
