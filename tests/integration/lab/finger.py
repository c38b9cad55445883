# SPDX-License-Identifier: Apache-2.0
"""Postfix's posttls-finger as a second opinion on a destination.

    finger = scene.posttls_finger(domain)        # level: "dane", "dane-only", "secure", "encrypt", ...
    assert finger.verdict == "Verified" and finger.matched == "DANE EE"
    assert not finger.failures

At levels "dane" and "dane-only" posttls-finger takes a destination without usable DANE as "secure"; `tlsa`
and `unusable` tell which it was.  Postfix's own "dane" is "may" there, or "encrypt" beside unusable records.
"""

import dataclasses
import re

from .tree import Tree

_CONNECTED = re.compile(r"(\w+) TLS connection established to (\S+)\[(\S+)\]:\d+: (\S+) with cipher (\S+)")
_SIGNED = re.compile(r"DNSSEC-signed TLSA record: (\S+?): (.*)")
_UNUSABLE = re.compile(r"warning: (\S+) (?:unsupported|malformed|unusable).* TLSA.*?: (.*)")
_MATCHED = re.compile(r"Matched (DANE \w+) certificate at depth (\d+)|matched (peername|fingerprint|issuer)", re.I)
_FAILED = re.compile(r"(verification failed|Failed to establish|lookup (failed|problem|error)|SSL_connect error"
                     r"|no MX host|not offered|refused|Untrusted|timed out|Connection reset)", re.I)


@dataclasses.dataclass
class Verdict:
    verdict: str       # Verified, Trusted, Untrusted, Anonymous; None: no TLS connection
    host: str          # of the connection, with address, version, cipher
    address: str
    version: str
    cipher: str
    matched: str       # DANE EE, DANE TA, peername, ...; None
    depth: int         # of the match
    tlsa: list         # (name, rdata) of usable records
    unusable: list     # the same of those that are not
    failures: list     # lines that name a failure, without the final "Untrusted"
    text: str          # all that it said


class Finger:
    """posttls-finger in an unpacked Postfix, in the client namespace."""

    def __init__(self, lab, unbound):
        self._roots = lab.pki.trust_store
        self._tree = Tree("postfix", lab.new_directory("finger"), lab.net.client, "client.lab.example")
        self._tree.write("/etc/resolv.conf", unbound.resolv_conf)
        self._tree.write("/etc/postfix/dynamicmaps.cf", "")
        self._tree.write("/etc/postfix/main.cf", "compatibility_level = 3.6\nmaillog_file = /dev/stdout\n"
                         "setgid_group = postdrop\nmyhostname = client.lab.example\n")

    def ask(self, nexthop, level="dane", timeout=10, options=(), names=()):
        """nexthop: a domain or "[host]"; names: those to match at level secure; options: more of its options."""
        done = self._tree.run_before(
            ["posttls-finger", "-c", "-t", str(timeout), "-T", str(timeout), "-l", level,
             "-L", "summary,untrusted,certmatch,verbose", "-F", str(self._roots), *options, nexthop, *names],
            check=False, text=True)
        return parse(done.stdout + done.stderr)

    def stop(self):
        self._tree.stop()


def parse(text):
    lines = [line.removeprefix("posttls-finger: ") for line in text.splitlines()]
    connected = next(filter(None, map(_CONNECTED.search, lines)), None)
    matched = sorted(filter(None, map(_MATCHED.search, lines)), key=lambda m: m[1] is None)
    matched = matched[0] if matched else None   # the name is said before the record
    return Verdict(
        *(connected.groups() if connected else (None,) * 5),
        (matched[1] or matched[3]) if matched else None, int(matched[2] or 0) if matched else None,
        [m.groups() for m in map(_SIGNED.search, lines) if m],
        [m.groups() for m in map(_UNUSABLE.search, lines) if m],
        [line for line in lines if _FAILED.search(line) and not _CONNECTED.search(line)], text)
