# SPDX-License-Identifier: Apache-2.0
"""A scripted name server for zones that Knot would refuse to serve, or would serve too well.

    crafted.example        signed, right in every answer until a fault is set
    stale.example          signed, every signature has expired
    craftedplain.example   not signed

    domain = scene.domain(zone="crafted")
    domain.fault("TLSA", "servfail", host=mx.host)
    domain.fault("A", "badsig", label="mx")

Faults: servfail refused formerr notimp drop (no answer) badsig expired not-yet-valid unsigned (without
signature, also for absence) truncated (TC over UDP), a number (seconds of delay), f(query, answer) -> an
answer or None (no answer), or None: right again.  The type "ANY" stands for all types of a name.

Every name that has no records is answered with a signed NODATA for this name alone (RFC 9824), never with
NXDOMAIN, so what one name lacks is never proved for another.
"""

import contextlib
import datetime
import socket
import struct
import threading
import time

import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec

IP4, IP6 = "203.0.113.249", "2001:db8:1::54"
SIGNED, UNSIGNED = ("crafted.example.", "stale.example."), ("craftedplain.example.",)
_TTL = 60
_IN = dns.rdataclass.IN
_CODES = {"servfail": dns.rcode.SERVFAIL, "refused": dns.rcode.REFUSED, "formerr": dns.rcode.FORMERR,
          "notimp": dns.rcode.NOTIMP}
# Inception and expiration, in days from now; unbound allows signatures a day of skew.
_DAYS = {"expired": (-40, -10), "not-yet-valid": (10, 40)}
_FAULTS = (*_CODES, *_DAYS, "drop", "badsig", "unsigned", "truncated")


def make_rdata(rdtype, value):
    """From text, or from bytes as they go over the wire, which may be malformed."""
    rdtype = dns.rdatatype.from_text(rdtype) if isinstance(rdtype, str) else rdtype
    if isinstance(value, bytes):
        return dns.rdata.GenericRdata(_IN, rdtype, value)
    return dns.rdata.from_text(_IN, rdtype, value)


