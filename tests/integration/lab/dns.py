# SPDX-License-Identifier: Apache-2.0
"""The lab's DNS: a real Knot with a signed root of its own, changed by dynamic update.

    .                  signed; its key is the trust anchor that tlsmend is given
    example            signed
    signed.example     signed: answers below it are secure
    plain.example      not signed: answers below it are insecure
    bogus.example      a DS in the parent, no signature in the zone: everything is bogus
    tampered.example   signed; good.* is right, badsig.* has a damaged signature, expired.* an old one
    calm.example       not signed; absence is cached for an hour, as in the field (bench/)
    servfail.example   the server answers SERVFAIL
    hole.example       delegated to a server that never answers
    nsec3.example      signed, absence proved with NSEC3
    optout.example     signed, NSEC3 with opt-out
    plain.optout.example   not signed, below the opt-out: insecure
    crafted.example, stale.example, craftedplain.example   on a scripted server (lab/crafted.py)
"""

import dataclasses
import datetime
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

from . import crafted
from .dane import tlsa
from .netns import BLACK_HOLE_IP4, BLACK_HOLE_IP6, DNS_IP4, DNS_IP6
from .process import Process, wait_for
from .sts import Sts
from .tree import CACHE

TTL = 60
_SOA = "ns.example. hostmaster.example. 1 3600 600 604800 1"
_SIGNED = {".": "lab", "example.": "lab", "signed.example.": "lab", "nsec3.example.": "lab-nsec3",
           "optout.example.": "lab-optout"}   # and the policies
_UNSIGNED = ("plain.example.", "calm.example.", "bogus.example.", "plain.optout.example.")
_CALM_SOA = _SOA.removesuffix("1") + "3600"
_ZONES = (*_SIGNED, *_UNSIGNED)
_CONTROL = "127.0.0.1"


class Domain:
    """A recipient domain of one test, with its own name, so that no cache of another test matters."""

    def __init__(self, server, name):
        self.server, self.name = server, name
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
        self.server.update([("add", name, "AAAA" if ":" in a else "A", a) for a in addresses])

    def mx(self, host, preference=10):
        self.add("MX", f"{preference} {host}.")

    def null_mx(self):
        self.add("MX", "0 .")

    def cname(self, label, target):
        """label.domain is an alias; its full name."""
        self.add("CNAME", target.rstrip(".") + ".", label=label)
        return f"{label}.{self.name}"

    def tlsa(self, host, usage, selector, matching, cert, port=25):
        """One more TLSA record; cert: a certificate or a Chain, or bytes, digested as `matching` says.
        The host has to be in this domain's zone."""
        self.server.add(f"_{port}._tcp.{host}", "TLSA", tlsa(usage, selector, matching, cert))

    def tlsa_rdata(self, host, *rdata, port=25):
        """TLSA records from text, or from bytes of any length (fewer than 3: zone="crafted" only)."""
        self.server.add(f"_{port}._tcp.{host}", "TLSA", *rdata)

    def fault(self, rdtype, how, *, host=None, label=None):
        """What goes wrong with that question; a domain of zone="crafted" (lab/crafted.py).  The type
        "TLSA" with host= means the name _25._tcp.host."""
        name = host or (f"{label}.{self.name}" if label else self.name)
        self.server.fault(f"_25._tcp.{name}" if rdtype == "TLSA" else name, rdtype, how)

    def sts(self, **options):
        """An MTA-STS policy with all that belongs to it (lab/sts.py)."""
        if self.scene is None:
            raise TypeError("only a domain made by scene.domain() can have a policy host")
        return Sts(self.scene, self, **options)

    def add(self, rdtype, *rdata, label=None, ttl=TTL):
        """Records at the domain itself, or at label.domain."""
        self.server.add(f"{label}.{self.name}" if label else self.name, rdtype, *rdata, ttl=ttl)

    def remove(self, rdtype=None, label=None):
        self.server.remove(f"{label}.{self.name}" if label else self.name, rdtype)


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
        self._zones = [dns.name.from_text(z) for z in _ZONES]
        self._process = self._crafted = None
        self._net = net
        directory.mkdir()

    # -- life ---------------------------------------------------------------------------------

    def start(self):
        for zone in _ZONES:
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
        for zone in ("signed.example.", "nsec3.example.", "optout.example."):
            self._delegate(zone, *self._ds_of(zone))
        self._delegate("bogus.example.", "12345 13 2 " + "ab" * 32)
        self._delegate("tampered.example.", tampered_ds)

    @property
    def crafted(self):
        """The scripted server beside Knot, started on first use."""
        if self._crafted is None:
            self._crafted = crafted.Crafted(self._net)
            for zone, ds in self._crafted.ds():
                self._delegate(zone, ds)
        return self._crafted

    def stop(self):
        if self._crafted is not None:
            self._crafted.stop()
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

    def domain(self, signed=False, label="d", zone=None):
        """A fresh recipient domain without any record; zone: "nsec3", "crafted", ... (see above)."""
        zone = zone or ("signed" if signed else "plain")
        parent = f"{zone}.example."
        if parent not in (*_ZONES, *crafted.SIGNED, *crafted.UNSIGNED):
            raise ValueError(f"no domains can be made below {parent}")
        return Domain(self if parent in _ZONES else self.crafted, f"{label}{next(self._serial)}.{zone}.example")

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
                message.add(name, ttl, crafted.make_rdata(rdtype, rdata))
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
            + (f"    dnssec-signing: on\n    dnssec-policy: {_SIGNED[z]}\n" if z in _SIGNED else "")
            for z in _ZONES)
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
{_policy("lab")}{_policy("lab-nsec3", nsec3="on")}{_policy("lab-optout", nsec3="on", nsec3_opt_out="on")}zone:
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


def _policy(name, **options):
    """Signatures last longer than any test turns the clock forward."""
    options = {"algorithm": "ecdsap256sha256", "single_type_signing": "on", "cds_cdnskey_publish": "none",
               "dnskey_ttl": TTL, "rrsig_lifetime": "1000d", **options}
    return f"  - id: {name}\n" + "".join(f"    {k.replace('_', '-')}: {v}\n" for k, v in options.items())


def _zone_text(zone):
    soa, ttl = (_CALM_SOA, 3600) if zone == "calm.example." else (_SOA, TTL)
    lines = [f"{zone} {ttl} IN SOA {soa}", f"{zone} {TTL} IN NS ns.example."]
    if zone == ".":
        lines.append(f"example. {TTL} IN NS ns.example.")
    if zone in (".", "example."):
        lines += [f"ns.example. {TTL} IN A {DNS_IP4}", f"ns.example. {TTL} IN AAAA {DNS_IP6}"]
    if zone == "example.":
        children = ("signed", "plain", "calm", "bogus", "tampered", "servfail", "nsec3", "optout")
        lines += [f"{child}.example. {TTL} IN NS ns.example." for child in children]
        lines += [f"hole.example. {TTL} IN NS ns.hole.example.",
                  f"ns.hole.example. {TTL} IN A {BLACK_HOLE_IP4}",
                  f"ns.hole.example. {TTL} IN AAAA {BLACK_HOLE_IP6}",
                  f"ns.crafted.example. {TTL} IN A {crafted.IP4}",
                  f"ns.crafted.example. {TTL} IN AAAA {crafted.IP6}"]
        lines += [f"{child} {TTL} IN NS ns.crafted.example." for child in crafted.SIGNED + crafted.UNSIGNED]
    if zone == "optout.example.":
        lines.append(f"plain.optout.example. {TTL} IN NS ns.example.")
    return "\n".join(lines) + "\n"
