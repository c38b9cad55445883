# SPDX-License-Identifier: Apache-2.0
"""mta-sts: texts and patterns through policy-tool; discovery, fetches, cache and deliveries for real."""

import functools
import http
import re

from lab.https import http_head
from lab.netns import BLACK_HOLE_IP4, PRIVATE_IP4

from . import cache, delivery
from .common import BUILD, LineTool
from .lexicon import Lexicon, NotUnderstood, plain

ELSEWHERE = "elsewhere.example"   # no MX of anybody: a policy that lists only this one keeps every mail back


def kind(case):
    """What the case is about, by its fields: a name of TOOL or REAL."""
    for name, fields in (("cache", {"steps"}), ("delivery", {"policy", "mx"}), ("discovery", {"txt_rrset"}),
                         ("discovery", {"cname_chain"}), ("discovery", {"dns"}), ("record", {"txt"}),
                         ("policy", {"policy"}), ("policy", {"policy_make"}), ("match", {"patterns", "mx"}),
                         ("fetch", {"status"}), ("fetch", {"cert"}), ("fetch", {"host"}), ("fetch", {"body"})):
        if fields <= set(case) and (name != "delivery" or delivery.is_one(case)):
            return name
    return None


_COMMON = {"id", "source", "note", "why", "disputed", "expect", "title"}


def known(case, *fields):
    """Fields that nobody reads would be words that nobody understands."""
    strange = sorted(set(case) - _COMMON - set(fields))
    if strange:
        raise NotUnderstood(strange, "the fields of the case")


# -- through the tool ---------------------------------------------------------------------------------

_VERDICTS = Lexicon([
    (r"(?:not|no|un|never|cannot be) ?(?:accept\w*|valid|good|parse[sd]?|ok|well formed)|invalid", "REJECT"),
    (r"reject\w*|refus\w*|error|fail\w*|ignore[ds]?|malformed|broken|bad", "REJECT"),
    (r"accept\w*|valid|good|parse[sd]?|ok|well formed", "ACCEPT"),
    (r"no match|not match\w*|does not match|mismatch\w*|unmatched", "NO-MATCH"),
    (r"match\w*|listed", "MATCH")])


def one_of(lexicon, text):
    """The one meaning of a text."""
    meanings = {meaning for meaning, _ in lexicon.read(text)}
    if len(meanings) != 1:
        raise NotUnderstood(text, "an expectation that says one thing")
    return meanings.pop()


def _differs(case, got, names):
    for name in names:
        if name in case and got.get(name) != case[name]:
            return f"{name} {case[name]!r} is due, it is {got.get(name)!r}"
    return None


def _verdict(case, got):
    due = one_of(_VERDICTS, case["expect"])
    if got["verdict"] == due:
        return None
    return f"{due} is due, it is {got['verdict']}" + (f" ({got['why']})" if "why" in got else "")


def check_record(tool, case):
    known(case, "txt", "sts_id", "extensions")
    got = tool.ask({"txt": case["txt"]})
    return _verdict(case, got) or _differs(case, got, ("sts_id", "extensions"))


def check_policy(tool, case):
    known(case, "policy", "policy_make", "mode", "mx", "max_age", "extensions")
    got = tool.ask({k: case[k] for k in ("policy", "policy_make") if k in case})
    return _verdict(case, got) or _differs(case, got, ("mode", "mx", "max_age", "extensions"))


def check_match(tool, case):
    known(case, "patterns", "mx")
    host = case["mx"]
    if not host.isascii():   # a U-label is looked up, and compared, as an A-label
        host = host.encode("idna").decode("ascii")
    got = tool.ask({"patterns": case["patterns"], "mx": host})
    if got["verdict"] == "ERROR":   # no host name: nothing can match it
        got["verdict"] = "NO-MATCH"
    return _verdict(case, got)


# -- discovery ----------------------------------------------------------------------------------------

