# SPDX-License-Identifier: Apache-2.0
"""dane: rdata and chains through policy-tool, and each of them that can be put into DNS for real."""

import re

from lab.dane import association
from lab.pki import Chain

from . import servers, zones
from .lexicon import Lexicon, NotUnderstood, plain, without_remarks
from .outcome import Expectation

_COMMON = {"id", "source", "note", "why", "disputed", "expect", "title"}
OTHER_KEY = b"the key of nobody here"

# See docs/policy.md, "DANE" and "Beside Postfix".
NO_BYTE = ("TLSA rdata without a byte: libunbound gives no answer for the RRset, so the host is not used; the "
           "record by itself is "
           "unusable, as all that are too short")


def kind(case):
    if "rdata_hex" in case or "rdata" in case:
        return "rdata"
    if isinstance(case.get("tlsa"), list):
        return "chain"
    if {"mx_secure", "mx_host", "addr"} & set(case) or isinstance(case.get("tlsa"), dict):
        return "dns"
    if isinstance(case.get("tlsa"), str):
        return "verify"
    return None


def known(case, *fields):
    strange = sorted(set(case) - _COMMON - set(fields))
    if strange:
        raise NotUnderstood(strange, "the fields of the case")


def one_of(lexicon, text):
    meanings = {m for m, _ in lexicon.read(without_remarks(text))} - {None}
    if len(meanings) != 1:
        raise NotUnderstood(text, "an expectation that says one thing")
    return meanings.pop()


# -- rdata --------------------------------------------------------------------------------------------

_RDATA = Lexicon([
    (r"(?:no|never a|not a|cannot|does not) (?:dane )?match(?:es)?(?: from (?:this|the|that) record)?|no crash"
     r"|no panic"
     r"|(?:record )?(?:is )?(?:ignored|skipped|discarded|dropped)(?: as (?:malformed|unusable))?|unusable"
     r"|not usable|malformed|broken|invalid"
     r"|(?:too )?short(?:er)?(?: than (?:\d+|four|three) bytes)?|(?:too )?long(?:er)?(?: than \d+ bytes)?"
     r"|(?:data )?empty|truncated|as above|unknown"
     r"|reserved|not for smtp|pkix (?:usage|ta|ee)|(?:wrong|bad) length|not (?:considered|counted)", "UNUSABLE"),
    (r"usable|well formed|valid|good|accepted|(?:can|may|does|is able to) match"
     r"|(?:dane )?match(?:es)? (?:is )?possible|counts|right length|ok", "USABLE"),
], filler="""dane record rdata association data sha 256 512 sha256 sha512 digest bytes byte octets usage selector
matching type value from full certificate key length than 0 1 2 3 4 5 31 32 33 63 64 65 255""")


def check_rdata(tool, case):
    """Usable or not; and beside a good record: what cannot be used neither helps nor harms."""
    known(case, "rdata_hex", "rdata", "rdata_len")
    rdata = case.get("rdata", [case.get("rdata_hex")])
    if "rdata_len" in case and len(case["rdata_hex"]) != 2 * case["rdata_len"]:
        return f"rdata_len {case['rdata_len']} is not the length of rdata_hex"
    due = one_of(_RDATA, case["expect"])
    got = tool.ask({"rdata": rdata})
    return None if got["verdict"] == due else f"{due} is due, it is {got}"


def check_rdata_real(stage, case):
    """The same rdata in DNS, alone: TLS is owed, nothing more; then beside a record that matches."""
    due = one_of(_RDATA, case["expect"])
    if due == "USABLE":
        return None, None   # whether it matches is another question; policy-tool has answered this one
    rdata = [bytes.fromhex(r) for r in case.get("rdata", [case.get("rdata_hex")])]
    with stage.scene() as scene:
        with stage.making:
            domain = scene.domain(zone="crafted")
            mx = stage.hostile(scene, domain, kind="self-signed")
            domain.tlsa_rdata(mx.host, *rdata)
            beside = scene.domain(zone="crafted")
            second = stage.hostile(scene, beside, kind="self-signed")
            beside.tlsa_rdata(second.host, *rdata)
            beside.tlsa(second.host, 3, 1, 1, second.chain)
        daemon = stage.daemon("dane", tls={"level": "dane"})
        due = ("accept, unauthenticated", "authenticated by DANE, delivered")
        if b"" in rdata:
            due = ("temporary failure, no MAIL FROM",) * 2   # see NO_BYTE
        for text, where, host in zip(due, (domain, beside), (mx, second)):
            complaint = Expectation(text).judge(stage.send(scene, daemon, where, [host]))
            if complaint:
                return f"{'alone' if where is domain else 'beside a good record'}: {complaint}", None
    return None, NO_BYTE if b"" in rdata else None


