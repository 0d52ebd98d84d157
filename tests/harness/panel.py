"""A panel whose behaviour is scripted: the reference dialect, and everything real panels get wrong.

    panel = Panel(); node = panel.add_node(7, token="t", config={...}, users=[...])
    panel.behave("push", drop_after_apply, times=1)     the next push is applied, then the connection dies

It keeps two sums a user: `total` honours Idempotency-Key (each batch once), `raw` adds every delivery.
"""
import collections
import hashlib
import json
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import ports, wait


# -- behaviours: called with (handler, answer); answer() does the work and returns (status, headers, body)

def normal(handler, answer):
    handler.reply(*answer())


def status(code, body=b'{"message":"scripted"}', headers=()):
    def act(handler, _answer):
        handler.reply(code, dict(headers), body)
    return act


def html(handler, _answer):
    handler.reply(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html><body>Please log in</body></html>")


def half(handler, answer):
    """Announces the whole body, sends half of it, closes."""
    code, headers, body = answer()
    handler.head(code, headers, len(body))
    handler.wfile.write(body[:len(body) // 2])
    handler.cut()


def half_unapplied(handler, _answer):
    handler.head(200, {}, 1000)
    handler.wfile.write(b'{"mess')
    handler.cut()


def drop_before(handler, _answer):
    """Reads the request and closes without doing anything."""
    handler.cut()


def drop_after_apply(handler, answer):
    """Does the work and closes without an answer: the node cannot know."""
    answer()
    handler.cut()


def too_large(handler, answer):
    """A limit in front of the panel. What it has let through once it lets through again."""
    if handler.headers.get("Idempotency-Key") in handler.server.panel.let_through:
        handler.reply(*answer())
    else:
        handler.reply(413, {}, b'{"message":"scripted"}')


def slow(release, applied=True):
    """Answers only when the event `release` is set (or the client has gone away)."""
    def act(handler, answer):
        result = answer() if applied else None
        handler.server.panel.wait_released(release)
        handler.reply(*(result or answer()))
    return act


class NodeEntry:
    def __init__(self, token, config, users):
        self.token, self.config, self.users = token, config, users
        self.enabled = True


class Panel:
    def __init__(self, port=0, host="127.0.0.1"):
        self.nodes = {}
        self.alive = {}                  # what action=alivelist answers
        self.total = {}                  # user -> [up, down], every batch once
        self.raw = {}                    # user -> [up, down], every delivery
        self.batches = {}                # Idempotency-Key -> body
        self.conflicts = []              # keys that came with two different bodies
        self.repeated = collections.Counter()       # node id -> batches that came when they were booked already
        self.let_through = set()         # keys of all pushes that were not told to be too large
        self.missing_keys = 0
        self.online = {}                 # node id -> last body of action=alive
        self.onlines = []                # all of them, of any node
        self.requests = []               # (action, node id, headers, status answered, time of the answer)
        self._script = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._server = None
        # No port that an outgoing connection of anybody may have while the panel is away.
        self.host, self.port = host, port or ports.free_port()
        self.away = False                # a note of whoever closes and opens it
        self.open()

    # -- reachability

    def open(self):
        """Starts to listen (again on the same port)."""
        self._closing.clear()
        self._server = _Server((self.host, self.port), _Handler)
        self._server.panel = self
        self.port = self._server.server_address[1]
        self.url = f"http://{self.host}:{self.port}/api"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        """Connections are refused from now on; those that are open end."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_all()

    def wait_released(self, event):
        while not event.wait(0.05) and not self._closing.is_set():
            pass

    # -- content

    def add_node(self, node_id, token, config, users):
        """users: [{"id":…, "uuid":…, …}]"""
        self.nodes[node_id] = NodeEntry(token, config, users)
        return self.nodes[node_id]

    def set_users(self, node_id, users):
        with self._lock:
            self.nodes[node_id].users = users

    def behave(self, action, behaviour, times=None):
        """Scripts the next `times` calls of an action, or all of them until further notice."""
        with self._lock:
            if times is None:
                self._script[action] = [(behaviour, None)]
            else:
                self._script.setdefault(action, []).append((behaviour, times))

    def behave_normally(self):
        with self._lock:
            self._script.clear()

    def _next_behaviour(self, action):
        with self._lock:
            queue = self._script.get(action)
            if not queue:
                return normal
            behaviour, left = queue[0]
            if left is not None:
                if left == 1:
                    queue.pop(0)
                else:
                    queue[0] = (behaviour, left - 1)
            return behaviour

    # -- observation

    def count(self, action, code=None):
        with self._lock:
            return sum(1 for r in self.requests if r[0] == action and code in (None, r[3]))

    def last(self, action, code=None):
        """The newest entry of `requests` for this action."""
        with self._lock:
            return next(r for r in reversed(self.requests) if r[0] == action and code in (None, r[3]))

    def wait_calls(self, action, more=1, timeout=20, code=None):
        """Waits for `more` further calls of the action to be answered."""
        goal = self.count(action, code) + more
        wait.until(lambda: self.count(action, code) >= goal, timeout,
                   lambda: f"{more} more {action} calls; seen {[(r[0], r[3]) for r in self.requests[-8:]]}")

    def sum(self, user, ledger=None):
        with self._lock:
            return tuple((self.total if ledger is None else ledger).get(user, (0, 0)))

    def wait_sum(self, user, up, down, timeout=30):
        """Waits until the user's deduplicated sums reach these, and checks that they are not exceeded."""
        wait.until(lambda: self.sum(user)[0] >= up and self.sum(user)[1] >= down, timeout,
                   lambda: f"sums of user {user} to be {(up, down)}, are {self.sum(user)}")
        assert self.sum(user) == (up, down), f"user {user}: {self.sum(user)} instead of {(up, down)}"
        assert not self.conflicts, f"one key, two bodies: {self.conflicts}"

    # -- the five actions; return (status, headers, body)

    def answer(self, action, query, headers, body):
        node_id = int((query.get("node_id") or ["0"])[0])
        node = self.nodes.get(node_id)
        if node is None:
            return 404, {}, b'{"message":"unknown node"}'
        if (query.get("token") or [""])[0] != node.token:
            return 401, {}, b'{"message":"invalid token"}'
        if not node.enabled:
            return 403, {}, b'{"message":"node is disabled"}'
        if action == "config":
            return self._tagged(node.config, headers)
        if action == "user":
            return self._tagged({"users": node.users}, headers)
        if action == "alivelist":
            return 200, {}, json.dumps({"alive": self.alive}).encode()
        if action == "push":
            self._push(node_id, headers.get("Idempotency-Key"), json.loads(body))
            return 200, {}, b'{"message":"ok"}'
        if action == "alive":
            self.online[node_id] = json.loads(body)
            self.onlines.append(self.online[node_id])
            return 200, {}, b'{"message":"ok"}'
        return 400, {}, b'{"message":"unknown action"}'

    def _tagged(self, value, headers):
        body = json.dumps(value).encode()
        etag = '"' + hashlib.sha1(body).hexdigest() + '"'
        if headers.get("If-None-Match") == etag:
            return 304, {"ETag": etag}, b""
        return 200, {"ETag": etag}, body

    def _push(self, node_id, key, traffic):
        with self._lock:
            self._add(self.raw, traffic)
            if not key:
                self.missing_keys += 1
            elif key in self.batches:
                self.repeated[node_id] += 1
                if self.batches[key] != traffic:
                    self.conflicts.append(key)
                return
            else:
                self.batches[key] = traffic
            self._add(self.total, traffic)

    @staticmethod
    def _add(ledger, traffic):
        for user, (up, down) in traffic.items():
            old = ledger.get(int(user), (0, 0))
            ledger[int(user)] = (old[0] + up, old[1] + down)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, *args):
        self.open_sockets = set()
        super().__init__(*args)

    def process_request(self, request, client_address):
        self.open_sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.open_sockets.discard(request)
        super().shutdown_request(request)

    def cut_all(self):
        for s in list(self.open_sockets):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request, client_address):
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def _serve(self, body):
        panel = self.server.panel
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        action = (query.get("action") or [""])[0]
        node_id = int((query.get("node_id") or ["0"])[0])
        entry = [action, node_id, dict(self.headers), None, 0.0]
        self.sent_status = None
        try:
            behaviour = panel._next_behaviour(action)
            if behaviour is not too_large:
                panel.let_through.add(self.headers.get("Idempotency-Key"))
            behaviour(self, lambda: panel.answer(action, query, self.headers, body))
        finally:
            entry[3], entry[4] = self.sent_status, time.monotonic()
            with panel._lock:
                panel.requests.append(tuple(entry))

    def do_GET(self):
        self._serve(b"")

    def do_POST(self):
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def head(self, code, headers, length):
        self.sent_status = code
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if code != 304:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def reply(self, code, headers, body):
        self.head(code, {"Content-Type": "application/json", **headers}, len(body))
        self.wfile.write(body)
        self.wfile.flush()

    def cut(self):
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.close_connection = True