_FOUND = Lexicon([
    (r"no (?:policy|record|mta sts|sts)(?: \w+)?|none|not found|absent|ignored?|nothing", "no-policy"),
    (r"temp(?:orary)? ?(?:error|failure)|temperror|dns error|tempfail|lookup (?:error|failure)", "temporary-error"),
    (r"(?:a )?(?:policy )?record(?: found)?|found|accept\w*", "record")])

_DNS = Lexicon([
    (r"(?:connection|tcp|port)(?: is)? (?:refused|closed|reset)|nothing listens|refused by the (?:host|server)"
     r"|closed port", "refused"),
    (r"(?:connection|tcp|port)(?: is)? (?:blocked|filtered|times out)|black ?hole", "black-hole"),
    (r"no (?:a or aaaa|a and aaaa|a/aaaa)(?: records?)?", "nodata"),
    (r"cname (?:loop|cycle)|loop|too many (?:cnames|aliases)", "loop"),
    (r"servfail|server failure|lookup (?:error|failure|fails)|temporary (?:error|failure)|temperror|refused", "servfail"),
    (r"time ?out|times out|timed out|no (?:answer|response|reply)|does not answer|unreachable|dropped", "timeout"),
    (r"bogus|(?:dnssec )?(?:fails|failure|error|invalid)|(?:dnssec )?(?:validation|signature) (?:fails|failure"
     r"|error|invalid)|bad signature", "bogus"),
    (r"nxdomain|no such (?:domain|name|host)|unresolvable|(?:does|do) not (?:exist|resolve)|cannot be resolved"
     r"|non ?existent", "nxdomain"),
    (r"nodata|no data|no (?:txt|a|aaaa|address)(?: records?)?|empty|absent", "nodata"),
    (r"noerror|ok|resolves|good|present", "good"),
    (r"loopback|127\.0\.0\.1|localhost", "loopback"),
    (r"private(?: address\w*)?|rfc ?1918", "private")],
    filler="cname target dns txt record query lookup answer name host policy _mta-sts mta-sts mta sts address server")


def _alias_zone(how):
    """A name for which every look-up ends like this."""
    return {"servfail": "gone.servfail.example", "timeout": "gone.hole.example", "bogus": "gone.bogus.example",
            "nxdomain": "nothing-there.plain.example"}[how]


def _make_discovery(stage, scene, case):
    domain = scene.domain()
    mx = stage.good_mx()
    domain.mx(mx.host)
    sts = domain.sts(mx=[ELSEWHERE], id=None)
    how = one_of(_DNS, case["dns"]) if case.get("dns") else None
    # Names of our own for the aliases, in their order.
    here = [f"alias{n}.{domain.name}" for n, _ in enumerate(case.get("cname_chain", ()))]
    names = [f"_mta-sts.{domain.name}", *here]
    if how == "loop":
        here.append(names[-1] if len(names) > 1 else f"alias.{domain.name}")
        names.append(names[0])
    elif how and (how != "nodata" or here):
        names.append(f"{domain.name}" if how == "nodata" else _alias_zone(how))
    if how in ("servfail", "timeout", "bogus", "nxdomain") and here:
        names = names[:len(here)] + [names[-1]]   # the last alias is the name that fails
    for name, target in zip(names, names[1:]):
        domain.server.add(name, "CNAME", target + ".", ttl=0)
    for strings in case.get("txt_rrset", ()) if not how else ():
        texts = [strings] if isinstance(strings, str) else strings
        domain.server.add(names[-1], "TXT", " ".join(map(_quoted, texts)), ttl=0)
    return domain, mx, sts


def _quoted(text):
    """Master file form of a character-string, byte by byte."""
    return '"' + "".join(chr(b) if 0x20 < b < 0x7f and b not in b'"\\;' else f"\\{b:03d}"
                         for b in text.encode("utf-8")) + '"'


