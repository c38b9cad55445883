# SPDX-License-Identifier: Apache-2.0
"""dane: what DNS says of an MX, in words, made of real zones of the lab.

    crafted                     a name that is secure; a look-up of it can fail
    plain, craftedplain         one that is insecure; where a look-up can fail

Of a zone of Knot a resolver learns from one proof of absence what else is not there: not what cases that run
beside each other and make names all the time can use.
"""

import re

from . import dane, servers
from .lexicon import Lexicon, NotUnderstood, plain
from .outcome import Expectation

# See docs/policy.md, "half_dane": by default an insecure MX record has no DANE.
HALF_DANE = ("an MX record that is not signed: no DANE by default; the case holds with tls.half_dane = true, "
             "without it the "
             "mail goes out without DANE")
ISLAND = ("records under one name, some signed and some not: no zone can be so; the look-ups are judged by "
          "policy-tool, the "
          "mail is sent with all of the name signed")

_STATE = [
    (r"(?:not secure|in ?secure|un ?signed|not signed|non ad|not validated|un ?authenticated)", "insecure"),
    (r"(?:secure|signed|validated|authenticated|ad)", "secure"),
    (r"bogus|bad signature|expired signatures?|signatures? expired|(?:dnssec )?validation (?:fails|failure|error)",
     "bogus"),
]
_FAILURE = (r"(?:broken record|malformed|unparsable)?,? ?(?:the )?(?:server )?(?:does not answer|no answer"
            r"|time ?out|times out|timed out|unreachable|silent)",
            r"(?:look ?up )?(?:error|failure|fails|failed)|servfail|server failure|refused|temporary error"
            r"|cannot be looked up")
_ADDRESS = r"(?:(?:whose |its |the |with )?(?:a|aaaa|a and aaaa|a/aaaa|address(?:es)?)(?: records?)?(?: (?:is|are))?)"

MX_HOST = Lexicon([
    *[(rf"(?P<s>{s}) (?:cname|alias)(?: to| of|:)?(?: (?P<to>[\w.-]+))?", ("alias", v)) for s, v in _STATE],
    *[(rf"{_ADDRESS} (?:record |lookup |is )*{s}", ("addr", v)) for s, v in _STATE],
    (rf"{_ADDRESS} (?:{_FAILURE[0]})", ("addr", "timeout")),
    (rf"{_ADDRESS} (?:{_FAILURE[1]})", ("addr", "error")),
    (r"(?:cname|alias) (?:(?:look ?up )?(?:error|fails|failure)|servfail)", ("alias", "error")),
    (r"(?:no alias|not an alias|plain name)", ("alias", None))], filler="mx host name target cname is, with")

ADDR = Lexicon([
    *[(s, v) for s, v in _STATE], (_FAILURE[0], "timeout"), (_FAILURE[1], "error"),
    (r"none|no address(?:es)?|nxdomain|nodata|absent", "none")], filler="a aaaa address addresses record records "
     "rrset lookup dns")

TLSA = Lexicon([
    (r"(?:secure|signed|authenticated|proved|nsec3?)? ?denial(?: of existence)?|none|no(?: tlsa)? records?|absent"
     r"|nxdomain|nodata|empty", "none"),
    (r"broken(?: record)?,? (?:the )?server does not answer|" + _FAILURE[0], "timeout"),
    (r"broken(?: record)?|" + _FAILURE[1], "error"),
    *[(s, v) for s, v in _STATE]],
    filler="tlsa lookup record records rrset dns existence query")


def _tlsa_state(text):
    """(state or None, text of the records): "secure, 3 1 1 matches"."""
    state, records = None, plain(text)
    for pattern, value in (*_STATE,):
        shorter = re.sub(rf"(?<!\w){pattern}(?!\w)", " ", records)
        if shorter != records:
            state, records = value, shorter
            break
    records = records.strip(" ,")
    if TLSA.understands(text) and not re.search(r"match|\d \d", records):
        meanings = [m for m, _ in TLSA.read(text)]
        for special in ("none", "timeout", "error"):
            if special in meanings:
                return (special if special != "none" else state or "secure"), None
        if not records and state == "bogus":
            return "bogus", "matches"
    if state is None:
        raise NotUnderstood(text, "a TLSA RRset that is secure or insecure")
    return state, records