# -- chains, as JSON ----------------------------------------------------------------------------------

_JUDGED = Lexicon([
    (r"no (?:dane|tlsa)(?: (?:requirement|record|records|policy|applies))*|dane does not apply", "NO-DANE"),
    (r"un ?authenticated|un ?usable|not authenticated|(?:no|without) authentication(?: required)?|(?:all "
     r"|only )+unusable(?: records)?",
     "UNAUTHENTICATED"),
    (r"(?:no|not|does not|un|never) ?(?:match\w*|accept\w*|valid\w*|verif\w*|trust\w*|deliver\w*|pass\w*|ok)"
     r"|mis ?match\w*|refus\w*|reject\w*|fail\w*"
     r"|invalid|error|deny|denied|bad|dane mismatch|false|no mail from|temp\w* (?:fail\w*|error)|defer\w*", "REFUSED"),
    (r"authenticat\w*(?: by dane)?|match\w*|valid\w*|verif\w*|true", "AUTHENTICATED"),
    (r"accept\w*|ok|pass\w*|good|success\w*|deliver\w*", "ACCEPTED")],
    filler="dane ee ta chain certificate tls")
# What a text says first in this order is what it means: "accept, unauthenticated" is the second.
_ORDER = ("NO-DANE", "UNAUTHENTICATED", "REFUSED", "AUTHENTICATED", "ACCEPTED")


def _judged(text):
    meanings = {m for m, _ in _JUDGED.read(without_remarks(text))}
    if not meanings:
        raise NotUnderstood(text, "an expectation")
    return next(m for m in _ORDER if m in meanings)


# Reasons of reason.def that a case may name instead.
_REASONS = ("dane-mismatch", "name-mismatch", "expired", "not-yet-valid", "bad-signature", "weak-key", "weak-signature",
            "wrong-purpose", "malformed", "no-certificate", "too-many-certificates", "incomplete-chain")


def check_chain(tool, case):
    known(case, "tlsa", "chain", "host", "time", "min_rsa_bits", "matched", "depth", "reason", "match", "verdict", "case",
          "expect_matched", "expect_depth", "expect_reason")
    got = tool.ask({k: case[k] for k in ("tlsa", "chain", "host", "time", "min_rsa_bits") if k in case})
    if got["verdict"] == "ERROR":
        return got["detail"]
    expect = case.get("expect", case.get("verdict", case.get("match")))
    expect = str(expect).lower() if isinstance(expect, bool) else expect
    if expect in _REASONS:
        due, reason = "REFUSED", expect
    else:
        due, reason = _judged(expect), case.get("reason", case.get("expect_reason"))
    if got["verdict"] != due and (due != "ACCEPTED" or got["verdict"] == "REFUSED"):
        return f"{due} is due, it is {got['verdict']} ({got['reason']}: {got['detail']})"
    if reason is not None and reason != got["reason"]:
        return f"the reason {reason} is due, it is {got['reason']} ({got['detail']})"
    for name in ("matched", "depth"):
        wanted = case.get(name, case.get(f"expect_{name}"))
        if wanted is not None and wanted != got.get(name):
            return f"{name} {wanted} is due, it is {got.get(name)}"
    return None


# -- records and chains in words ----------------------------------------------------------------------

_PARTY = (r"(?:(?:the |an? )?(?P<who>leaf|ee|end entity|intermediate|root|ta|ca|issuer"
          r"|anchor)s?(?: ?(?P<which>[ab]))?(?: certificate| key)?)")
