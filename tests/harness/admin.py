"""The commands that ask a running v2sp: status, top, spool; and its socket for requests by hand."""
import http.client
import json
import os
import socket
import subprocess

from . import paths


def command(*argv, timeout=30):
    """Runs `v2sp ...`; the completed process, with its output as text."""
    return subprocess.run([paths.v2sp(), *map(str, argv)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)


def status(config, *more):
    """The document of `v2sp status --json`."""
    done = command("status", "-c", config, "--json", *more)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


def socket_path(served):
    return os.path.join(served.directory, "state", "control.sock")


def connect(path, timeout=15):
    """A stream to the socket, through its directory: test directories have long names."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        s.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
    s.settimeout(timeout)
    return s


def request(path, method, target, body=None, timeout=15):
    """(status, body) of one request by hand."""
    s = connect(path, timeout)
    connection = http.client.HTTPConnection("v2sp", timeout=timeout)
    connection.sock = s
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
