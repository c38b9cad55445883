# SPDX-License-Identifier: Apache-2.0
"""The conversation of a hostile MX: the actions of a script, and what a connection brought."""

import contextlib
import dataclasses
import select
import socket
import struct
import threading
import time

from . import hello, tlspeer


class _Sentinel(str):
    pass


CLOSE, RESET, NOTIFY = _Sentinel("CLOSE"), _Sentinel("RESET"), _Sentinel("NOTIFY")
TLS = _Sentinel("TLS")   # the honest handshake, as one of several in "handshake"


class Each:
    """Another action each time; the last one stays."""

    def __init__(self, *actions):
        self._actions = list(actions)
        self._lock = threading.Lock()

    def next(self):
        with self._lock:
            return self._actions.pop(0) if len(self._actions) > 1 else self._actions[0]


class WhenHello:
    """An action for "handshake" that looks at the ClientHello first.

        WhenHello(larger_than=1300, then=None)            silence to hellos of more bytes on the wire
        WhenHello(offers="1.3", then=RESET)               in supported_versions
        WhenHello(group="X25519MLKEM768", then=CLOSE)     in supported_groups
        WhenHello(connections=(1, 2), then=alert("internal_error"))   by number, from 1
        WhenHello(test=lambda hello: ..., then=...)

    All conditions that are given must hold, else `otherwise` is done: the honest handshake, or
    another WhenHello."""

    def __init__(self, *, then, otherwise=TLS, larger_than=None, offers=None, group=None,
                 connections=None, test=None):
        self.then, self.otherwise = then, otherwise
        self._connections = connections
        self._tests = [
            larger_than is None or (lambda h: h.size > larger_than),
            offers is None or (lambda h: offers in h.versions),
            group is None or (lambda h: group in h.groups),
            test or True]

    def choose(self, c):
        found = c.record.hello
        fits = all(t is True or (found is not None and t(found)) for t in self._tests)
        if self._connections is not None:
            fits = fits and c.record.number in self._connections
        return self.then if fits else self.otherwise


class Gone(Exception):
    """The connection is over."""


@dataclasses.dataclass
class Mail:
    """One transaction.  data: the bytes between 354 and the final dot, dot-stuffing undone."""
    sender: bytes
    in_tls: bool
    recipients: list = dataclasses.field(default_factory=list)
    data: bytes = b""
    complete: bool = False   # the final dot came


@dataclasses.dataclass
class Record:
    """Everything that one connection brought."""
    peer: tuple
    address: str             # ours
    number: int = 0          # of the connection at this server, from 1
    time: float = dataclasses.field(default_factory=time.time)   # when it was accepted
    clear: bytearray = dataclasses.field(default_factory=bytearray)
    inside: bytearray = dataclasses.field(default_factory=bytearray)
    commands: list = dataclasses.field(default_factory=list)   # (verb, line, in_tls)
    mails: list = dataclasses.field(default_factory=list)
    hello: object = None     # the ClientHello (lab/hello.py), also when it was never answered
    tls: dict = None         # version, cipher, sni, client_cert once the handshake is done
    error: str = ""
    open: bool = True

    def verbs(self, in_tls=None):
        return [v for v, _, t in self.commands if in_tls is None or t == in_tls]


