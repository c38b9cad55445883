# SPDX-License-Identifier: Apache-2.0
"""Certificates from a list of specs: one certification authority, and every way to be wrong.

    chain = pki.chain("expired", "mx.d1.plain.example")   # a Chain: files and objects
    pki.KINDS["expired"].reason                           # what tlsmend has to say: "expired"

Everything is made on first use and kept for the run.  Keys are shared where that changes nothing.
"""

import dataclasses
import datetime
import ipaddress
import itertools

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
_KEY_MAKERS = {
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclasses.dataclass
class Signer:
    """Somebody who can sign: a certificate and its key."""
    cert: x509.Certificate
    key: object


@dataclasses.dataclass
class Chain:
    """What a server shows.  `path` is leaf and chain in PEM, `key_path` the key."""
    kind: str
    certs: list
    key: object
    issuer: Signer
    path: object = None
    key_path: object = None
    staple: bytes = None   # a DER OCSP response

    @property
    def leaf(self):
        return self.certs[0]

    def sha256(self):
        return self.leaf.fingerprint(hashes.SHA256()).hex()

    def spki(self):
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def der(self):
        return self.leaf.public_bytes(serialization.Encoding.DER)


@dataclasses.dataclass(frozen=True)
class Kind:
    """One way to be: which reason tlsmend gives at level verify ("ok": none; None: not fixed)."""
    make: object
    reason: object


def _name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])]) if common else x509.Name([])


