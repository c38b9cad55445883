# SPDX-License-Identifier: Apache-2.0
"""Certificates for the x509 set beyond those of the integration lab's list."""

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lab import pki as lab_pki
from lab import tlspeer
from OpenSSL import SSL

_keys = {}


def _key(kind):
    """Any RSA size, the curves by their size; made once."""
    if kind not in _keys:
        number = int(kind[3:])
        if kind.startswith("rsa"):
            _keys[kind] = rsa.generate_private_key(65537, number)
        else:
            _keys[kind] = ec.generate_private_key(
                {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}[number]())
    return _keys[kind]


def make(pki, spec, host):
    """A chain for `host`.  spec: a kind of the lab's list, or a dict
    {"key": "rsa3072", "hash": "SHA384", "names": [...], "common": "", "kind": ...}."""
    if isinstance(spec, str):
        return pki.chain(spec, host)
    options = {}
    if "hash" in spec:
        options["hash_name"] = spec["hash"]
    if "names" in spec:
        options["names"] = tuple(name.replace("HOST", host) for name in spec["names"])
    if "common" in spec:
        options["common"] = spec["common"]
    if "key" in spec:
        # The lab keeps keys by name: put ours among them.
        pki._keys.setdefault(spec["key"], _key(spec["key"]))   # pylint: disable=protected-access
        options["key"] = spec["key"]
    if spec.get("rsa_issuer"):
        options["issuer"] = pki.authority("rsa intermediate", pki.root, key="rsa2048")
    return pki.leaf(host, spec.get("kind", "vectors"), **options)


def ask_client_certificate(context):
    """The server asks for a client certificate and goes on without one."""
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)


def flight(chain, suite):
    """ServerHello with a suite that no library here speaks, and the chain's certificates."""
    der = [c.public_bytes(lab_pki.serialization.Encoding.DER) for c in chain.certs]
    return tlspeer.tls12_flight(der, suite)
