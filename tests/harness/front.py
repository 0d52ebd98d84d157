"""A front of another panel that misbehaves like a scripted one: the panel behind it does the work."""
import http.client
import urllib.parse

from .panel import Panel

PASSED_ON = ("Idempotency-Key", "If-None-Match", "X-Report-Seq", "Content-Type", "Content-Encoding")


class Front(Panel):
    """`behind` is the address of the panel's endpoint; an answer that does not come is a 502 of ours."""

    def __init__(self, behind):
        self.behind = urllib.parse.urlsplit(behind)
        super().__init__()

    def answer(self, action, query, headers, body):
        path = self.behind.path + "?" + urllib.parse.urlencode(query, doseq=True)
        c = http.client.HTTPConnection(self.behind.hostname, self.behind.port, timeout=10)
        try:
            c.request("POST" if action in ("push", "alive") else "GET", path, body or None,
                      {k: headers[k] for k in PASSED_ON if headers.get(k)})
            r = c.getresponse()
            return r.status, {k: v for k, v in r.getheaders() if k in ("ETag", "Retry-After")}, r.read()
        except (OSError, http.client.HTTPException):
            return 502, {}, b"<html>no panel</html>"
        finally:
            c.close()
