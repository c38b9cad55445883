# SPDX-License-Identifier: Apache-2.0
"""The lab's DNS: a real Knot with a signed root of its own, changed by dynamic update.

    .                  signed; its key is the trust anchor that tlsmend is given
    example            signed
    signed.example     signed: answers below it are secure
    plain.example      not signed: answers below it are insecure
    bogus.example      a DS in the parent, no signature in the zone: everything is bogus
    tampered.example   signed; good.* is right, badsig.* has a damaged signature, expired.* an old one
    servfail.example   the server answers SERVFAIL
    hole.example       delegated to a server that never answers
"""

import dataclasses
import datetime
import hashlib
import itertools
import socket
import struct

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.update
from cryptography.hazmat.primitives.asymmetric import ec

from .netns import BLACK_HOLE_IP4, BLACK_HOLE_IP6, DNS_IP4, DNS_IP6
from .process import Process, wait_for
from .sts import Sts
from .tree import CACHE

TTL = 60
_SOA = "ns.example. hostmaster.example. 1 3600 600 604800 1"
_SIGNED = (".", "example.", "signed.example.")
_UNSIGNED = ("plain.example.", "bogus.example.")
_CONTROL = "127.0.0.1"


class Domain:
    """A recipient domain of one test, with its own name, so that no cache of another test matters."""

    def __init__(self, server, name):
        self._server, self.name = server, name
        self.scene = None   # whose it is; policy hosts are made there

    def __str__(self):
        return self.name

    def address(self, user="user"):
        return f"{user}@{self.name}"

    def host(self, label, *addresses):
        """A host below the domain with these addresses; the host's full name."""
        name = f"{label}.{self.name}"
        self.add_addresses(name, addresses)
        return name

    def add_addresses(self, name, addresses):
        self._server.update([("add", name, "AAAA" if ":" in a else "A", a) for a in addresses])

    def mx(self, host, preference=10):
        self.add("MX", f"{preference} {host}.")

    def null_mx(self):
        self.add("MX", "0 .")

    def tlsa(self, host, usage, selector, matching, data, port=25):
        """A TLSA record; data: DER bytes of certificate or key, digested as `matching` says."""
        data = {0: lambda d: d, 1: lambda d: hashlib.sha256(d).digest(),
                2: lambda d: hashlib.sha512(d).digest()}[matching](data)
        self._server.add(f"_{port}._tcp.{host}", "TLSA", f"{usage} {selector} {matching} {data.hex()}")

    def sts(self, **options):
        """An MTA-STS policy with all that belongs to it (lab/sts.py)."""
        return Sts(self.scene, self, **options)

    def add(self, rdtype, *rdata, label=None, ttl=TTL):
        """Records at the domain itself, or at label.domain."""
        self._server.add(f"{label}.{self.name}" if label else self.name, rdtype, *rdata, ttl=ttl)

    def remove(self, rdtype=None, label=None):
        self._server.remove(f"{label}.{self.name}" if label else self.name, rdtype)


@dataclasses.dataclass
class Answer:
    rcode: str
    records: list
    aa: bool


