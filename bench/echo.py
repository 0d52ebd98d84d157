"""Sends datagrams back. Prints its port; ends with its standard input."""
import socket
import sys
import threading


def serve(s):
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(data, peer)


if __name__ == "__main__":
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.bind(("127.0.0.1", 0))
    print(sock.getsockname()[1], flush=True)
    threading.Thread(target=serve, args=(sock,), daemon=True).start()
    sys.stdin.read()