class Host:
    """One name of the case, the MX host or the target of its alias, and what is said of it."""

    def __init__(self, name):
        self.name = name
        self.states = {}      # "addr", "alias", "tlsa" -> secure, insecure, ...
        self.records = None   # in words; None: no TLSA records
        self.behind_alias = False   # the target of a signed alias

    @property
    def tlsa_elsewhere(self):
        """TLSA records that are not signed at a name that is: its _25._tcp is an alias into another zone."""
        return self.states.get("tlsa") == "insecure" and "secure" in self._others()

    @property
    def contradictory(self):
        """Signed TLSA records below a name that is not signed: no zone is so."""
        return self.states.get("tlsa") == "secure" and "insecure" in self._others()

    def _others(self):
        return {v for k, v in self.states.items() if k != "tlsa"}

    @property
    def secure(self):
        if self.contradictory:
            return self.behind_alias
        return "insecure" not in self.states.values() or self.tlsa_elsewhere

    @property
    def zone(self):
        if self.secure:
            return "crafted"
        return "craftedplain" if {"timeout", "error", "bogus"} & set(self.states.values()) else "plain"


_FAULTS = {"timeout": "drop", "error": "servfail", "bogus": "badsig"}


class Situation:
    """What the words say, before anything is made."""

    def __init__(self, case):
        self.mx, self.target = Host("mx"), None
        self._read_mx_host(case.get("mx_host"))
        end = self.target or self.mx
        if case.get("addr") is not None:
            for state in ADDR.read(case["addr"]):
                end.states["addr"] = state[0]
        for owner, text in (case.get("tlsa") or {}).items():
            host = self._owner(owner)
            host.states["tlsa"], host.records = _tlsa_state(text)

    def _read_mx_host(self, text):
        if text is None:
            return
        for (what, value), m in MX_HOST.read(text):
            if what == "alias" and value is not None:
                self.mx.states["alias"] = value
                self.target = Host((m.groupdict().get("to") or "mx.cname").strip(".,"))
                self.target.behind_alias = value == "secure"
            elif what == "addr":
                (self.target or self.mx).states["addr"] = value

    def _owner(self, owner):
        """"_25._tcp.mx (original name)"."""
        m = re.match(r"\s*_\d+\._tcp\.([\w.-]+?)\.?\s*(?:\(.*\))?\s*$", owner.lower())
        if not m:
            raise NotUnderstood(owner, "an owner name of TLSA records")
        for host in (self.mx, self.target):
            if host is not None and m[1] == host.name:
                return host
        raise NotUnderstood(m[1], f"the hosts {self.mx.name} and {self.target and self.target.name}")

    @property
    def hosts(self):
        return [h for h in (self.mx, self.target) if h is not None]


def _publish(stage, scene, situation, mx_secure, spec):
    """Zones, servers and records.  (domain, MX, owner names of TLSA records by Host)."""
    domain = scene.domain(zone="crafted" if mx_secure else "plain")
    if mx_secure in _FAULTS:
        domain.fault("MX", _FAULTS[mx_secure])
    names = {}
    for host in situation.hosts:
        home = scene.domain(zone=host.zone)
        names[host] = (home, f"mx.{home.name}")
    first, end = situation.hosts[0], situation.hosts[-1]
    options = servers.options(spec)
    host_name = names[first][1]
    chain = None
    if "tls" not in options:
        chain = scene.pki.chain(options.pop("kind", "good"), host_name)
        options["chain"] = chain
    mx = stage.hostile(scene, name=host_name, **{k: v for k, v in options.items() if k != "tls"},
                       **({} if chain else {"chain": None}))
    mx.host = host_name
    domain.mx(host_name)
    end_home, end_name = names[end]
    if end.states.get("addr") != "none":
        end_home.add_addresses(end_name, mx.addresses)
    if end is not first:
        names[first][0].server.add(host_name, "CNAME", end_name + ".")
    key = chain or scene.pki.chain("good", host_name)
    parties = {"leaf": key.leaf, "intermediate": scene.pki.intermediate.cert, "root": scene.pki.root.cert}
    for host, (home, name) in names.items():
        at = (home, name)
        if host.tlsa_elsewhere:
            other = scene.domain()
            at = (other, f"mx.{other.name}")
            home.server.add(f"_25._tcp.{name}", "CNAME", f"_25._tcp.{at[1]}.")
        for record in dane.records_of(host.records, key, parties) if host.records else ():
            at[0].tlsa_rdata(at[1], dane.rdata_text(*record))
        if host.states.get("tlsa") in _FAULTS:
            home.fault("TLSA", _FAULTS[host.states["tlsa"]], host=name)
        if host.states.get("addr") in _FAULTS:
            for rdtype in ("A", "AAAA"):
                home.fault(rdtype, _FAULTS[host.states["addr"]], host=name)
        if host.states.get("alias") in _FAULTS:
            home.fault("CNAME", _FAULTS[host.states["alias"]], host=name)
    return domain, mx, names


