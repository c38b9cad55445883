# SPDX-License-Identifier: Apache-2.0
"""The TLS side of a hostile MX: OpenSSL between memory buffers, so that a script owns the wire.

OpenSSL is told to allow everything (security level 0): old versions, weak keys and SHA-1 are the
point.  What cannot be had from a library comes from tls12_flight(): handshake messages by hand.
"""

import struct

from OpenSSL import SSL
from OpenSSL._util import lib   # what pyOpenSSL has no method for
from OpenSSL.crypto import PKey, X509

_VERSIONS = {"1.0": SSL.TLS1_VERSION, "1.1": SSL.TLS1_1_VERSION,
             "1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


def context(chain, versions=("1.2", "1.3"), ciphers="ALL:@SECLEVEL=0", client_cert=False, setup=None):
    """A server context; versions: lowest and highest; setup(context) may change anything."""
    ctx = SSL.Context(SSL.TLS_METHOD)
    ctx.set_min_proto_version(_VERSIONS[versions[0]])
    ctx.set_max_proto_version(_VERSIONS[versions[-1]])
    ctx.set_cipher_list(ciphers.encode())
    if chain is not None:
        ctx.use_certificate(X509.from_cryptography(chain.certs[0]))
        for cert in chain.certs[1:]:
            ctx.add_extra_chain_cert(X509.from_cryptography(cert))
        ctx.use_privatekey(PKey.from_cryptography_key(chain.key))
        if chain.staple:
            ctx.set_ocsp_server_callback(lambda conn, data: chain.staple)
    if client_cert:
        ctx.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *a: True)
    if setup is not None:
        setup(ctx)
    return ctx


class TlsPeer:
    """A TLS connection in memory.  read() and write() are the raw socket's."""

    def __init__(self, ctx, read, write):
        self._read, self._write = read, write
        self._conn = SSL.Connection(ctx, None)
        self._conn.set_accept_state()

    def flush(self):
        try:
            while True:
                self._write(self._conn.bio_read(65536))
        except SSL.WantReadError:
            pass

    def _turn(self, call):
        """Repeat an operation until OpenSSL has the bytes that it wants; None at the end of file."""
        while True:
            try:
                return call()
            except SSL.WantReadError:
                self.flush()
                data = self._read()
                if not data:
                    return None
                self._conn.bio_write(data)
            except SSL.ZeroReturnError:
                return None
            finally:
                self.flush()

    def handshake(self):
        if self._turn(lambda: self._conn.do_handshake() or True) is None:
            raise EOFError("the connection was closed during the TLS handshake")

    def recv(self, size=65536):
        return self._turn(lambda: self._conn.recv(size)) or b""

    def send(self, data):
        for i in range(0, len(data), 16384):
            self._conn.sendall(data[i:i + 16384])
        self.flush()

    def close_notify(self):
        try:
            self._conn.shutdown()
        except SSL.Error:
            pass
        self.flush()

    def facts(self):
        name = self._conn.get_servername()
        return {"version": self._conn.get_protocol_version_name(),
                "cipher": self._conn.get_cipher_name(),
                "sni": name.decode() if name else None,
                "client_cert": self._conn.get_peer_certificate() is not None,
                "resumed": lib.SSL_session_reused(self._conn._ssl) == 1}


def tls12_flight(certificates, suite=0xC02F):
    """ServerHello and Certificate of TLS 1.2 with any bytes as certificates, as one record each.

    suite: ECDHE-RSA-AES128-GCM-SHA256.  Send it as the "handshake" of a script."""
    def message(kind, body):
        body = bytes([kind]) + struct.pack("!I", len(body))[1:] + body
        return b"".join(b"\x16\x03\x03" + struct.pack("!H", len(part)) + part
                        for part in (body[i:i + 16384] for i in range(0, len(body), 16384)))

    extensions = b"\xff\x01\x00\x01\x00" + b"\x00\x17\x00\x00"
    hello = (b"\x03\x03" + b"\x5a" * 32 + b"\x00" + struct.pack("!HB", suite, 0)
             + struct.pack("!H", len(extensions)) + extensions)
    entries = b"".join(struct.pack("!I", len(c))[1:] + c for c in certificates)
    return message(2, hello) + message(11, struct.pack("!I", len(entries))[1:] + entries)
