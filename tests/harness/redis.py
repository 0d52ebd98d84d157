"""A real redis-server on a unix socket, and over TLS on a port if it gets a certificate, and just enough of its protocol to look into it."""
import os
import socket

from . import ports, wait
from .process import Process


class Redis:
    def __init__(self, directory, password="", tls=None, root=None):
        """`tls`: its certificate; `root`: who must have signed that of a client, if any."""
        self.path = os.path.join(directory, "redis.sock")      # a short directory: 107 bytes at most
        self.password = password
        argv = ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no",
                "--dir", directory]
        argv += ["--requirepass", password] if password else []
        if tls:
            self.port = ports.free_port()
            argv += ["--tls-port", str(self.port), "--tls-cert-file", tls.cert, "--tls-key-file", tls.key,
                     "--tls-ca-cert-file", (root or tls).cert, "--tls-auth-clients", "yes" if root else "no"]
        self.process = Process("redis", argv, directory)
        self._wait()

    def _wait(self):
        def answers():
            assert self.process.alive(), self.process.tail()
            try:
                return self.ask("PING") == "PONG"
            except OSError:
                return False
        wait.until(answers, 15, lambda: f"redis-server answers\n{self.process.tail()}")

    def restart(self):
        self.process.start()
        self._wait()

    def kill(self):
        self.process.stopped = True
        self.process.kill()

    def stop(self):
        self.process.stop()

    def ask(self, *words):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(15)
            s.connect(self.path)
            with s.makefile("rb") as f:
                if self.password:
                    self._send(s, ("AUTH", self.password))
                    self._read(f)
                self._send(s, words)
                return self._read(f)

    @staticmethod
    def _send(s, words):
        s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w)
                                                     for w in (str(w).encode() for w in words)))

    def _read(self, f):
        line = f.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:].decode()
        if kind == b"-":
            raise OSError(rest)
        if kind == b"$":
            return f.read(int(rest) + 2)[:-2].decode() if rest != "-1" else None
        if kind == b"*":
            return [self._read(f) for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def devices(self, user=1, prefix="v2sp:dev:"):
        """Networks of a user that processes have said, with the processes: {"127.0.0.1/32": {"8f0c..."}}"""
        found = {}
        for key in self.ask("KEYS", f"{prefix}*:{user}"):
            for member in self.ask("ZRANGE", key, 0, -1):
                net, _, who = member.rpartition("@")
                found.setdefault(net, set()).add(who)
        return found
