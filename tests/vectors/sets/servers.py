# SPDX-License-Identifier: Apache-2.0
"""What the words about an MX's TLS stand for: options of the lab's scripted MX."""

import re

from .lexicon import Lexicon

_CERT = r"(?:(?:certificate|cert|chain)s? ?)"
_TLS = r"(?:starttls|tls|encryption)"
_IS = r"(?: (?:is|was|are|be))?"

# Meaning: options to set.  "starttls": offered at all; "kind": of lab/pki.py; "versions"; "replies".
WORDS = Lexicon([
    # no TLS
    (r"(?:is )?not offered|not available|none|off", {"starttls": False}),
    (rf"{_TLS}{_IS} (?:not|never|no longer|un)(?: \w+)? ?(?:offered|announced|advertised|supported|available"
     rf"|there|on)?",
     {"starttls": False}),
    (rf"(?:(?:does|do|is|will) not|doesn't|never|without|not|no) (?:(?:offer|support|announce|advertise|have|use"
     rf"|using"
     rf"|offering)\w* )?{_TLS}(?: (?:offered|at all|support))?", {"starttls": False}),
    (rf"{_TLS}{_IS} (?:off|stripped|missing|absent|removed|disabled|unavailable)|plain ?text(?: only)?"
     rf"|cleartext(?: only)?",
     {"starttls": False}),
    (rf"{_TLS}(?: command)?{_IS} (?:refused|rejected|fails|failed|answered)(?: \w+)?(?: \(?[45]\d\d\)?)?|(?:454"
     rf"|5\d\d)(?: to)? {_TLS}",
     {"replies": {"starttls": "454 4.7.0 not now"}}),
    # handshakes
    (r"(?:tls |the )?handshake(?: \w+)? (?:fails|fail|failed|failure|error|breaks|impossible)"
     r"|(?:tls )?version mismatch"
     r"|tls (?:error|failure|fails)|(?:only )?tls ?v?1\.[01](?: only)?|(?:only )?sslv?3(?: only)?",
     {"versions": ("1.0", "1.1")}),
    (r"(?:only )?tls ?v?1\.2(?: only)?", {"versions": ("1.2", "1.2")}),
    (r"(?:only )?tls ?v?1\.3(?: only)?", {"versions": ("1.3", "1.3")}),
    # certificates
    (r"(?:an? )?self ?signed(?: certificate| cert)?", {"kind": "self-signed"}),
    (rf"{_CERT}?(?:{_IS} |has |that )?expired(?: certificate| cert)?|out of date", {"kind": "expired"}),
    (rf"{_CERT}?{_IS} ?not yet valid(?: certificate| cert)?", {"kind": "not-yet-valid"}),
    (rf"{_CERT}?(?:{_IS} )?(?:for|of|names|naming|issued to|bears) (?:an?other|a different|the wrong|some other"
     rf"|elsewhere)"
     r"(?: (?:host|hostname|domain|name|mx))*", {"kind": "name-mismatch"}),
    (rf"{_CERT}?(?:host ?)?names?(?: (?:does|do) not match| mismatch(?:es)?| not matching)(?: (?:the )?(?:mx"
     rf"|host))*"
     r"|(?:wrong|other|different|mismatch\w*|bad|non matching) (?:host ?)?name(?: in the certificate)?"
     rf"|{_CERT}(?:does not|doesn't|not) (?:match|name|cover|bear)(?:ing)?(?: the)?(?: (?:mx|host|name|hostname"
     rf"|domain))*"
     rf"|(?:mismatch\w*|wrong|bad|invalid|non matching) {_CERT}|{_CERT}{_IS} ?(?:mismatch\w*|wrong|invalid|bad)"
     r"|host ?name mismatch|not (?:matching|for) the (?:mx|host)(?: (?:name|host))?", {"kind": "name-mismatch"}),
    (rf"{_CERT}(?:is )?(?:for|of|names|naming|issued to|bears) [\w-]+\.[\w.-]+", {"kind": "name-mismatch"}),
    (rf"(?:cn only|no san){_CERT}?|{_CERT}?without (?:a )?san", {"kind": "cn-only"}),
    (rf"{_CERT}?{_IS} ?(?:untrusted|not trusted|unknown|private)(?: (?:ca|root|issuer|anchor|authority"
     rf"|certificate))*"
     r"|(?:issued|signed) by an? (?:unknown|untrusted|private) (?:ca|issuer|root)|does not validate"
     r"|(?:pkix|webpki) (?:fails|invalid|failure)|not pkix valid|not (?:ca|publicly) (?:issued|signed|trusted)",
     {"kind": "untrusted-root"}),
    (r"incomplete chain|(?:missing|without)(?: the)? intermediate|no intermediate", {"kind": "incomplete-chain"}),
    (rf"{_CERT}?{_IS} ?revoked(?: certificate)?", {"kind": "stapled-revoked"}),
    (rf"(?:weak|sha ?1) ?(?:signature|hash)? ?{_CERT}?", {"kind": "sha1"}),
    (rf"rsa ?1024|weak key ?{_CERT}?", {"kind": "rsa1024"}),
    (rf"wildcard {_CERT}?", {"kind": "wildcard"}),
    (rf"(?:a |the )?(?:valid|good|trusted|correct|matching|ok|fine|proper|ca issued|ca signed|pkix valid"
     rf"|publicly trusted)"
     rf"(?: {_CERT})?(?:for (?:the )?(?:mx|host)(?: (?:name|host))?)?|{_CERT}{_IS} ?(?:valid|good|ok|matches"
     rf"|fine|trusted)"
     r"(?: (?:the )?(?:mx|host)(?: name)?)?|(?:host ?)?name (?:matches|ok|is right)", {"kind": "good"}),
    (rf"{_TLS}{_IS} ?(?:on|offered|works|available|ok|used|announced|advertised|supported|succeeds)?|encrypted", {}),
], filler="server offers offered mx host certificate cert chain valid pkix webpki")

ANY = ({}, {"starttls": False}, {"kind": "self-signed"}, {"kind": "name-mismatch"})


def variants(text, hosts=()):
    """All the servers that a text allows: "any" is several, "or" too.  hosts: names of the server itself."""
    names = [(rf"{_CERT}?(?:is )?(?:for|of|names|naming|issued to|bears|with the name) {re.escape(h.lower())}",
              {"kind": "good"})
             for h in hosts]
    if text is None:
        return [{"kind": "good"}]
    if text.strip().lower() in ("any", "anything", "whatever", "*", "irrelevant", "does not matter"):
        return [dict(v) for v in ANY]
    made = []
    for part in WORDS.alternatives(text, names):
        spec = {}
        for meaning, _ in WORDS.read(part, names):
            spec.update(meaning)
        made.append(spec)
    return made


def options(spec):
    """Keywords for Scene.hostile()."""
    out = {k: spec[k] for k in ("kind", "versions", "replies", "chain") if k in spec}
    if not spec.get("starttls", True):
        out = {"tls": False, "capabilities": ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")}
    return out
