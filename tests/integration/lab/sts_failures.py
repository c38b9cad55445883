# SPDX-License-Identifier: Apache-2.0
"""Every way in which a policy host or a TXT record fails, as a table: with nothing cached and with a live
policy the same failures have opposite ends (C-STS-08, C-STS-06).

    FAILURES[name].of(policed.domain(**FAILURES[name].options).policy)
"""

import dataclasses

from .hostile import CLOSE, RESET
from .https import drip, http_answer, http_chunked, http_head
from .netns import BLACK_HOLE_IP4, BLACK_HOLE_IP6, UNREACHABLE_IP4
from .nginx import ADDRESSES
from .sts import policy_text

FETCH, GRAMMAR, CERTIFICATE = "sts-fetch-failed", "sts-policy-invalid", "sts-webpki-invalid"
DISCOVERY = "sts-discovery-failed"
_BODY = policy_text(mx=["elsewhere.example"])
_ENDLESS = b"X-More: " + b"a" * 4000 + b"\r\n"


@dataclasses.dataclass
class Failure:
    reason: str
    words: str         # a part of the record's detail
    of: object         # of(sts) makes it happen, whatever came before
    options: dict = dataclasses.field(default_factory=dict)   # for Domain.sts()


def _certificate(kind, words=None):
    return Failure(CERTIFICATE, words or kind, lambda sts: sts.certificate(kind))


def _answer(name, words):
    return Failure(FETCH, words, lambda sts: sts.answer(name))


def _scripted(words, reason=FETCH, **replies):
    """A phase of lab/https.py that goes wrong."""
    return Failure(reason, words, lambda sts: sts.server.replies.update(replies), {"replies": {}})


def _text(text, words, reason=GRAMMAR):
    return Failure(reason, words, lambda sts: sts.policy(text))


def _address(words, *addresses):
    return Failure(FETCH, words, lambda sts: sts.host_addresses(*addresses))


def _elsewhere(sts, versions):
    sts.host_addresses(*ADDRESSES[versions])


FETCH_FAILURES = {
    **{kind: _certificate(kind) for kind in ("expired", "not-yet-valid", "name-mismatch", "self-signed",
                                             "untrusted-root", "incomplete-chain")},
    "wrong-purpose": _certificate("client-auth", "wrong-purpose"), "cn-only": _certificate("cn-only", "name-mismatch"),
    "tls-1.1": Failure(FETCH, "tls-version", lambda sts: _elsewhere(sts, ("1.0", "1.1"))),
    "301": _answer("301", "redirects must not be followed"),
    "302": _answer("302", "redirects must not be followed"),
    "308": _answer("308", "redirects must not be followed"),
    "204": _answer("204", "HTTP 204"), "404": _answer("404", "HTTP 404"), "410": _answer("410", "HTTP 410"),
    "429": _answer("429", "HTTP 429"), "500": _answer("500", "HTTP 500"), "503": _answer("503", "HTTP 503"),
    "html": _answer("html", "text/html"), "json": _answer("json", "application/json"),
    "octet-stream": _answer("octet-stream", "application/octet-stream"),
    "plain-like": _answer("plain-like", "text/plainer"),
    "gzip": _answer("gzip", "ncoding"),
    "70-kib": _text(_BODY + b"x-more: y\r\n" * 6600, "too-large", FETCH),
    "empty": _text(b"", ""), "no-mx": _text(policy_text(mx=[]), "mx"),
    "version-2": _text(policy_text(mx=["elsewhere.example"], version="STSv2"), "version"),
    "loopback": _address("loopback, private or multicast", "127.0.0.1", "::1"),
    "private": _address("loopback, private or multicast", "10.0.0.1", "192.168.1.1", "fd00::1"),
    "multicast": _address("loopback, private or multicast", "224.0.0.1", "0.0.0.0"),
    "no-route": _address("connect", UNREACHABLE_IP4),
    "black-hole": _address("timeout", BLACK_HOLE_IP4, BLACK_HOLE_IP6),
    "nxdomain": Failure(FETCH, "no address", lambda sts: sts.host_fails("nxdomain")),
    "host-servfail": Failure(FETCH, "cannot be looked up", lambda sts: sts.host_fails("servfail")),
    "host-bogus": Failure(FETCH, "cannot be looked up", lambda sts: sts.host_fails("bogus")),
    "host-timeout": Failure(FETCH, "mta_sts.timeout", lambda sts: sts.host_fails("timeout")),
    "refused": Failure(FETCH, "connect", lambda sts: sts.nginx.stop()),
    "stalled-connect": _scripted("timeout", connect=None),
    "stalled-handshake": _scripted("timeout", handshake=None),
    "reset-handshake": _scripted("tls", handshake=RESET),
    "closed": _scripted("", connect=CLOSE),
    "silent": _scripted("timeout", response=None),
    "stalled-body": _scripted("timeout", response=[http_head(length=100), None]),
    "slow-drip": _scripted("timeout", response=drip(http_answer(_BODY), 0.2)),
    "cut-body": _scripted("", response=[http_answer(_BODY, length=500), CLOSE]),
    "cut-without-length": _scripted("", response=[http_answer(_BODY[:60], length=False), CLOSE]),
    "cut-chunks": _scripted("", response=[http_chunked(_BODY, end=False), CLOSE]),
    "endless-header": _scripted("too-large", response=[b"HTTP/1.1 200 OK\r\n", lambda c: c.flood(_ENDLESS, 30)]),
    "endless-body": _scripted("too-large", response=[http_head(), lambda c: c.flood(b"a: b\r\n" * 700, 30)]),
    "404-policy": _scripted("HTTP 404", response=[http_answer(_BODY, status="404 Not Found"), CLOSE]),
    "no-http": _scripted("", response=[b"220 mail.example ESMTP\r\n", CLOSE]),
}

TXT_FAILURES = {
    "txt-servfail": Failure(DISCOVERY, "TXT of _mta-sts.", lambda sts: sts.txt_fails("servfail")),
    "txt-bogus": Failure(DISCOVERY, "TXT of _mta-sts.", lambda sts: sts.txt_fails("bogus")),
    "txt-timeout": Failure(DISCOVERY, "TXT of _mta-sts.", lambda sts: sts.txt_fails("timeout")),
    "txt-gone": Failure(None, "", lambda sts: sts.no_txt()),
    "txt-foreign": Failure(None, "", lambda sts: sts.txt("v=spf1 -all")),
    "txt-several": Failure(DISCOVERY, "several", lambda sts: sts.txt("v=STSv1; id=2;", "v=STSv1; id=3;")),
    "txt-broken": Failure(DISCOVERY, "", lambda sts: sts.txt("v=STSv1; id=;")),
}