def check_discovery(stage, tool, case):
    known(case, "txt_rrset", "cname_chain", "dns", "sts_id")
    due = one_of(_FOUND, case["expect"])
    if "txt_rrset" in case and "dns" not in case:
        rrset = [[r] if isinstance(r, str) else r for r in case["txt_rrset"]]
        got = tool.ask({"txt_rrset": rrset})
        if (got["verdict"] == "ACCEPT") != (due == "record"):
            return f"{due} is due, policy-tool says {got}"
        if len({tuple(r) for r in rrset}) < len(rrset):
            return None   # no zone holds a record twice
    with stage.scene() as scene:
        with stage.making:
            domain, mx, sts = _make_discovery(stage, scene, case)
        daemon = stage.daemon("may", tls={"level": "may"})
        o = stage.send(scene, daemon, domain, [mx])
        told = next(iter(o.of("sts")), {})
        failed = told.get("outcome") == "discovery-failed" and told.get("detail", "").startswith("TXT of ")
        found = "record" if o.field("sts_id") else "temporary-error" if failed else "no-policy"
        if found != due:
            return f"{due} is due, it is {found} ({told or 'no sts record'})"
        if due == "record":
            if "sts_id" in case and o.field("sts_id") != case["sts_id"]:
                return f"sts_id {case['sts_id']!r} is due, it is {o.field('sts_id')!r}"
            return None if o.code == 451 and not o.takers else f"the policy is not enforced: {o.heard}"
        return o.untruth() or (None if o.delivered and not sts.requests() else
                               f"mail goes on as if there were no policy; it was {o.heard}, {sts.requests()}")


# -- fetches ------------------------------------------------------------------------------------------

_FETCHED = Lexicon([
    (r"no (?:policy|mta sts|sts)(?: \w+)?|as if none|none", "no-policy"),
    (r"(?:fetch|policy|https?|tls|syntax|parse|temporary|webpki) ?(?:error|failure|fails|failed)|error|fail\w*"
     r"|reject\w*|refus\w*"
     r"|invalid", "fetch-error"),
    (r"(?:a |the )?(?:valid )?policy|accept\w*|ok|success\w*|fetched", "policy")])

_NAMES = r"(?:mta[ -]sts\S*|(?:the )?policy (?:host|server))(?: (?:host|name|domain|prefix|label))?"
_CERTIFICATES = Lexicon([
    (rf"(?:(?:issued|valid|good|only|trusted) )*(?:for|names|covers|of) (?:the )?[\w-]+(?:\.[\w-]+)*"
     rf"(?: (?:domain|host|name))?(?: itself| only| alone)?,? (?:and |but )?(?:not(?: for| of)?|instead of|without)"
     rf" (?:the )?{_NAMES}"
     rf"|(?:not (?:for |of )?|without (?:the )?){_NAMES}"
     r"|(?:only )?for (?:the )?(?:policy|mail|recipient) domain (?:only|itself|alone)"
     r"|only for (?:the )?(?:policy|mail|recipient) domain", "name-mismatch"),
    (r"(?:valid |good )?for mta[ -]sts\b\S*", "good"),
    (r"not for [\w.-]+(?: \w+)?", "name-mismatch"),
    (r"for (?:the )?(?:policy (?:host|domain)|right (?:host|name)|mta-sts\.\S+)", "good"),
    (r"(?:name )?(?:only )?(?:in )?(?:the )?(?:common name|cn)(?: only)?|cn only|(?:no|without) san", "cn-only"),
    (r"(?:tls ?v?1\.[01]|old tls)(?: only)?|only tls ?v?1\.[01]", "tls-1.1"),
    (r"not yet valid|future", "not-yet-valid"),
    (r"expired|out of date", "expired"),
    (r"self ?signed", "self-signed"),
    (r"(?:for|of|names?|naming|issued (?:to|for)) (?:an?other|a different|the wrong|some other)(?: \w+)?"
     r"|(?:wrong|other|different|mismatch\w*) (?:host ?)?(?:name|domain|host)|(?:host ?)?name mismatch|mismatch\w*",
     "name-mismatch"),
    (r"untrusted(?: \w+)?|unknown (?:ca|root|issuer|authority)|not trusted|private (?:ca|root)|bad|invalid"
     r"|does not validate",
     "untrusted-root"),
    (r"incomplete(?: chain)?|(?:missing|without|no)(?: the)? intermediate", "incomplete-chain"),
    (r"revoked", "stapled-revoked"),
    (r"wildcard", "wildcard"),
    (r"client(?: auth\w*)?(?: only)?|wrong purpose|not for servers", "client-auth"),
    (r"sha ?1|weak signature", "sha1"),
    (r"rsa ?1024|weak key", "rsa1024"),
    (r"none|no tls|plain(?: ?text)?(?: http)?|no certificate|missing", "no-tls"),
    (r"good|valid|ok|trusted|correct|matching", "good")], filler="certificate cert chain domain host policy ca "
     "signed only http")