def _run(stage, situation, mx_secure, half_dane, spec, expect):
    with stage.scene() as scene:
        with stage.making:
            domain, mx, names = _publish(stage, scene, situation, mx_secure, spec)
        name = "half-dane" if half_dane else "dane"
        daemon = stage.daemon(name, tls={"level": "dane", **({"half_dane": True} if half_dane else {})})
        o = stage.send(scene, daemon, domain, [mx])
        complaint = Expectation(expect).judge(o)
        if not complaint:
            complaint = _not_asked(scene, situation, names)
        how = f"the MX record is {'signed' if mx_secure else 'not signed'}{', half_dane' if half_dane else ''}"
        return complaint and f"{complaint} ({how}; servers {spec})"


def _not_asked(scene, situation, names):
    """No TLSA query where the addresses are not secure (RFC 7672 2.2.1); the scripted server has counted."""
    for host, (_, name) in names.items():
        if host.zone == "craftedplain" and host.states.get("addr") == "insecure" and situation.target is None:
            if scene.dns.crafted.count(f"_25._tcp.{name}", "TLSA"):
                return f"TLSA of {host.name} was asked for, its addresses are insecure"
    return None


_NOBODY = {"leaf": b"", "intermediate": b"", "root": b""}


def _by_the_plan(stage, situation, expect):
    """The look-ups of a situation that no zone can show, by policy-tool."""
    answers = {}
    first, end = situation.hosts[0], situation.hosts[-1]
    alias = situation.target is not None
    answers["ADDRESS mx.example"] = {
        "secure": end.states.get("addr") == "secure" and first.states.get("alias", "secure") == "secure",
        "canonical": "target.example" if alias else "mx.example"}
    if alias:
        answers["CNAME mx.example"] = {"secure": first.states.get("alias") == "secure", "canonical": "target.example"}
    for host, name in zip(situation.hosts, ("mx.example", "target.example")):
        if host.records:
            answers[f"TLSA _25._tcp.{name}"] = {
                "secure": host.states["tlsa"] == "secure",
                "rdata": [bytes([u, s, m]).hex() + "aa" * {1: 32, 2: 64}.get(m, 32)
                          for u, s, m, _ in dane.records_of(host.records, None, _NOBODY)]}
    got = stage.tool.ask({"host": "mx.example", "mx_secure": True, "answers": answers})
    due = "no dane" if re.search(r"without dane|no dane", plain(expect)) else "dane"
    found = "dane" if got.get("state") in ("usable", "unusable") else "no dane" if got.get("state") in (
        "absent", "insecure", "off") else None
    return None if found == due else f"{due} is due; policy-tool says {got}"


def check(stage, case):
    dane.known(case, "mx_secure", "mx_host", "addr", "tlsa", "tls")
    situation, expect, used = Situation(case), case["expect"], None
    expects_dane = not re.search(r"without dane|no dane", plain(expect))
    # Whether the MX record is signed: as the case says, else both; half_dane makes it not matter.
    told = case.get("mx_secure")
    if isinstance(told, str):
        ((told, _),) = ADDR.read(told)
        told = {"secure": True, "insecure": False}.get(told, told)
    if any(h.contradictory for h in situation.hosts):
        used = ISLAND
        complaint = _by_the_plan(stage, situation, expect)
        if complaint:
            return complaint, used
    for spec in servers.variants(case.get("tls")):
        for secure in (True, False) if told is None else (told,):
            # What goes out without DANE because the MX record is not signed needs no setting.
            half_dane = not secure and (told is None or expects_dane)
            complaint = _run(stage, situation, secure, half_dane, spec, expect)
            if complaint:
                return complaint, used
        if told is False and expects_dane:
            used = used or HALF_DANE
            complaint = _run(stage, situation, False, False, spec, "delivered without DANE")
            if complaint:
                return f"without half_dane: {complaint}", used
    return None, used
