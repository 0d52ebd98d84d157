"""Many users at once who talk to an echo and hang up and come back, for as long as a test lets them."""
import os
import random
import threading

from . import visit, vless, wait


class _Member(threading.Thread):
    def __init__(self, crowd, number):
        super().__init__(daemon=True)
        self.crowd, self.rng = crowd, random.Random(number)
        self.up = self.down = self.sessions = 0
        self.error = None

    def run(self):
        try:
            while not self.crowd.stopping.is_set():
                self._session()
        except (OSError, AssertionError) as e:
            self.error = f"session {self.sessions}: {e!r}"

    def _session(self):
        talk = self.crowd.open()
        self.crowd.enter()
        try:
            for _ in range(self.rng.randrange(1, 60)):
                data = os.urandom(self.rng.randrange(1, 4000))
                talk.send(data)
                self.up += len(data)
                assert talk.read(len(data)) == data, "other bytes came back"
                self.down += len(data)
                if self.crowd.stopping.wait(self.rng.uniform(0.01, 0.1)):
                    break
        finally:
            talk.close()
            self.crowd.leave()
        self.up += talk.head
        self.sessions += 1


class _Plain:
    """Talks VLESS itself."""
    head = len(b"ECHO\n")

    def __init__(self, node, user, origin):
        self.stream = vless.Session(node, user, origin)
        self.send, self.read, self.close = self.stream.send, self.stream.read, self.stream.close


class _Proxied:
    """Through the SOCKS inbound of a real client."""
    head = len(b"ECHO\n")

    def __init__(self, proxy, origin):
        self.socket = visit.connect(proxy, origin)
        self.socket.sendall(b"ECHO\n")
        self.close = self.socket.close

    def send(self, data):
        self.socket.sendall(data)

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise ConnectionError(f"closed after {len(data)} of {n} bytes")
            data += more
        return data


class Crowd:
    """`size` members; `open` makes what one of them talks through. Use as a context: leaving it waits for them."""

    def __init__(self, size, open_one):
        self.open, self.stopping = open_one, threading.Event()
        self._lock, self.present = threading.Lock(), 0
        self.members = [_Member(self, i) for i in range(size)]

    @classmethod
    def plain(cls, size, node, user, origin):
        return cls(size, lambda: _Plain(node, user, origin))

    @classmethod
    def proxied(cls, size, proxy, origin):
        return cls(size, lambda: _Proxied(proxy, origin))

    def enter(self):
        with self._lock:
            self.present += 1

    def leave(self):
        with self._lock:
            self.present -= 1

    def check(self):
        errors = [m.error for m in self.members if m.error]
        assert not errors, f"{len(errors)} of {len(self.members)} failed: {errors[:3]}"

    def wait_all_present(self, timeout=30):
        """Every member has begun a session."""
        wait.until(lambda: self.check() or self.present >= len(self.members) * 9 // 10, timeout,
                   lambda: f"{len(self.members)} to talk, {self.present} do")

    def wait_sessions(self, more, timeout=60):
        goal = self.sessions + more
        wait.until(lambda: self.check() or self.sessions >= goal, timeout, f"{more} more sessions")

    @property
    def sessions(self):
        return sum(m.sessions for m in self.members)

    @property
    def up(self):
        return sum(m.up for m in self.members)

    @property
    def down(self):
        return sum(m.down for m in self.members)

    def stop(self, timeout=60):
        self.stopping.set()
        for m in self.members:
            m.join(timeout)
            assert not m.is_alive(), "a member of the crowd hangs"
        self.check()

    def __enter__(self):
        for m in self.members:
            m.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        if kind is None:
            self.stop()
