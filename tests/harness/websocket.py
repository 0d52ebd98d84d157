"""A WebSocket that is used like the socket below it (client side; each send is one frame)."""
from . import vless


class Client:
    def __init__(self, s, path="/"):
        self.socket, self._left = s, b""
        s.sendall(vless.ws_request(path))
        head = vless.http_head(s)
        if " 101 " not in head:
            s.close()
            raise ConnectionError(f"no WebSocket: {head[:60]!r}")

    def sendall(self, data):
        self.socket.sendall(vless.ws_frame(data))

    def recv(self, n):
        while not self._left:
            opcode, data = vless.read_frame(self.socket)
            if opcode == 8:
                return b""
            if opcode in (0, 1, 2):
                self._left = data
        part, self._left = self._left[:n], self._left[n:]
        return part

    def settimeout(self, seconds):
        self.socket.settimeout(seconds)

    def close(self):
        self.socket.close()