def _answer(case):
    """(answer of nginx or None, the scripted answer): status, body and what they mean."""
    status, body = case.get("status", 200), case.get("body", "")
    if not isinstance(status, int):
        raise NotUnderstood(str(status), "a status")
    headers = ["Connection: close"]
    location = re.fullmatch(r"\s*location: *(\S+)\s*", body, re.I)
    if status // 100 == 3:
        headers.append(f"Location: {location[1] if location else '/other'}")
        body = "" if location else body
    headers += [f"{k}: {v}" for k, v in case.get("headers", {}).items()]
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    data = body.encode("utf-8")
    media = case.get("content_type", "text/plain")
    return http_head(f"{status} {phrase}", kind=media, length=len(data), headers=headers) + data


def _make_fetch(scene, case, domain):
    """The policy host: nginx where it can answer so, else the scripted server."""
    cert, how = one_of(_CERTIFICATES, case["cert"]), one_of(_DNS, case["host"])
    if "body_make" in case:
        make = case["body_make"]
        case = {**case, "body": make.get("prefix", "") + make["repeat"] * make["count"] + make.get("suffix", "")}
    plain_answer = case.get("status", 200) == 200 and case.get("content_type", "text/plain") == "text/plain" \
        and "headers" not in case
    kind_, versions = ("good", ("1.0", "1.1")) if cert == "tls-1.1" else (cert, ("1.2", "1.3"))
    if cert == "no-tls":
        sts = domain.sts(text=b"", replies={"handshake": [_answer(case)]})
    elif plain_answer:
        sts = domain.sts(text=case.get("body", "").encode("utf-8"), kind=kind_, versions=versions)
    else:
        sts = domain.sts(text=b"", kind=kind_, replies={"response": [_answer(case)]})
    if how in ("servfail", "timeout", "bogus", "nxdomain"):
        sts.host_fails(how)
    elif how == "nodata":
        sts.host_cname(domain.name)
    elif how in ("loopback", "private"):
        sts.host_addresses("127.0.0.1" if how == "loopback" else PRIVATE_IP4)
    elif how == "black-hole":
        sts.host_addresses(BLACK_HOLE_IP4)
    elif how == "refused":
        sts.host_addresses(scene.net.new_host()[0])
    elif how != "good":
        raise NotUnderstood(how, "the state of the policy host")
    return sts


def check_fetch(stage, case):
    known(case, "status", "body", "body_make", "cert", "host", "mode", "mx", "max_age", "headers", "content_type")
    for cert in _CERTIFICATES.alternatives(case.get("cert", "good")):
        for host in _DNS.alternatives(case.get("host", "good")):
            complaint = _fetch(stage, {**case, "cert": cert, "host": host})
            if complaint:
                return f"{complaint} (certificate {cert}, host {host})"
    return None


def _fetch(stage, case):
    due = one_of(_FETCHED, case["expect"])
    with stage.scene() as scene:
        with stage.making:
            domain, mx = scene.domain(), stage.good_mx()
            domain.mx(mx.host)
            sts = _make_fetch(scene, case, domain)
        o = stage.send(scene, stage.daemon("may", tls={"level": "may"}), domain, [mx])
        told = next(iter(o.of("sts")), None)
        if told is None:
            return "the policy was not asked for"
        if len(sts.requests()) > 1:
            return f"one request is due, and no redirect followed: {sts.requests()}"
        if due == "policy":
            if told["outcome"] != "new-policy":
                return f"a policy is due, it is {told['outcome']}: {told.get('reason')} {told.get('detail')}"
            got = {"mode": told["sts_mode"], "mx": told.get("sts_mx", []), "max_age": told["max_age"]}
            return o.untruth() or _differs(case, got, got)
        if (told["outcome"], told["in_force"]) != ("fetch-failed", False):
            return f"{due} is due, it is {told}"
        return o.untruth() or (None if o.delivered else f"mail goes on as if there were no policy; it was {o.heard}")