RECORD = Lexicon([
    (r"(?P<u>\d+|x|\*) (?P<s>\d+|x|\*) (?P<m>\d+|x|\*)", "triple"),
    (r"usage (?P<u>\d+)", "usage"),
    (r"does not match|do not match|not matching|no match|mis ?match\w*|other|another|wrong|different|unrelated"
     r"|non matching", "other"),
    (r"match(?:es|ing)?|right|correct|good|own", "match"),
    (r"(?:(?:only|all)(?: records)? )?(?:unusable|not usable|unknown|reserved|malformed|truncated)", "unusable"),
    (r"pkix (?:ta|ee)", "pkix"), (r"dane (?P<which>ta|ee)", "dane"),
    (_PARTY, "party")],
    filler=("secure record records of server's server tlsa digest key certificate spki full cert the in chain "
            "several with one only usage signed"))


def _number(text, default):
    return default if text in ("x", "*") else int(text)


def record_of(text, chain, parties, about=""):
    """(usage, selector, matching, what to digest) of one record in words."""
    triple, meanings = None, {}
    for meaning, m in RECORD.read(text):
        meanings[meaning] = m
        if meaning == "triple":
            triple = (_number(m["u"], 3), _number(m["s"], 1), _number(m["m"], 1))
        elif meaning == "usage" and triple is None:
            triple = (int(m["u"]), 1, 1)
        elif meaning == "dane" and triple is None:
            triple = ({"ta": 2, "ee": 3}[m["which"]], 1, 1)
        elif meaning == "pkix" and triple is None:
            triple = (0 if "ta" in m[0] else 1, 1, 1)
    if triple is None:
        triple = (4, 1, 1) if "unusable" in meanings else (3, 1, 1)
    usable = triple[0] in (2, 3) and triple[1] in (0, 1) and triple[2] in (0, 1, 2)
    if usable and "unusable" in meanings:
        what = None
    elif "party" in meanings:
        m = meanings["party"]
        name = _party_name(m)
        if name not in parties:
            raise NotUnderstood(m[0], "a certificate of the case")
        what = parties[name]
    elif "other" in meanings:
        what = OTHER_KEY
    elif "match" in meanings:
        if triple[0] in (0, 2):
            told = re.search(r"\b(intermediate|root)\b", about)
            what = parties[told[1] if told else "intermediate"]
        else:
            what = chain.leaf if chain is not None else OTHER_KEY
    elif not usable:
        what = OTHER_KEY
    else:
        raise NotUnderstood(text, "a record that matches or does not")
    return (*triple, what)


def rdata_text(usage, selector, matching, what):
    """what: to be digested; None: too short a digest."""
    data = b"\xaa" if what is None else association(selector if selector in (0, 1) else 1, matching, what)
    return f"{usage} {selector} {matching} {data.hex()}"


def _party_name(m):
    who = {"ee": "leaf", "end entity": "leaf", "ta": "intermediate", "ca": "root", "issuer": "intermediate",
           "anchor": "intermediate"}.get(m["who"], m["who"])
    return f"{who} b" if m["which"] == "b" else who


def records_of(text, chain, parties, about=""):
    """All records of a text; of "none", none."""
    if ABSENT.understands(text):
        return []
    text = re.sub(r"usages? (\d+) (?:and|or|/) (\d+)", r"usage \1 + usage \2", plain(text))
    parts = re.split(r"\s*(?:\+|;|\band\b|,(?= *\d))\s*", text)
    return [record_of(part, chain, parties, about) for part in parts if part.strip()]


ABSENT = Lexicon([(r"none|no(?: tlsa)? records?|absent|empty|nxdomain|nodata|no tlsa|denial|not exist\w*"
                   r"|(?:secure|signed|proved|proven) (?:denial|absence)",
                   None)], filler="secure tlsa records record of existence authenticated dnssec rrset (secure")


# -- verify -------------------------------------------------------------------------------------------

_SENT = Lexicon([(_PARTY, "party")], filler="only chain sent")
_KINDS = [
    (r"self ?signed", "self-signed"), (r"not yet valid", "not-yet-valid"), (r"expired", "expired"),
    (r"(?:wrong|other|different|mismatched) (?:host ?)?name|name mismatch|(?:for|of) (?:another|a different|some other) (?:host|name)", "name-mismatch"),
    (r"untrusted root|unknown root|private ca", "untrusted-root"), (r"incomplete chain", "incomplete-chain"),
    (r"ca issued|ca signed", "good")]


