# SPDX-License-Identifier: Apache-2.0
"""What really went over the wire between the client host and the internet.

    capture = scene.capture()            # from now on
    ...
    assert_no_clear_envelope(capture, domain.address(), b"the body")
    clear_text(capture, mx.addresses)    # what anybody on the way could read, as bytes
    capture.queries(name, "TLSA")        # the DNS questions that tlsmend asked: [Query]

The socket sees each packet on the client's side of the wire as it passes.  A packet that the kernel had
to drop for want of room fails the reading of the capture: "not seen" must mean "not sent".
"""

import dataclasses
import ipaddress
import re
import socket
import struct
import threading
import time

import dns.exception
import dns.message
import dns.name
import dns.rdatatype

from .process import wait_for

_ETH_P_ALL, _SOL_PACKET, _PACKET_STATISTICS, _SO_RCVBUFFORCE = 3, 263, 6, 33
_IPPROTO_TCP, _IPPROTO_UDP = 6, 17
_COMMAND = re.compile(rb"^(MAIL|RCPT|DATA|BDAT|XFORWARD|AUTH|VRFY)\b", re.I | re.M)


@dataclasses.dataclass
class Query:
    """One question of the client host, as it went to an authoritative server."""
    time: float
    name: str          # lower case, with the dot at its end
    rdtype: str
    server: str
    tcp: bool


@dataclasses.dataclass
class Flow:
    """One TCP connection of the client host."""
    client: tuple
    server: tuple      # (address, port)
    time: float        # of its SYN
    sent: bytes = b""      # by the client
    received: bytes = b""  # from the server
    gaps: bool = False     # bytes are missing

    def clear(self):
        """What the client sent outside of TLS records: all, up to STARTTLS when that was obeyed, and
        whatever stands behind the TLS records."""
        at = re.search(rb"^STARTTLS\r\n", self.sent, re.I | re.M)
        if at is None or not self._obeyed(at.start()):
            return self.sent
        return self.sent[:at.end()] + _beside_tls(self.sent[at.end():])

    def _obeyed(self, at):
        """Whether a TLS record follows; a client that goes on in clear after a refusal has none."""
        return self.sent[at + len(b"STARTTLS\r\n"):][:1] in (b"\x14", b"\x15", b"\x16", b"\x17")


def _beside_tls(data):
    """Bytes that are no part of well-formed TLS records."""
    at = 0
    while at + 5 <= len(data) and data[at] in (20, 21, 22, 23) and data[at + 1] == 3:
        at += 5 + struct.unpack_from("!H", data, at + 3)[0]
    return data[at:] if at < len(data) and data[at] not in (20, 21, 22, 23) else b""


class _Stream:
    """One direction: segments in the order of their sequence numbers."""

    def __init__(self):
        self.first, self.segments = None, {}

    def syn(self, sequence):
        self.first = (sequence + 1) & 0xffffffff

    def add(self, sequence, data):
        if data:
            if self.first is None:
                self.first = sequence
            at = (sequence - self.first) & 0xffffffff
            if at < 1 << 31 and len(data) > len(self.segments.get(at, b"")):
                self.segments[at] = data

    def text(self):
        """The bytes and whether there is a gap in them."""
        out, gap = bytearray(), False
        for at in sorted(self.segments):
            if at > len(out):
                gap = True
                out.extend(b"\0" * (at - len(out)))
            out.extend(self.segments[at][max(0, len(out) - at):])
        return bytes(out), gap