# -- all of them --------------------------------------------------------------------------------------

_TOOL = {"record": check_record, "policy": check_policy, "match": check_match}


def run_tool(cases, results):
    """The cases that need no network."""
    with LineTool(BUILD / "tests/policy-tool") as tool:
        for case in cases:
            used = None
            try:
                why, used = settled(case, functools.partial(_TOOL[kind(case)], tool))
            except NotUnderstood as e:
                why = f"not understood: {e}"
            except (RuntimeError, KeyError, TypeError, ValueError) as e:
                why = f"{type(e).__name__}: {e}"
            results.report(case, why, used)


def is_for_tool(case):
    return kind(case) in _TOOL


# What docs/policy.md, "Where sources disagree", says: words of a dispute, the verdict that follows from our
# decision (None: whatever the case expects), and the decision.
DECISIONS = [
    (r"semicolon", "REJECT", "MTA-STS records: one semicolon may end them, a second refuses the record (RFC 8461 "
     "3.1)"),
    (r"underscore", "REJECT", "MTA-STS patterns are host names: no underscore"),
    (r"(?:trailing|final|root) dot|dot at the end", "REJECT", "MTA-STS patterns have no dot at the end"),
    (r"u label|unicode|idn", "REJECT", "MTA-STS patterns are A-labels"),
    (r"(?:blank|empty) lines?", "REJECT", "MTA-STS policies have no blank lines"),
    (r"control|tab inside", "REJECT", "values of MTA-STS policies have no control characters"),
    (r"31557600|(?:large|larger|exceed\w*|above|maximum|cap\w*|too (?:big|large|long)).*max_age"
     r"|max_age.*(?:large|larger|exceed\w*|above|maximum|cap\w*)",
     "ACCEPT", "max_age above 31557600 counts as 31557600"),
    (r"order|version (?:is |must be )?first", "ACCEPT", "the fields of an MTA-STS policy come in any order"),
    (r"duplicate|twice|repeated|two \w+ fields", "ACCEPT", "of a repeated field the first counts"),
    (r"lf\b|line end|newline|crlf", "ACCEPT", "MTA-STS policies: CRLF or LF"),
    (r"whitespace|blanks?|spaces?|wsp", None, "blanks in MTA-STS texts: as the grammar of RFC 8461 has them"),
]
_AS_EXPECTED = "disputed elsewhere; RFC 8461 by the letter says what the case expects"


def settled(case, judge):
    """(complaint, decision) of a case; a disputed one is judged by what docs/policy.md decides."""
    complaint = judge(case)
    if "disputed" not in case:
        return complaint, None
    words = plain(f"{case['disputed']} {case.get('why', '')}")
    _, verdict, text = next((d for d in DECISIONS if re.search(d[0], words)), (None, None, None))
    if complaint is None:
        return None, text or _AS_EXPECTED
    if verdict is None:
        return f"{complaint}; disputed, and docs/policy.md decides nothing on {case['disputed']!r}", None
    bare = {k: v for k, v in case.items() if k in ("id", "txt", "policy", "policy_make", "patterns")}
    return judge({**bare, "expect": verdict.lower()}), text


def check_real(case, player):
    stage = player.stage
    checks = {"discovery": functools.partial(check_discovery, stage, stage.tool),
              "fetch": functools.partial(check_fetch, stage),
              "cache": functools.partial(cache.check, stage), "delivery": functools.partial(delivery.check, stage)}
    if kind(case) not in checks:
        raise NotUnderstood(sorted(case), "the fields of the case")
    return settled(case, checks[kind(case)])


def seconds(case):
    return {"cache": 10, "discovery": 1}.get(kind(case), 0)