def _kind_of(text):
    """The kind of certificate that a description names, if it does."""
    text = plain(text)
    return next((kind_ for pattern, kind_ in _KINDS if re.search(pattern, text)), None)


def _without_kind(text):
    for pattern, _ in _KINDS:
        text = re.sub(rf"\b(?:{pattern})\b", " ", plain(text))
    return plain(text)


class Chains:
    """Leaf (of a kind), intermediate and root, and a second set "b", for one host."""

    def __init__(self, pki, host, kind_of_leaf=None):
        self.pki, self.host = pki, host
        root_b = pki.authority("root b", None)
        self.leaf_b = pki.leaf(host, "b", issuer=root_b, send=[root_b.cert])
        self.leaf_a = pki.leaf(host, "a", send=[pki.intermediate.cert, pki.root.cert])
        if kind_of_leaf is not None:
            self.leaf_a = pki.chain(kind_of_leaf, host)
        self.parties = {"leaf": self.leaf_a.leaf, "intermediate": pki.intermediate.cert, "root": pki.root.cert,
                        "leaf b": self.leaf_b.leaf, "root b": root_b.cert, "intermediate b": root_b.cert}

    def sent(self, text):
        """The chain of "leaf+intermediate+root"; the leaf's key is the server's."""
        names = [_party_name(m) for _, m in _SENT.read(text)]
        if not names or not names[0].startswith("leaf"):
            raise NotUnderstood(text, "a chain that begins with a leaf")
        own = self.leaf_b if names[0] == "leaf b" else self.leaf_a
        return self.pki.save(Chain("own", [self.parties[n] for n in names], own.key, own.issuer))


def _server_of(case, pki, host):
    """(options for Scene.hostile(), chain or None, parties)."""
    tls = case.get("tls", "TLS on")
    sent = _without_kind(tls)
    chains = Chains(pki, host, _kind_of(tls) if sent != plain(tls) and _SENT.understands(sent) else None)
    if _SENT.understands(sent):
        chain = chains.sent(sent)
        return {"chain": chain}, chain, chains.parties
    (spec,) = servers.variants(tls)[:1]
    out = servers.options(spec)
    if "tls" in out:
        return out, None, chains.parties
    told = out.get("kind") or _kind_of(case.get("case", ""))
    if told == "self-signed" or told not in (None, "good"):
        chain = pki.chain(told, host)
    else:
        chain = chains.leaf_a
    out.pop("kind", None)
    return {**out, "chain": chain}, chain, {**chains.parties, "leaf": chain.leaf}


def check_verify(stage, case):
    known(case, "case", "tlsa", "tls")
    with stage.scene() as scene:
        with stage.making:
            domain = scene.domain(zone="crafted")   # see zones.py
            host = f"mx.{domain.name}"
            options, chain, parties = _server_of(case, scene.pki, host)
            mx = stage.hostile(scene, domain, **options)
            for record in records_of(case["tlsa"], chain, parties, case.get("case", "").lower()):
                domain.tlsa_rdata(mx.host, rdata_text(*record))
        o = stage.send(scene, stage.daemon("dane", tls={"level": "dane"}), domain, [mx])
        return Expectation(case["expect"]).judge(o)


# -- all of them --------------------------------------------------------------------------------------

_TOOL = {"rdata": check_rdata, "chain": check_chain}


def check_real(case, player):
    stage, what = player.stage, kind(case)
    if "disputed" in case:
        raise NotUnderstood(case["disputed"], "a dispute that docs/policy.md decides")
    if what in _TOOL:
        complaint = _TOOL[what](stage.tool, case)
        return complaint if complaint or what != "rdata" else check_rdata_real(stage, case)
    if what == "dns":
        return zones.check(stage, case)
    if what == "verify":
        return check_verify(stage, case)
    raise NotUnderstood(sorted(case), "the fields of the case")


def seconds(case):
    return 2 if kind(case) == "dns" else 0
