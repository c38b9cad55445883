# SPDX-License-Identifier: Apache-2.0
"""A scripted HTTPS server, for what nginx would never do.  The actions are those of lab/hostile.py.

Phases: connect (before the hello is read), handshake, response.  The honest response is the policy.

    head = http_head(length=100)
    replies={"response": [head, None]}                       # stalls after the header
    replies={"response": drip(http_answer(b"..."), 0.2)}     # a byte each 0.2 s
    replies={"response": [http_answer(b"...", length=500), CLOSE]}   # cut: fewer bytes than announced
    replies={"response": lambda c: c.flood(b"X-More: and more\\r\\n", 30)}
    replies={"handshake": None}                              # stalls in the handshake
"""

import dataclasses
import time

from .hostile import TLS, HostileMx
from .process import wait_for


@dataclasses.dataclass
class ScriptedRequest:
    time: float        # when it was complete (time.time())
    method: str
    path: str
    host: str
    headers: dict      # names in lower case
    raw: bytes


def http_head(status="200 OK", kind="text/plain", length=None, headers=(), version="HTTP/1.1"):
    """Status line and header with the empty line.  kind None: no Content-Type; headers: more lines."""
    lines = [f"{version} {status}"]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


def http_answer(body, *, length=True, **head):
    """A whole answer.  length: True: the right Content-Length; False: none; a number: that one."""
    size = len(body) if length is True else None if length is False else length
    return http_head(length=size, **head) + body


def http_chunked(body, size=7, end=True, **head):
    """A whole answer in chunks of that size; end=False: without the last chunk."""
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    return http_head(headers=["Transfer-Encoding: chunked"], **head) + out + (b"0\r\n\r\n" if end else b"")


def drip(data, delay, size=1):
    """An action: so many bytes, a wait, the next ones."""
    return [step for i in range(0, len(data), size) for step in (data[i:i + size], delay)]


class ScriptedHttps(HostileMx):
    """On port 443 of an address pair of its own, or where it is told."""

    def __init__(self, net, *, chain, policy=lambda: b"", **options):
        self.policy, self.requests = policy, []
        options.setdefault("port", 443)
        super().__init__(net, chain=chain, behave=_converse, **options)

    def wait_requests(self, count, timeout=10):
        wait_for(lambda: f"{count} requests; there are {self.requests}; {self.records}",
                 lambda: len(self.requests) >= count, timeout)
        return self.requests

    @property
    def connections(self):
        """When each connection came."""
        return [r.time for r in list(self.records)]


def _converse(c):
    c.answer("connect", [])
    c.read_hello()
    c.act(c.mx.replies.get("handshake", TLS))
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += c.recv()
    lines = raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, path = (lines[0].split(" ") + ["", ""])[:2]
    headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
    c.mx.requests.append(ScriptedRequest(time.time(), method, path, headers.get("host", ""), headers, raw))
    c.answer("response", lambda _: http_answer(c.mx.policy(), headers=["Connection: close"]))
    c.close(notify=True)