class Capture:
    """Started when it is made; ended with the test.  Reading does not end it."""

    def __init__(self, net, device="wire"):
        with net.client.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self._socket.bind((device, _ETH_P_ALL))
        self._socket.settimeout(0.1)
        self._net, self._lock, self._stopping = net, threading.Lock(), threading.Event()
        self._connections, self._datagrams, self._dropped, self._mark = [], [], 0, None
        self._live = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self):
        self._stopping.set()
        self._thread.join(5)
        self._socket.close()

    # -- reading ------------------------------------------------------------------------------

    def flows(self, port=25, addresses=None):
        """The connections to that port (and to these addresses), oldest first."""
        self._catch_up()
        with self._lock:
            found = [c for c in self._connections if c.server[1] == port
                     and (addresses is None or c.server[0] in addresses)]
            return [c.flow() for c in found]

    def queries(self, name=None, rdtype=None):
        """The DNS questions for that name and type, oldest first.  Asking under a minimised name
        (RFC 9156) is a question for another name and type."""
        self._catch_up()
        with self._lock:
            found = [(t, s, False, d) for t, s, d in self._datagrams]
            tcp = [c for c in self._connections if c.server[1] == 53]
        for c in tcp:
            data = c.flow().sent
            while len(data) >= 2:
                size = struct.unpack_from("!H", data)[0]
                found.append((c.time, c.server[0], True, data[2:2 + size]))
                data = data[2 + size:]
        wanted = name and name.rstrip(".").lower() + "."
        return [q for q in sorted(filter(None, (_query(*f) for f in found)), key=lambda q: q.time)
                if (wanted is None or q.name == wanted) and (rdtype is None or q.rdtype == rdtype)]

    def _catch_up(self):
        """Until what was sent before this call is read: a packet of our own is seen to pass."""
        with self._net.client.entered():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        mark = f"mark {id(s)} {time.monotonic()}".encode()
        with s:
            s.sendto(mark, ("192.0.2.1", 9))
        wait_for("the capture to catch up", lambda: self._mark == mark)
        self._dropped += struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
        if self._dropped:
            raise AssertionError(f"the capture has lost {self._dropped} packets")

    # -- the thread ---------------------------------------------------------------------------

    def _read(self):
        while not self._stopping.is_set():
            try:
                packet = self._socket.recv(1 << 17)
            except TimeoutError:
                continue
            except OSError:
                return
            with self._lock:
                self._packet(time.time(), packet)

    def _packet(self, when, packet):
        version = packet[0] >> 4 if packet else 0
        if version == 4:
            start, protocol = (packet[0] & 15) * 4, packet[9]
            source, target = packet[12:16], packet[16:20]
            packet = packet[:struct.unpack_from("!H", packet, 2)[0] or len(packet)]
        elif version == 6:
            start, protocol, source, target = 40, packet[6], packet[8:24], packet[24:40]
            packet = packet[:40 + struct.unpack_from("!H", packet, 4)[0]] if packet[4:6] != b"\0\0" else packet
        else:
            return
        if len(packet) < start + 8:
            return
        ports = struct.unpack_from("!HH", packet, start)
        if protocol == _IPPROTO_UDP:
            if ports[1] == 53:
                self._datagrams.append((when, _address(target), packet[start + 8:]))
            elif ports[1] == 9:
                self._mark = packet[start + 8:]
        elif protocol == _IPPROTO_TCP:
            self._segment(when, (_address(source), ports[0]), (_address(target), ports[1]), packet[start:])

    def _segment(self, when, source, target, segment):
        sequence, flags = struct.unpack_from("!I", segment, 4)[0], segment[13]
        syn, ack = flags & 2, flags & 16
        if syn and not ack:
            known = self._live.get((source, target))
            if known is None or known.first_sequence != sequence:
                self._live[source, target] = connection = _Connection(source, target, when, sequence)
                self._connections.append(connection)
            return
        for key, side in (((source, target), "out"), ((target, source), "back")):
            connection = self._live.get(key)
            if connection is not None:
                stream = getattr(connection, side)
                if syn:
                    stream.syn(sequence)
                else:
                    stream.add(sequence, segment[(segment[12] >> 4) * 4:])


class _Connection:
    def __init__(self, client, server, when, sequence):
        self.client, self.server, self.time, self.first_sequence = client, server, when, sequence
        self.out, self.back = _Stream(), _Stream()
        self.out.syn(sequence)

    def flow(self):
        (sent, gap), (received, other_gap) = self.out.text(), self.back.text()
        return Flow(self.client, self.server, self.time, sent, received, gap or other_gap)


def _address(packed):
    return str(ipaddress.ip_address(packed))


def _query(when, server, tcp, wire):
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
    except dns.exception.DNSException:
        return None
    if not message.question:
        return None
    asked = message.question[0]
    return Query(when, asked.name.to_text().lower(), dns.rdatatype.to_text(asked.rdtype), server, tcp)


# -- assertions -----------------------------------------------------------------------------------

def clear_text(capture, addresses, port=25):
    """What the client sent to that address (or these) outside of TLS, all connections together."""
    addresses = {addresses} if isinstance(addresses, str) else set(addresses)
    return b"".join(f.clear() for f in capture.flows(port, addresses))


def assert_no_clear_envelope(capture, *secrets, addresses=None):
    """No connection to port 25 showed MAIL, RCPT, DATA or any of the secrets (addresses, domains, parts
    of the body) outside of TLS, nor anywhere else on the wire as they are."""
    flows = capture.flows(25, addresses)
    assert flows, "no connection to port 25 was seen: nothing is proved"
    for flow in flows:
        assert not flow.gaps, f"bytes are missing from the capture of {flow.server}"
        found = _COMMAND.search(flow.clear())
        assert found is None, f"{found[0]} in clear to {flow.server[0]}: {flow.clear()[:500]}"
        for secret in secrets:
            secret = secret.encode() if isinstance(secret, str) else secret
            assert secret.lower() not in flow.sent.lower(), f"{secret} in clear to {flow.server[0]}"
