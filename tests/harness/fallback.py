"""Targets of fallbacks: nginx as a web site, and a server that keeps the PROXY header it received."""
import ipaddress
import os
import shutil
import socket
import struct
import threading

from . import ports
from .process import Process


def nginx_binary():
    return shutil.which("nginx") or "/usr/sbin/nginx"


class Nginx:
    """nginx with one body a virtual server: {port: text}. `extra` goes into every server block."""

    def __init__(self, directory, sites, extra="", workers=1, http=""):
        self.directory = str(directory)
        servers = "".join(f"server {{ listen 127.0.0.1:{port}; {extra} "
                          f"location / {{ default_type text/plain; return 200 '{text}'; }} }}\n"
                          for port, text in sites.items())
        self.port = next(iter(sites), None)
        self._write(servers + http, workers)
        self.process = Process("nginx", [nginx_binary(), "-c", self.conf, "-p", self.directory,
                                         "-e", os.path.join(self.directory, "error.log")], self.directory)

    def _write(self, servers, workers):
        self.conf = os.path.join(self.directory, "nginx.conf")
        temps = "".join(f"{kind}_temp_path {self.directory}/{kind}; "
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.geteuid() == 0 else ""     # test directories belong to whoever runs the tests
        with open(self.conf, "w") as f:
            f.write(f"{user} daemon off; worker_processes {workers}; worker_rlimit_nofile 30000;\n"
                    f"pid {self.directory}/nginx.pid; error_log {self.directory}/error.log;\n"
                    f"events {{ worker_connections 12000; }}\n"
                    f"http {{ access_log off; {temps} keepalive_timeout 75;\n{servers} }}\n")

    def wait(self, *wanted):
        for port in wanted or (self.port,):
            self.process.wait_port(port)
        return self

    def stop(self):
        self.process.stop()


class ProxyHeader:
    """Accepts one connection after another; parses the PROXY header, keeps it and the bytes behind it.

    `received` holds (version, source ip, source port, destination port, first bytes); every visitor gets `answer`."""

    def __init__(self, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"):
        self.answer, self.received = answer, []
        self._listener = socket.create_server(("127.0.0.1", ports.free_port()), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            with s:
                try:
                    s.settimeout(10)
                    self.received.append(self._parse(s))
                    s.sendall(self.answer)
                    while s.recv(4096):
                        pass
                except (OSError, ValueError) as e:
                    self.received.append(e)

    @staticmethod
    def _parse(s):
        data = b""
        while len(data) < 16:
            more = s.recv(4096)
            if not more:
                raise ValueError(f"closed after {data!r}")
            data += more
        if data.startswith(b"PROXY "):
            line, _, rest = data.partition(b"\r\n")
            words = line.decode().split(" ")
            return 1, words[2], int(words[4]), int(words[5]), rest or s.recv(4096)
        if data[:12] != b"\r\n\r\n\0\r\nQUIT\n" or data[12] != 0x21:
            raise ValueError(f"no PROXY header: {data[:32]!r}")
        length = struct.unpack("!H", data[14:16])[0]
        size = 4 if data[13] == 0x11 else 16
        address = data[16:16 + length]
        ip = str(ipaddress.ip_address(address[:size]))
        source, target = struct.unpack("!HH", address[2 * size:2 * size + 4])
        return 2, ip, source, target, data[16 + length:] or s.recv(4096)

    def stop(self):
        ports.stop_listening(self._listener)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
