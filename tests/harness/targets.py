"""Servers a REALITY node can stand in for: nginx, `openssl s_server`, Go's crypto/tls, and one that plays a script.

All have `port`; those with a site answer GET / with their `body`."""
import os
import socket
import struct
import threading

from . import fallback, hello, paths, ports, socks5
from .process import Process

X25519, MLKEM = hello.X25519, hello.MLKEM
AES128, AES256, CHACHA = 0x1301, 0x1302, 0x1303


class Nginx:
    """nginx with TLS. `listen` may be a path of a Unix socket; `extra` goes into the server block."""

    def __init__(self, directory, cert, versions="TLSv1.3", listen=None, extra="", listen_extra="", body="the target"):
        self.port = ports.free_port()
        self.body = body
        where = f"unix:{listen}" if listen else f"127.0.0.1:{self.port} backlog=4096"
        site = (f"server {{ listen {where} ssl {listen_extra}; ssl_certificate {cert.cert}; "
                f"ssl_certificate_key {cert.key}; ssl_protocols {versions}; ssl_session_cache off; {extra} "
                f"location / {{ default_type text/plain; return 200 '{body}'; }} }}\n")
        self._nginx = fallback.Nginx(directory, {}, http=site)
        self.process = self._nginx.process
        if listen:
            self.process_ready(listen)
        else:
            self._nginx.wait(self.port)

    @staticmethod
    def process_ready(path):
        from . import wait
        wait.until(lambda: os.path.exists(path), 30, f"nginx listens on {path}")

    def stop(self):
        self._nginx.stop()


class OpenSsl:
    """`openssl s_server -www`: one visitor at a time."""

    def __init__(self, directory, cert, *options):
        self.port = ports.free_port()
        self.process = Process("s_server", ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert",
                                            cert.cert, "-key", cert.key, "-www", *options], str(directory))
        self.process.wait_log("ACCEPT")

    def stop(self):
        self.process.stop()


def go_target():
    """The binary of tests/peers/target, or None where the installer could not build it."""
    path = paths.peer("target")
    return path if os.access(path, os.X_OK) else None


class Go:
    """Go's crypto/tls, which has X25519MLKEM768."""

    def __init__(self, directory, cert, *options):
        self.port = ports.free_port()
        self.process = Process("target", [go_target(), "-listen", f"127.0.0.1:{self.port}", "-cert", cert.cert,
                                          "-key", cert.key, *options], str(directory))
        self.process.wait_port(self.port)

    def stop(self):
        self.process.stop()


SEPARATE = (32, 900, 286, 58)           # totals of EncryptedExtensions .. Finished
COMBINED = (1200,)


class Script:
    """Not a TLS stack: answers any ClientHello with a well-formed ServerHello, a CCS and random records of the given
    totals. `sent` and `received` hold what every visitor that said something got and said, in order."""

    def __init__(self, records=SEPARATE, suite=AES128, group=X25519, pause=None, port=0):
        self.records, self.suite, self.group, self.pause = records, suite, group, pause
        self.sent, self.received = [], []
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port or ports.free_port()), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        sent, received = bytearray(), bytearray()
        with s:
            try:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                head = socks5.read_exactly(s, 5)
                self.sent.append(sent)
                self.received.append(received)
                received += head
                received += socks5.read_exactly(s, struct.unpack("!H", head[3:5])[0])
                pieces = self._flight(hello.Hello(bytes(received)))
                for piece in pieces if self.pause else [b"".join(pieces)]:
                    sent += piece
                    s.sendall(piece)
                    if self.pause:
                        self._over.wait(self.pause)
                while True:
                    data = s.recv(4096)
                    if not data:
                        return
                    received += data
            except (OSError, AssertionError):
                pass

    def _flight(self, h):
        share = os.urandom(1120 if self.group == MLKEM else 32)
        extensions = (struct.pack("!HHH", 43, 2, 0x0304)
                      + struct.pack("!HHHH", 51, 4 + len(share), self.group, len(share)) + share)
        body = (b"\x03\x03" + os.urandom(32) + b"\x20" + h.session_id + struct.pack("!HB", self.suite, 0)
                + struct.pack("!H", len(extensions)) + extensions)
        message = b"\x02" + len(body).to_bytes(3, "big") + body
        return [b"\x16\x03\x03" + struct.pack("!H", len(message)) + message, b"\x14\x03\x03\x00\x01\x01",
                *(b"\x17\x03\x03" + struct.pack("!H", n - 5) + os.urandom(n - 5) for n in self.records)]

    def visit(self, wire, since=0):
        """(sent, received) of the first visitor from `since` on who said `wire`, or None: a node looks at its target by
        itself too."""
        return next((v for v in list(zip(self.sent, self.received))[since:] if v[1].startswith(wire)), None)

    def stop(self):
        self._over.set()
        ports.stop_listening(self._listener)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Closer:
    """Accepts, and closes at once or after the first bytes."""

    def __init__(self, after_hello=False):
        self.after_hello, self.opened = after_hello, 0
        self._listener = socket.create_server(("127.0.0.1", ports.free_port()), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            self.opened += 1
            with s:
                if self.after_hello:
                    try:
                        head = socks5.read_exactly(s, 5)
                        socks5.read_exactly(s, struct.unpack("!H", head[3:5])[0])
                    except OSError:
                        pass

    def stop(self):
        ports.stop_listening(self._listener)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