class Knot:
    """The authoritative server of everything, in the internet namespace, at DNS_IP4 and DNS_IP6."""

    address, address6 = DNS_IP4, DNS_IP6

    def __init__(self, net, directory):
        self._ns, self.directory = net.internet, directory
        self.trust_anchor = directory / "root.key"
        self._serial = itertools.count(1)
        self._zones = [dns.name.from_text(z) for z in _SIGNED + _UNSIGNED]
        self._process = None
        directory.mkdir()

    # -- life ---------------------------------------------------------------------------------

    def start(self):
        for zone in _SIGNED + _UNSIGNED:
            self._zone_file(zone).write_text(_zone_text(zone), encoding="ascii")
        tampered_ds = self._write_tampered()
        (self.directory / "knot.conf").write_text(self._config(), encoding="ascii")
        self._process = Process(
            "knotd", [str(CACHE / "knot/usr/sbin/knotd"), "-c", str(self.directory / "knot.conf")],
            self.directory / "knot.log", ns=self._ns)
        wait_for(lambda: "Knot to serve its zones\n" + self._process.tail(), self._ready, 20)
        self.trust_anchor.write_text(
            "".join(f". IN DNSKEY {k}\n" for k in self.query(".", "DNSKEY").records), encoding="ascii")
        self._delegate("example.", *self._ds_of("example."))
        self._delegate("signed.example.", *self._ds_of("signed.example."))
        self._delegate("bogus.example.", "12345 13 2 " + "ab" * 32)
        self._delegate("tampered.example.", tampered_ds)

    def stop(self):
        if self._process is not None:
            self._process.stop()

    def log_tail(self):
        return self._process.tail() if self._process else ""

    def _ready(self):
        try:
            return all(self.query(z, "DNSKEY", timeout=1).records for z in _SIGNED)
        except (OSError, EOFError):
            if not self._process.running():
                raise AssertionError("knotd ended early:\n" + self._process.tail()) from None
            return False

    # -- records ------------------------------------------------------------------------------

    def domain(self, signed=False, label="d"):
        """A fresh recipient domain without any record."""
        parent = "signed.example" if signed else "plain.example"
        return Domain(self, f"{label}{next(self._serial)}.{parent}")

    def add(self, name, rdtype, *rdata, ttl=TTL):
        self.update([("add", name, rdtype, r) for r in rdata], ttl)

    def remove(self, name, rdtype=None):
        self.update([("delete", name, rdtype, None)])

    def update(self, changes, ttl=TTL):
        """Several changes of one zone at once: (verb, name, type, rdata); signed before it returns."""
        if not changes:
            return
        names = [dns.name.from_text(c[1]) for c in changes]
        # A DS belongs to the parent, everything else to the nearest zone above.
        above = names[0].parent() if changes[0][2] == "DS" else names[0]
        zone = max((z for z in self._zones if above.is_subdomain(z)), key=len)
        message = dns.update.UpdateMessage(zone)
        for (verb, _, rdtype, rdata), name in zip(changes, names):
            if verb == "add":
                message.add(name, ttl, rdtype, rdata)
            else:
                message.delete(name, *([rdtype] if rdtype else []))
        rcode = self._exchange(message, 20).rcode()
        if rcode != dns.rcode.NOERROR:
            raise AssertionError(f"DNS update refused: {dns.rcode.to_text(rcode)}: {changes}")

    def query(self, name, rdtype, timeout=5):
        message = dns.message.make_query(name, rdtype, want_dnssec=True)
        answer = self._exchange(message, timeout)
        records = [r.to_text() for rrset in answer.answer for r in rrset
                   if rrset.rdtype == dns.rdatatype.from_text(rdtype)]
        return Answer(dns.rcode.to_text(answer.rcode()), records, bool(answer.flags & dns.flags.AA))

    def _exchange(self, message, timeout):
        """By UDP where it fits: Knot's TCP side makes every tenth caller wait a second."""
        wire = message.to_wire()
        if len(wire) > 1200:
            return self._exchange_tcp(message, timeout)
        with self._ns.entered():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with s:
            s.settimeout(timeout)
            s.connect((_CONTROL, 53))
            s.send(wire)
            answer = dns.message.from_wire(s.recv(65535), ignore_trailing=True)
        if answer.flags & dns.flags.TC:
            return self._exchange_tcp(message, timeout)
        return answer

    def _exchange_tcp(self, message, timeout):
        with self._ns.connect(_CONTROL, 53, timeout) as s, s.makefile("rb") as f:
            wire = message.to_wire()
            s.sendall(struct.pack("!H", len(wire)) + wire)
            head = f.read(2)
            if len(head) < 2:
                raise EOFError("the DNS server closed the connection")
            return dns.message.from_wire(f.read(struct.unpack("!H", head)[0]))

    # -- zones --------------------------------------------------------------------------------

    def _zone_file(self, zone):
        return self.directory / f"{zone.strip('.') or 'root'}.zone"

    def _config(self):
        zones = "".join(
            f'  - domain: "{z}"\n    file: "{self._zone_file(z)}"\n    acl: lab\n'
            + ("    dnssec-signing: on\n    dnssec-policy: lab\n" if z in _SIGNED else "")
            for z in _SIGNED + _UNSIGNED)
        return f"""
server:
    rundir: "{self.directory}"
    listen: [ "{_CONTROL}@53", "{DNS_IP4}@53", "{DNS_IP6}@53" ]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "{self.directory}"
acl:
  - id: lab
    address: [ "127.0.0.0/8" ]
    action: [ update, transfer ]
template:
  - id: default
    zonefile-sync: -1
policy:
  - id: lab
    algorithm: ecdsap256sha256
    single-type-signing: on
    cds-cdnskey-publish: none
    dnskey-ttl: {TTL}
zone:
{zones}  - domain: "tampered.example."
    file: "{self._zone_file('tampered.example.')}"
  - domain: "servfail.example."
    file: "{self.directory}/missing.zone"
"""

    def _ds_of(self, zone):
        for text in self.query(zone, "DNSKEY").records:
            key = dns.rdata.from_text("IN", "DNSKEY", text)
            yield dns.dnssec.make_ds(zone, key, "SHA256").to_text()

    def _delegate(self, zone, *ds):
        self.add(zone, "DS", *ds)

    def _write_tampered(self):
        """A zone signed by hand, with signatures that are wrong on purpose; the DS of its key."""
        origin = dns.name.from_text("tampered.example.")
        private = ec.generate_private_key(ec.SECP256R1())
        key = dns.dnssec.make_dnskey(private.public_key(), "ECDSAP256SHA256", flags=257)
        now = datetime.datetime.now(datetime.timezone.utc)
        old = now - datetime.timedelta(days=30)
        lines = []

        def put(name, rdtype, *rdata, inception=now - datetime.timedelta(days=1), damage=False):
            name = dns.name.from_text(name, origin)
            rrset = dns.rrset.from_text(name, TTL, "IN", rdtype, *rdata)
            rrsig = dns.dnssec.sign(rrset, private, origin, key, inception=inception,
                                    expiration=inception + datetime.timedelta(days=14))
            if damage:
                rrsig = rrsig.replace(signature=bytes([rrsig.signature[0] ^ 1]) + rrsig.signature[1:])
            lines.extend([rrset.to_text(), f"{name} {TTL} IN RRSIG {rrsig.to_text()}"])

        put("@", "SOA", _SOA)
        put("@", "NS", "ns.example.")
        put("@", "DNSKEY", key.to_text())
        for label, fault in (("good", {}), ("badsig", {"damage": True}), ("expired", {"inception": old})):
            put(label, "MX", f"10 mx.{label}.tampered.example.", **fault)
            put(f"mx.{label}", "A", "203.0.113.239", **fault)
        # NSEC makes the absence of other types provable, so that good.* is secure as a whole.
        put("@", "NSEC", "badsig.tampered.example. NS SOA RRSIG NSEC DNSKEY")
        owners = ["badsig", "mx.badsig", "expired", "mx.expired", "good", "mx.good"]
        for owner, after in zip(owners, owners[1:] + [""]):
            types = ("A" if owner.startswith("mx") else "MX") + " RRSIG NSEC"
            put(owner, "NSEC", f"{after}{'.' if after else ''}tampered.example. {types}")
        self._zone_file("tampered.example.").write_text("\n".join(lines) + "\n", encoding="ascii")
        return dns.dnssec.make_ds(origin, key, "SHA256").to_text()


def _zone_text(zone):
    lines = [f"{zone} {TTL} IN SOA {_SOA}", f"{zone} {TTL} IN NS ns.example."]
    if zone == ".":
        lines.append(f"example. {TTL} IN NS ns.example.")
    if zone in (".", "example."):
        lines += [f"ns.example. {TTL} IN A {DNS_IP4}", f"ns.example. {TTL} IN AAAA {DNS_IP6}"]
    if zone == "example.":
        children = ("signed", "plain", "bogus", "tampered", "servfail")
        lines += [f"{child}.example. {TTL} IN NS ns.example." for child in children]
        lines += [f"hole.example. {TTL} IN NS ns.hole.example.",
                  f"ns.hole.example. {TTL} IN A {BLACK_HOLE_IP4}",
                  f"ns.hole.example. {TTL} IN AAAA {BLACK_HOLE_IP6}"]
    return "\n".join(lines) + "\n"