class Crafted:
    """The server, in the internet namespace; started when it is made."""

    def __init__(self, net):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._dnskey = dns.dnssec.make_dnskey(self._key.public_key(), "ECDSAP256SHA256", flags=257)
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._records, self._faults = {}, {}   # name -> {type: (ttl, [rdata])}; (name, type) -> fault
        self._zones = [dns.name.from_text(z) for z in SIGNED + UNSIGNED]
        self._unsigned = {dns.name.from_text(z) for z in UNSIGNED}
        self._stale = dns.name.from_text("stale.example.")
        self.queries = []   # (time, name, type, tcp), as they came
        for zone in self._zones:
            self.add(zone, "SOA", "ns.crafted.example. hostmaster.example. 1 3600 600 604800 1")
            self.add(zone, "NS", "ns.crafted.example.")
            if zone not in self._unsigned:
                self.add(zone, "DNSKEY", self._dnskey.to_text())
        self.add("ns.crafted.example", "A", IP4)
        self.add("ns.crafted.example", "AAAA", IP6)
        self._sockets, self._threads = [], []
        for address in (IP4, IP6):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with net.internet.entered():
                udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.bind((address, 53))
            self._run(self._serve_udp, udp)
            self._run(self._serve_tcp, net.internet.listen(address, 53))

    def _run(self, function, sock):
        sock.settimeout(0.2)
        self._sockets.append(sock)
        thread = threading.Thread(target=function, args=(sock,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)
        for sock in self._sockets:
            sock.close()

    def ds(self):
        """(zone, DS) for the parent."""
        return [(z, dns.dnssec.make_ds(dns.name.from_text(z), self._dnskey, "SHA256").to_text())
                for z in SIGNED]

    # -- records ------------------------------------------------------------------------------

    def add(self, name, rdtype, *rdata, ttl=_TTL):
        self.update([("add", name, rdtype, r) for r in rdata], ttl)

    def remove(self, name, rdtype=None):
        self.update([("delete", name, rdtype, None)])

    def update(self, changes, ttl=_TTL):
        """As Knot.update()."""
        with self._lock:
            for verb, name, rdtype, value in changes:
                name = _name(name)
                node = self._records.setdefault(name, {})
                rdtype = rdtype and dns.rdatatype.from_text(rdtype)
                if verb == "add":
                    node[rdtype] = (ttl, node.get(rdtype, (0, []))[1] + [make_rdata(rdtype, value)])
                elif rdtype:
                    node.pop(rdtype, None)
                else:
                    node.clear()

    def fault(self, name, rdtype, how):
        if isinstance(how, str) and how not in _FAULTS:
            raise ValueError(f"no fault {how!r}; there are {', '.join(_FAULTS)}")
        with self._lock:
            self._faults[_name(name), dns.rdatatype.from_text(rdtype)] = how

    def count(self, name, rdtype):
        """How often this was asked, over UDP and TCP."""
        name, rdtype = _name(name), dns.rdatatype.from_text(rdtype)
        with self._lock:
            return sum(q[1:3] == (name, rdtype) for q in self.queries)

    # -- answers ------------------------------------------------------------------------------

    def _answer(self, wire, tcp):
        """(delay, wire), or None for silence."""
        try:
            query = dns.message.from_wire(wire, ignore_trailing=True)
            asked = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return None
        name = _name(asked.name)
        with self._lock:
            self.queries.append((time.time(), name, asked.rdtype, tcp))
            fault = self._faults.get((name, asked.rdtype), self._faults.get((name, dns.rdatatype.ANY)))
            answer = self._make(query, name, asked.rdtype, fault)
        if callable(fault):
            answer = fault(query, answer)
        if answer is None or fault == "drop":
            return None
        out = answer.to_wire(max_size=65535)
        if not tcp and (fault == "truncated" or len(out) > max(512, query.payload)):
            answer.answer, answer.authority = [], []
            answer.flags |= dns.flags.TC
            out = answer.to_wire()
        return (fault if isinstance(fault, (int, float)) else 0), out

    def _make(self, query, name, rdtype, fault):
        answer = dns.message.make_response(query)
        zone = max((z for z in self._zones if name.is_subdomain(z)), key=len, default=None)
        if zone is None or fault in _CODES:
            answer.set_rcode(_CODES.get(fault, dns.rcode.REFUSED))
            return answer
        answer.flags |= dns.flags.AA
        sign = query.ednsflags & dns.flags.DO and zone not in self._unsigned
        node = {t: r for t, r in self._records.get(name, {}).items() if r[1]}
        found = rdtype if rdtype in node else dns.rdatatype.CNAME
        if found in node:
            sets = [(answer.answer, dns.rrset.from_rdata_list(name, *node[found]))]
        else:
            soa = dns.rrset.from_rdata_list(zone, 1, self._records[zone][dns.rdatatype.SOA][1])
            types = " ".join(sorted(map(dns.rdatatype.to_text, node)))
            nsec = dns.rrset.from_text(name, 1, _IN, "NSEC", rf"\000.{name} {types} RRSIG NSEC")
            sets = [(answer.authority, soa)] + ([(answer.authority, nsec)] if sign else [])
            if zone in self._unsigned and not any(n.is_subdomain(name) for n in self._records):
                answer.set_rcode(dns.rcode.NXDOMAIN)
        for section, rrset in sets:
            section.append(rrset)
            if sign and fault != "unsigned":
                section.append(self._signature(rrset, zone, "expired" if zone == self._stale else fault))
        return answer

    def _signature(self, rrset, zone, fault):
        start, end = _DAYS.get(fault if isinstance(fault, str) else None, (-1, 1000))
        now = datetime.datetime.now(datetime.timezone.utc)
        rrsig = dns.dnssec.sign(rrset, self._key, zone, self._dnskey,
                                inception=now + datetime.timedelta(days=start),
                                expiration=now + datetime.timedelta(days=end))
        if fault == "badsig":
            rrsig = rrsig.replace(signature=bytes([rrsig.signature[0] ^ 1]) + rrsig.signature[1:])
        return dns.rrset.from_rdata(rrset.name, rrset.ttl, rrsig)

    # -- sockets ------------------------------------------------------------------------------

    def _serve_udp(self, sock):
        while not self._stopping.is_set():
            try:
                wire, peer = sock.recvfrom(65535)
            except OSError:
                continue
            made = self._answer(wire, tcp=False)
            if made is not None and made[0]:
                timer = threading.Timer(made[0], _send_late, (sock, made[1], peer))
                timer.daemon = True
                timer.start()
            elif made is not None:
                _send_late(sock, made[1], peer)

    def _serve_tcp(self, listener):
        while not self._stopping.is_set():
            with contextlib.suppress(OSError):
                sock, _ = listener.accept()
                threading.Thread(target=self._converse, args=(sock,), daemon=True).start()

    def _converse(self, sock):
        with sock, sock.makefile("rb") as f, contextlib.suppress(OSError):
            sock.settimeout(30)
            while len(head := f.read(2)) == 2:
                made = self._answer(f.read(struct.unpack("!H", head)[0]), tcp=True)
                if made is None:
                    self._stopping.wait(30)
                    return
                self._stopping.wait(made[0])
                sock.sendall(struct.pack("!H", len(made[1])) + made[1])


def _send_late(sock, wire, peer):
    with contextlib.suppress(OSError):   # the server may have ended
        sock.sendto(wire, peer)


def _name(name):
    name = dns.name.from_text(name) if isinstance(name, str) else name
    return dns.name.Name(label.lower() for label in name.labels)
