# SPDX-License-Identifier: Apache-2.0
"""TLSA data out of certificates (RFC 6698 2.1)."""

import hashlib

from cryptography.hazmat.primitives import serialization

_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}


def selected(selector, cert):
    """The bytes that a selector stands for.  cert: a certificate, a Chain (its leaf), or bytes as they are."""
    if isinstance(cert, bytes):
        return cert
    cert = getattr(cert, "leaf", cert)
    if selector == 1:
        return cert.public_key().public_bytes(serialization.Encoding.DER,
                                              serialization.PublicFormat.SubjectPublicKeyInfo)
    return cert.public_bytes(serialization.Encoding.DER)


def association(selector, matching, cert):
    """The certificate association data; a matching type that is not known takes the bytes themselves."""
    data = selected(selector, cert)
    return _DIGESTS[matching](data).digest() if matching in _DIGESTS else data


def tlsa(usage, selector, matching, cert):
    """The rdata in text: tlsa(3, 1, 1, chain) is "3 1 1 ab12..."."""
    return f"{usage} {selector} {matching} {association(selector, matching, cert).hex()}"


def tlsa_tuple(usage, selector, matching, cert):
    """The same as [usage, selector, matching, hex]."""
    return [usage, selector, matching, association(selector, matching, cert).hex()]