class Pki:
    """The lab's certificates, in a directory of their own."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self._count = itertools.count(1)
        self._keys, self._authorities, self._chains, self._revoked = {}, {}, {}, []
        self.root = self.authority("root", None, key="rsa2048")
        self.intermediate = self.authority("intermediate", self.root)
        self.trust_store = directory / "roots.pem"
        self.trust_store.write_bytes(_pem(self.root.cert))

    # -- pieces -------------------------------------------------------------------------------

    def key(self, kind="p256", fresh=False):
        if fresh or kind not in self._keys:
            made = _KEY_MAKERS[kind]()
            if fresh:
                return made
            self._keys[kind] = made
        return self._keys[kind]

    def authority(self, name, issuer, key="p256", **options):
        """A CA by name, made once; issuer None makes it a root."""
        if name not in self._authorities:
            private = options.pop("private", None) or self.key(key, fresh=True)
            common = options.pop("common", f"tlsmend lab {name}")
            options.setdefault("ca", True)
            cert = self.certificate(common, private, issuer or Signer(None, private), eku=None,
                                    names=(), **options)
            self._authorities[name] = Signer(cert, private)
        return self._authorities[name]

    def certificate(self, common, key, issuer, *, names=(), ca=False, path_length=None,
                    start=-30, end=365, hash_name="SHA256", eku=(ExtendedKeyUsageOID.SERVER_AUTH,),
                    permitted=None, must_staple=False, serial=None):
        """One certificate.  start and end: days from now.  issuer.cert None: self-signed."""
        now = datetime.datetime.utcnow()
        public = key.public_key()
        subject = _name(common)
        builder = (x509.CertificateBuilder()
                   .subject_name(subject)
                   .issuer_name(issuer.cert.subject if issuer.cert else subject)
                   .public_key(public)
                   .serial_number(serial or x509.random_serial_number())
                   .not_valid_before(now + start * _DAY).not_valid_after(now + end * _DAY)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       issuer.key.public_key()), False)
                   .add_extension(x509.BasicConstraints(ca, path_length if ca else None), True))
        if ca:
            builder = builder.add_extension(x509.KeyUsage(
                digital_signature=False, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                encipher_only=False, decipher_only=False), True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [_general_name(n) for n in names]), not common)
        if eku:
            builder = builder.add_extension(x509.ExtendedKeyUsage(eku), False)
        if permitted:
            builder = builder.add_extension(x509.NameConstraints(
                [x509.DNSName(p) for p in permitted], None), True)
        if must_staple:
            builder = builder.add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)
        plain = isinstance(issuer.key, ed25519.Ed25519PrivateKey)
        return builder.sign(issuer.key, None if plain else getattr(hashes, hash_name)())

    def leaf(self, host, kind, *, issuer=None, send=None, key="p256", names=None, common=None, **options):
        """A Chain for a host: leaf under `issuer`, followed on the wire by `send`."""
        issuer = issuer or self.intermediate
        private = self.key(key)
        names = (host,) if names is None else names
        cert = self.certificate(host if common is None else common, private, issuer, names=names, **options)
        return self.save(Chain(kind, [cert, *([issuer.cert] if send is None else send)], private, issuer))

    def save(self, chain):
        stem = self.directory / f"{next(self._count)}-{chain.kind}"
        chain.path, chain.key_path = stem.with_suffix(".pem"), stem.with_suffix(".key")
        chain.path.write_bytes(b"".join(_pem(c) for c in chain.certs))
        chain.key_path.write_bytes(_key_pem(chain.key))
        chain.key_path.chmod(0o600)
        return chain

    # -- chains by kind -----------------------------------------------------------------------

    def chain(self, kind, host):
        """The chain of that kind for that host, made once."""
        if (kind, host) not in self._chains:
            self._chains[kind, host] = KINDS[kind].make(self, host)
        return self._chains[kind, host]

    def good(self, host):
        return self.chain("good", host)

    # -- revocation ---------------------------------------------------------------------------

    def revoke(self, chain):
        self._revoked.append(chain.leaf.serial_number)
        return chain

    def crl_file(self, issuer=None, age_days=1, valid_days=7):
        """A CRL of the issuer (default: the intermediate) with every revoked certificate, in PEM."""
        issuer = issuer or self.intermediate
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateRevocationListBuilder().issuer_name(issuer.cert.subject)
                   .last_update(now - age_days * _DAY).next_update(now + valid_days * _DAY)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       issuer.key.public_key()), False)
                   .add_extension(x509.CRLNumber(next(self._count)), False))
        for serial in self._revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial)
                .revocation_date(now - 2 * _DAY).build())
        path = self.directory / f"{next(self._count)}.crl"
        path.write_bytes(builder.sign(issuer.key, hashes.SHA256()).public_bytes(
            serialization.Encoding.PEM))
        return path

    def ocsp(self, chain, status="good", age_hours=1, valid_hours=24, signer=None):
        """A DER OCSP response about the leaf: "good", "revoked" or "unknown"."""
        now = datetime.datetime.utcnow()
        hour = datetime.timedelta(hours=1)
        signer = signer or chain.issuer
        status = ocsp.OCSPCertStatus[status.upper()]
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        response = (ocsp.OCSPResponseBuilder()
                    .add_response(cert=chain.leaf, issuer=chain.issuer.cert, algorithm=hashes.SHA1(),
                                  cert_status=status, this_update=now - age_hours * hour,
                                  next_update=now + valid_hours * hour,
                                  revocation_time=now - 2 * _DAY if revoked else None,
                                  revocation_reason=None)
                    .responder_id(ocsp.OCSPResponderEncoding.HASH, signer.cert)
                    .sign(signer.key, hashes.SHA256()))
        return response.public_bytes(serialization.Encoding.DER)


def _pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def _key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def _general_name(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _self_signed(pki, host):
    key = pki.key("p256", fresh=True)
    cert = pki.certificate(host, key, Signer(None, key), names=(host,))
    return pki.save(Chain("self-signed", [cert], key, Signer(cert, key)))


def _untrusted_root(pki, host):
    root = pki.authority("other root", None)
    middle = pki.authority("other intermediate", root)
    return pki.leaf(host, "untrusted-root", issuer=middle, send=[middle.cert, root.cert])


def _under(kind, reason, leaf_options=None, **options):
    """A leaf under an intermediate of its own, which has these options."""
    def make(pki, host):
        issuer = pki.authority(f"intermediate {kind}", pki.root, **options)
        return pki.leaf(host, kind, issuer=issuer, **(leaf_options or {}))
    return Kind(make, reason)


def _path_length(pki, host):
    top = pki.authority("short", pki.root, path_length=0)
    below = pki.authority("too deep", top)
    return pki.leaf(host, "path-length", issuer=below, send=[below.cert, top.cert])


def _deep(pki, host):
    issuer, sent = pki.root, []
    for n in range(6):
        issuer = pki.authority(f"deep {n}", issuer)
        sent.insert(0, issuer.cert)
    return pki.leaf(host, "deep", issuer=issuer, send=sent)


def _cross_signed(end):
    """The leaf's issuer is trusted as a root's child and also cross-signed by another root; the
    cross-signed twin is sent first."""
    def make(pki, host):
        old_root = pki.authority("old root", None)
        twin = pki.authority(f"cross {end}", old_root, private=pki.intermediate.key,
                             common="tlsmend lab intermediate", end=end, start=-300)
        return pki.leaf(host, "cross-signed", send=[twin.cert, old_root.cert, pki.intermediate.cert])
    return Kind(make, "ok")


def _bad_signature(pki, host):
    chain = pki.leaf(host, "bad-signature")
    der = bytearray(chain.der())
    der[-1] ^= 1
    return pki.save(Chain("bad-signature", [x509.load_der_x509_certificate(bytes(der)), *chain.certs[1:]],
                          chain.key, chain.issuer))


def _revoked(pki, host):
    return pki.revoke(pki.leaf(host, "revoked"))


def _must_staple(pki, host):
    chain = pki.leaf(host, "must-staple", must_staple=True)
    return chain


def _stapled(status):
    def make(pki, host):
        chain = pki.leaf(host, f"stapled-{status}")
        chain.staple = pki.ocsp(chain, status)
        return chain
    return make


def _leaf(kind, reason, **options):
    """A leaf under the ordinary intermediate; options may be functions of (pki, host)."""
    def make(pki, host):
        return pki.leaf(host, kind, **{k: v(pki, host) if callable(v) else v
                                       for k, v in options.items()})
    return Kind(make, reason)


def _parent(host):
    return host.split(".", 1)[1]


def _many(count):
    return lambda pki, host: tuple(f"n{i}.{_parent(host)}" for i in range(count - 1)) + (host,)


# Every kind and the reason that tlsmend gives at level "verify" (C-CERT-01 to C-CERT-08).
KINDS = {
    "good": _leaf("good", "ok"),
    "rsa": _leaf("rsa", "ok", key="rsa2048"),
    "p384": _leaf("p384", "ok", key="p384"),
    "ed25519": _leaf("ed25519", None, key="ed25519"),
    "wildcard": _leaf("wildcard", "ok", names=lambda p, h: ("*." + _parent(h),), common=""),
    "wildcard-two-labels": _leaf("wildcard-two-labels", "name-mismatch",
                                 names=lambda p, h: ("*." + _parent(_parent(h)),), common=""),
    "wildcard-partial": _leaf("wildcard-partial", "name-mismatch",
                              names=lambda p, h: (h[0] + "*." + _parent(h),), common=""),
    "upper-case": _leaf("upper-case", "ok", names=lambda p, h: (h.upper(),)),
    "cn-only": _leaf("cn-only", "name-mismatch", names=()),
    "name-mismatch": _leaf("name-mismatch", "name-mismatch", names=("elsewhere.example",), common=""),
    "nul-in-name": _leaf("nul-in-name", "name-mismatch", names=lambda p, h: (h + "\0.evil.example",)),
    "address-only": _leaf("address-only", "name-mismatch", names=("203.0.113.9",)),
    "expired": _leaf("expired", "expired", start=-90, end=-1),
    "not-yet-valid": _leaf("not-yet-valid", "not-yet-valid", start=2, end=90),
    "expired-intermediate": _under("expired", "expired", start=-90, end=-1),
    "self-signed": Kind(_self_signed, "self-signed"),
    "untrusted-root": Kind(_untrusted_root, "untrusted-root"),
    "incomplete-chain": _leaf("incomplete-chain", "incomplete-chain", send=()),
    "sha1": _leaf("sha1", "weak-signature", hash_name="SHA1"),
    "sha1-intermediate": _under("sha1", "weak-signature", hash_name="SHA1"),
    "md5": _under("md5", "weak-signature", key="rsa2048", leaf_options={"hash_name": "MD5"}),
    "rsa1024": _leaf("rsa1024", "weak-key", key="rsa1024"),
    "rsa1024-intermediate": _under("rsa1024", "weak-key", key="rsa1024"),
    "client-auth": _leaf("client-auth", "wrong-purpose", eku=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
    "not-a-ca": _under("not a ca", "wrong-purpose", ca=False),
    "path-length": Kind(_path_length, "wrong-purpose"),
    "name-constraints": _under("constrained", "wrong-purpose", permitted=("elsewhere.example",)),
    "bad-signature": Kind(_bad_signature, "bad-signature"),
    "revoked": Kind(_revoked, "revoked"),            # by CRL: give tlsmend pki.crl_file()
    "stapled-good": Kind(_stapled("good"), "ok"),
    "stapled-revoked": Kind(_stapled("revoked"), "revoked"),
    "must-staple": Kind(_must_staple, None),
    "root-included": _leaf("root-included", "ok", send=lambda p, h: [p.intermediate.cert, p.root.cert]),
    "wrong-order": _leaf("wrong-order", "ok", send=lambda p, h: [p.root.cert, p.intermediate.cert]),
    "extra": _leaf("extra", "ok", send=lambda p, h: [_self_signed(p, "a.example").leaf,
                                                     p.intermediate.cert, p.intermediate.cert]),
    "deep": Kind(_deep, "ok"),
    "cross-signed": _cross_signed(365),
    "cross-signed-expired": _cross_signed(-1),
    "san-1000": _leaf("san-1000", "ok", names=_many(1000)),
    "san-10000": _leaf("san-10000", None, names=_many(10000)),
    "too-many": _leaf("too-many", "too-many-certificates",
                      send=lambda p, h: [p.intermediate.cert] * 150),
}
