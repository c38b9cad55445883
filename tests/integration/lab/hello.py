# SPDX-License-Identifier: Apache-2.0
"""What a ClientHello says (RFC 8446 4.1.2), and the alerts that answer one."""

import dataclasses
import struct

VERSIONS = {0x0300: "SSL3", 0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
GROUPS = {23: "P-256", 24: "P-384", 25: "P-521", 29: "X25519", 30: "X448", 0x11ec: "X25519MLKEM768",
          0x6399: "X25519Kyber768"}
_ALERTS = {"close_notify": 0, "unexpected_message": 10, "bad_record_mac": 20, "handshake_failure": 40,
           "bad_certificate": 42, "illegal_parameter": 47, "unknown_ca": 48, "decode_error": 50,
           "decrypt_error": 51, "protocol_version": 70, "insufficient_security": 71,
           "internal_error": 80, "inappropriate_fallback": 86, "missing_extension": 109,
           "unsupported_extension": 110, "unrecognized_name": 112, "no_application_protocol": 120}
_SNI, _GROUPS, _ALPN, _TICKET, _SESSIONS, _VERSIONS, _KEY_SHARES = 0, 10, 16, 35, 41, 43, 51


def alert(name, fatal=True):
    """The record of that alert, in clear: alert("handshake_failure")."""
    return b"\x15\x03\x03\x00\x02" + bytes([2 if fatal else 1, _ALERTS[name]])


@dataclasses.dataclass
class ClientHello:
    """GREASE values (RFC 8701) are left out everywhere."""
    size: int                # bytes on the wire, with the record's head
    time: float              # when it was complete (time.time())
    legacy_version: str
    versions: list           # those offered: "1.2", "1.3"
    ciphers: list            # numbers
    sni: str = None
    groups: list = dataclasses.field(default_factory=list)       # names, or numbers that have none here
    key_shares: list = dataclasses.field(default_factory=list)   # the same
    alpn: list = dataclasses.field(default_factory=list)
    extensions: list = dataclasses.field(default_factory=list)   # numbers, in order
    ticket: bytes = b""      # of the session that it offers to go on with (TLS 1.3: the first of them)


class Incomplete(Exception):
    """More bytes are needed."""


def parse(data, when):
    """The ClientHello at the beginning of these bytes; None when it is something else."""
    if data[:1] not in (b"", b"\x16"):
        return None
    message, size = _message(data)
    if message[0] != 1:
        return None
    try:
        return _fields(_Reader(message[4:]), size, when)
    except (IndexError, struct.error):
        return None


def _message(data):
    """The first handshake message, out of as many records as it takes, and its size on the wire."""
    message, at = b"", 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        if len(data) < at + 5:
            raise Incomplete
        length = struct.unpack_from("!H", data, at + 3)[0]
        if len(data) < at + 5 + length:
            raise Incomplete
        message += data[at + 5:at + 5 + length]
        at += 5 + length
    return message, at


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise IndexError
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), "big")

    def vector(self, n):
        """The bytes behind a length of n bytes."""
        return self.take(self.number(n))

    def left(self):
        return len(self.data) - self.at


def _pairs(data):
    numbers = struct.unpack(f"!{len(data) // 2}H", data[:len(data) // 2 * 2])
    return [n for n in numbers if n & 0x0f0f != 0x0a0a or n >> 8 != n & 0xff]


def _named(numbers, names):
    return [names.get(n, n) for n in numbers]


def _fields(r, size, when):
    legacy = VERSIONS.get(r.number(2), "?")
    r.take(32)
    r.vector(1)
    hello = ClientHello(size, when, legacy, [legacy], _pairs(r.vector(2)))
    r.vector(1)
    extensions = _Reader(r.vector(2) if r.left() else b"")
    while extensions.left():
        kind, body = extensions.number(2), _Reader(extensions.vector(2))
        hello.extensions += _pairs(struct.pack("!H", kind))
        if kind == _SNI and body.left():
            names = _Reader(body.vector(2))
            names.take(1)
            hello.sni = names.vector(2).decode("latin-1")
        elif kind == _GROUPS:
            hello.groups = _named(_pairs(body.vector(2)), GROUPS)
        elif kind == _TICKET:
            hello.ticket = hello.ticket or body.data
        elif kind == _SESSIONS:
            hello.ticket = _Reader(body.vector(2)).vector(2)
        elif kind == _VERSIONS:
            hello.versions = _named(_pairs(body.vector(1)), VERSIONS)
        elif kind == _ALPN:
            names = _Reader(body.vector(2))
            while names.left():
                hello.alpn.append(names.vector(1).decode("latin-1"))
        elif kind == _KEY_SHARES:
            shares = _Reader(body.vector(2))
            while shares.left():
                group = _pairs(shares.take(2))
                shares.vector(2)
                hello.key_shares += _named(group, GROUPS)
    return hello