class Connection:
    """A client's connection, as a script sees it.  `line` is the command being answered."""

    def __init__(self, mx, sock, record):
        self.mx, self.record, self.line = mx, record, b""
        self._sock, self._tls, self._buffer = sock, None, b""
        self._ahead = b""    # read from the wire to be looked at, and not taken yet
        self._said = b""     # in answer to the present command

    # -- bytes --------------------------------------------------------------------------------

    @property
    def in_tls(self):
        return self._tls is not None

    def raw_send(self, data):
        """Bytes on the wire, below TLS."""
        try:
            self._sock.sendall(data)
        except OSError as e:
            raise Gone(f"send: {e}") from None

    def raw_recv(self):
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        rate = self.mx.read_rate
        if rate:
            time.sleep(0.1)
        try:
            return self._sock.recv(max(1, rate // 10) if rate else 65536)
        except OSError as e:
            raise Gone(f"recv: {e}") from None

    def read_hello(self):
        """Until the ClientHello is there, which stays to be read by the handshake.  Something else
        than a hello, or the end in the middle of one, is left to the handshake as well."""
        data = b""
        try:
            while True:
                more = self.raw_recv()
                if not more and not data:
                    raise Gone("the client closed the connection")
                data += more
                try:
                    self.record.hello = hello.parse(data, time.time())
                    break
                except hello.Incomplete:
                    if not more:
                        break
        finally:
            self._ahead = data

    def send(self, data):
        """A str gets CRLF; bytes go as they are; inside TLS once that is up."""
        if isinstance(data, str):
            data = data.encode() + b"\r\n"
        self._said += data[:3]
        if self._tls:
            self._tls.send(data)
        else:
            self.raw_send(data)

    def recv(self):
        """Some bytes; Gone at the end."""
        data = self._tls.recv() if self._tls else self.raw_recv()
        if not data:
            raise Gone("the client closed the connection")
        (self.record.inside if self._tls else self.record.clear).extend(data)
        return data

    def read_line(self):
        while b"\r\n" not in self._buffer:
            self._buffer += self.recv()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def read_until_closed(self):
        with contextlib.suppress(Gone):
            while True:
                self.recv()
        raise Gone("the client closed the connection")

    def left(self):
        """Whether the client has closed or reset it, however much is still to be read."""
        poll = select.poll()
        poll.register(self._sock, select.POLLRDHUP)
        return bool(poll.poll(0))

    def flood(self, data, seconds):
        """Write and never read."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.send(data)

    # -- TLS and the end ----------------------------------------------------------------------

    def start_tls(self, **options):
        """The handshake; options as for tlspeer.context()."""
        peer = tlspeer.TlsPeer(self.mx.context(**options), self.raw_recv, self.raw_send)
        peer.handshake()
        self._tls, self._buffer = peer, b""
        self.record.tls = peer.facts()

    def close(self, notify=False):
        if notify and self._tls:
            self._tls.close_notify()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        raise Gone("closed by the script")

    def reset(self):
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
        raise Gone("reset by the script")

    # -- actions ------------------------------------------------------------------------------

    def act(self, action):
        while isinstance(action, (Each, WhenHello)):
            action = action.next() if isinstance(action, Each) else action.choose(self)
        if callable(action):
            result = action(self)
            if result is not None:
                self.act(result)
        elif action is None:
            self.read_until_closed()
        elif action is CLOSE or action is NOTIFY:
            self.close(notify=action is NOTIFY)
        elif action is RESET:
            self.reset()
        elif action is TLS:
            self.start_tls()
        elif isinstance(action, (int, float)):
            self.mx.sleep(action)
        elif isinstance(action, (list, tuple)):
            for one in action:
                self.act(one)
        else:
            self.send(action)

    # -- the honest conversation --------------------------------------------------------------

    def answer(self, phase, honest):
        """Act; the reply code that the client has heard first."""
        self._said = b""
        self.act(self.mx.replies.get(phase, honest))
        return self._said[:3].decode("latin-1")

    def converse(self):
        self.answer("greeting", f"220 {self.mx.name} ESMTP lab")
        while True:
            self.line = self.read_line()
            verb = self.line.split(b" ", 1)[0].split(b":", 1)[0].upper().decode("latin-1")
            self.record.commands.append((verb, self.line, self.in_tls))
            handler = getattr(self, "_on_" + verb.lower(), None)
            if handler is None:
                self.answer("other", "502 5.5.1 not here")
            else:
                handler()

    def _on_ehlo(self):
        caps = [c for c in self.mx.capabilities if c != "STARTTLS" or (self.mx.chain and not self.in_tls)]
        lines = [self.mx.name, *caps]
        honest = "\r\n".join(f"250{' ' if i == len(lines) - 1 else '-'}{c}" for i, c in enumerate(lines))
        self.answer("ehlo-tls" if self.in_tls and "ehlo-tls" in self.mx.replies else "ehlo", honest)

    def _on_helo(self):
        self.answer("helo", f"250 {self.mx.name}")

    def _on_starttls(self):
        if self.answer("starttls", "220 2.0.0 go ahead") != "220":
            return
        self.read_hello()
        self.act(self.mx.replies.get("handshake", TLS))
        if "after-handshake" in self.mx.replies:
            self.act(self.mx.replies["after-handshake"])

    def _on_mail(self):
        if self.answer("mail", "250 2.1.0 ok").startswith("2"):
            self.record.mails.append(Mail(self.line[10:], self.in_tls))

    def _on_rcpt(self):
        if self.answer("rcpt", "250 2.1.5 ok").startswith("2") and self.record.mails:
            self.record.mails[-1].recipients.append(self.line[8:])

    def _on_data(self):
        honest = "354 go on" if self.record.mails and self.record.mails[-1].recipients \
            else "503 5.5.1 no recipients"
        if self.answer("data", honest) != "354":
            return
        mail = self.record.mails[-1] if self.record.mails else Mail(b"", self.in_tls)
        self._read_message(mail)
        self.answer("final", "250 2.0.0 taken")

    def _read_message(self, mail):
        wire, body = bytearray(self._buffer), "body" in self.mx.replies
        self._buffer = b""
        try:
            while (end := _end_of_data(wire)) < 0:
                if body and wire:
                    body = False
                    self.act(self.mx.replies["body"])
                wire += self.recv()
        except Gone:
            mail.data = bytes(wire)
            raise
        self._buffer = bytes(wire[end + 3:])
        mail.data = bytes(wire[:end]).replace(b"\r\n.", b"\r\n")
        mail.data = mail.data[1:] if mail.data.startswith(b".") else mail.data
        mail.complete = True

    def _on_rset(self):
        self.answer("rset", "250 2.0.0 ok")

    def _on_noop(self):
        self.answer("noop", "250 2.0.0 ok")

    def _on_quit(self):
        self.answer("quit", "221 2.0.0 bye")
        self.close(notify=True)


def _end_of_data(wire):
    """Where the line with the lone dot begins; -1: not yet there."""
    if wire.startswith(b".\r\n"):
        return 0
    at = wire.find(b"\r\n.\r\n", max(0, len(wire) - 70000))
    return at + 2 if at >= 0 else -1
