# SPDX-License-Identifier: Apache-2.0
"""What a case expects of a mail, in words, held against the Outcome.

Each phrase of the lexicon demands something: a function (outcome, match) -> None or a complaint.  All of a
text must hold; of alternatives ("or") one.
"""

import re

from .lexicon import Lexicon, NotUnderstood, plain, without_remarks


def _due(what, o):
    return f"{what} is due; {o.told()}"


def delivered(o, _=None):
    return None if o.delivered else _due("delivery", o)


def not_delivered(o, _=None):
    return _due("no delivery", o) if o.takers or o.code == 250 else None


def temporary(o, _=None):
    return not_delivered(o) or (None if o.code // 100 == 4 else _due("4xx", o))


def permanent(o, _=None):
    return not_delivered(o) or (None if o.code // 100 == 5 else _due("5xx", o))


def not_permanent(o, _=None):
    return _due("no 5xx", o) if o.code // 100 == 5 else None


def no_mail(o, _=None):
    return _due("no MAIL", o) if o.saw("MAIL") else not_delivered(o)


def refused(o, _=None):
    return temporary(o) or no_mail(o)


def in_tls(o, _=None):
    return delivered(o) or (None if o.in_tls else _due("TLS", o))


def in_clear(o, _=None):
    return delivered(o) or (_due("clear text", o) if o.in_tls else None)


def never_clear(o, _=None):
    return _due("no clear text", o) if o.saw("MAIL", in_tls=False) else None


def by_dane(o, _=None):
    return in_tls(o) or (None if o.field("dane_outcome") == "ok" and o.field("demand") == "dane" else
                         f"authentication by DANE is due: demand {o.field('demand')}, DANE {o.field('dane')}, "
                         f"outcome {o.field('dane_outcome')}")


def authenticated(o, _=None):
    """By whoever asks for it."""
    return verified(o) if o.field("demand_source") == "mta-sts" else by_dane(o)


def without_dane(o, _=None):
    found = o.field("dane")
    return delivered(o) or (None if found in ("absent", "insecure", "off") and o.field("demand_source") != "dane"
                            else f"DANE must not count, it is {found}, demand by {o.field('demand_source')}")


def unauthenticated(o, _=None):
    found = o.field("dane"), o.field("demand")
    return in_tls(o) or (None if found == ("unusable", "encrypt") else
                         f"TLS without authentication is due: DANE {found[0]}, demand {found[1]}")


def reported(o, _=None):
    outcome = o.field("sts_outcome") or o.field("dane_outcome") or o.field("would_defer")
    return None if outcome not in (None, "ok") else f"the failure is to be recorded, the outcome is {outcome}"


def not_reported(o, _=None):
    outcome = o.field("sts_outcome")
    return f"nothing is to be reported, the record says {outcome}" if outcome not in (None, "ok") else None


def verified(o, _=None):
    return in_tls(o) or (None if o.field("verify") == "ok" else f"the certificate is judged {o.field('verify')}")


def no_policy(o, _=None):
    mode = o.field("sts_mode")
    if mode or o.field("demand_source") == "mta-sts":
        return f"no policy is to be in force, it is one of mode {mode}"
    return None


def next_host(o, _=None):
    hosts = [mx.host for mx, _ in o.mxs]
    used = [host for host, _ in o.takers]
    return None if len(hosts) > 1 and used and used[0] != hosts[0] else (
        _due("delivery to another host", o) if len(hosts) > 1 else refused(o))


_TLSES = r"(?:starttls|tls|encryption)"
_PLAIN = r"(?:plain ?text|clear ?text|clear text|clear|plain|downgrade\w*)"
_MAIL = r"(?:mail from|mail command|envelope|mail)"
_DELIVER = r"(?:deliver(?:y|ed|s|ing)?|accept(?:ed|s)?|sent|send|goes out|go ahead|go on|proceed\w*|transmit\w*)"
_BE = r"(?:is |are |be |was |to be |gets |must be |should be )?"

PHRASES = [
    (rf"(?:no|never|without|not)(?: a| any)? (?:in |fall ?back to |use |using )?{_PLAIN}(?: (?:fall ?back"
     rf"|delivery|retry|allowed|mail))*"
     rf"|no fall ?back(?: to {_PLAIN})?|(?:must )?not fall ?back(?: to {_PLAIN})?|not in {_PLAIN}", never_clear),
    (rf"(?:no|without|never|before)(?: any| a)? {_MAIL}(?: (?:is |was )?(?:sent|issued|given|seen))?"
     rf"|{_MAIL} (?:is |was )?(?:not|never) (?:sent|issued|given|seen)|nothing is sent(?: to (?:the|that) (?:mx"
     rf"|host))?", no_mail),
    (r"(?:no|not|never|without|do not|must not)(?: an?)? (?:bounc\w+|permanent(?:ly)?(?: \w+)?|5xx|reject\w*)",
     not_permanent),
    (r"(?:before|until|unless|without first)(?: (?:the|a|having|it|policy|was|is|has been|been))* (?:check"
     r"|re ?check|re ?fetch|refresh|look)\w*"
     r"(?: (?:again|up|for|a|the|new|policy|id))*", lambda o, m: None),
    (r"(?:no|not|never|without|do not|must not|nothing)(?: an?| any| be| is| to)* (?:report\w*|record\w*"
     r"|logg\w*)(?: \w+)?|"
     r"no failure(?: is)?(?: to be)? (?:reported|recorded|logged)", not_reported),
    (r"no dane(?: requirement| policy| demand)?(?: applies)?|(?:without|not (?:under|by)|ignoring) dane"
     r"|dane (?:does not apply|is not used|not used|ignored|is ignored|is off|inactive|not applicable)|pre dane"
     r"|as if (?:there (?:is|was|were) )?no tlsa(?: records?)?", without_dane),
    (r"un ?authenticated|without (?:any )?authentication|not authenticated|no authentication(?: is)?(?: required"
     r"| needed)?"
     r"|authentication (?:is )?not required|(?:tls|encryption) (?:is )?(?:mandatory|required|owed)", unauthenticated),
    (r"if (?:none|no (?:mx|host|other)(?: mx| host)?)(?: is| are)? (?:left|remains?)", lambda o, m: None),
    (r"(?:mx|host)(?: is)? not (?:usable|used|eligible|tried)|no (?:mx|host)(?: is)? left|(?:mx|host)(?: is)? skipped|unusable",
     not_delivered),
    (r"(?:try )?the next(?: one)?(?! mx| host| one| server)", next_host),
    (r"authenticated(?! (?:by|with|via|through) dane)", authenticated),
    (r"(?:dane )?authenticated(?: by| with| via| through)? dane|dane authenticated|dane(?: is)? (?:ok|success"
     r"|matches|verified)"
     r"|authenticated|verified by dane|dane match(?:es)?", by_dane),
    (rf"(?:do not|does not|don't|must not|can not|cannot|not|never|no"
     rf"|nothing)(?: to)?(?: \w+){{0,2}}? ?(?:be )?{_DELIVER}"
     rf"(?: (?:is|to|at|any|the|this|that|mail|message|such|unlisted|mx|host)\b)*|undelivered|withh(?:eld|old)"
     rf"|no mail is delivered",
     not_delivered),
    (r"temp(?:orary|orarily)? ?(?:fail\w*|error|refus\w*|reject\w*)|tempfail\w*|temperror|defer\w*|4\d\d|4xx|4yz|"
     r"(?:retry|retried|try again|try)(?: later)|retry|queued?|delay\w*|transient(?: \w+)?|soft ?fail\w*|"
     r"(?:treated|treat) as (?:a )?temporary(?: \w+)?|temporary|later", temporary),
    (r"perm(?:anent|anently)? ?(?:fail\w*|error|refus\w*|reject\w*)|bounc\w*|5\d\d|5xx|permanent", permanent),
    (r"as if (?:there (?:is|was|were) )?no (?:mta sts )?policy(?: (?:existed|at all))?|as (?:if )?without (?:a "
     r"|any )?(?:mta sts )?policy"
     r"|policy (?:is )?(?:ignored|not applied|does not apply|has no effect)|no policy(?: applies| in force)?"
     r"|as usual|normally"
     r"|(?:as )?opportunistic(?:ally)?(?: tls)?", no_policy),
    (r"(?:the |a |and )?(?:failure|mismatch|error|validation|result)?s? ?(?:is |are |gets? |to be |must be )?"
     r"(?:report|reported|reports|reporting|record|recorded|log|logged|noted)\b(?: (?:as|the|a|an|policy"
     r"|validation|sts|tls ?rpt|in|"
     r"failure|failures|mismatch|error|it|problem|them))*", reported),
    (rf"(?:refused?|refuse|reject\w*|fail(?:s|ed|ure)?|abort\w*|error|blocked|denied|deny)(?: (?:the"
     rf"|this))?(?: {_DELIVER}|connection|mail|message|handshake)?",
     refused),
    (r"(?:with|under|only with)(?: an?)? (?:valid|verified|matching|trusted|good"
     r"|authenticated)(?: \w+)? certificate"
     r"|(?:certificate|cert)(?: is| must be)? (?:validated|verified|checked)", verified),
    (rf"(?:only )?(?:over|in|with|via|inside|using|through|under) (?:\w+ )?{_TLSES}|encrypted|{_TLSES} (?:used"
     rf"|owed|only)", in_tls),
    (rf"(?:in|as|over) {_PLAIN}(?: text)?|unencrypted|plaintext(?: delivery)?|without {_TLSES}", in_clear),
    (r"(?:to |at |via |through |try |tries |use |uses )?(?:the |an? )?(?:second|next|other|another|remaining"
     r"|listed|matching)"
     r" (?:mx|host|one|server)(?: (?:is|host|tried|used|taken|instead|if any))*", next_host),
    (rf"{_BE}{_DELIVER}(?: (?:it|mail|message|the|is|allowed|ok|succeeds|anyway|all the same))*|allow(?:ed)?|ok"
     rf"|pass(?:es)?|success\w*",
     delivered),
]

LEXICON = Lexicon(PHRASES, filler="""
mail message mx host hosts policy enforce testing mode client sender hears
mta sts certificate tls starttls case required requirement valid try when none is left
""")


def _host_used(host):
    def check(o, _):
        used = [h for h, _ in o.takers]
        return None if used == [host] else _due(f"delivery to {host}", o)
    return check


def _host_unused(host):
    def check(o, _):
        return f"{host} was connected to; {o.told()}" if o.connected(host) else None
    return check


def names_of(hosts):
    """Phrases about the hosts of a case.  hosts: name in the case -> the real one."""
    out = []
    for name, real in hosts.items():
        one = re.escape(plain(name)).replace(r"\ ", " ")
        out.append((rf"(?:not|never|skip\w*|ignor\w*|avoid\w*|without)(?: to| via| using| through)? {one}"
                    rf"|{one}(?: is| must be)?"
                    r" (?:skipped|ignored|avoided|(?:not|never) (?:used|tried|contacted))", _host_unused(real)))
    for name, real in hosts.items():
        one = re.escape(plain(name)).replace(r"\ ", " ")
        out.append((rf"(?:only )?(?:to |via |at |through |use |using )?{one}(?: (?:only|is used|instead))?",
                    _host_used(real)))
    return out


def _only_listed(listed):
    def check(o, _):
        fits = o.takers and all(h in listed for h, _ in o.takers)
        return None if fits else _due(f"delivery to one of {sorted(listed)}", o)
    return check


def _no_unlisted(listed):
    def check(o, _):
        return next((f"{mx.host} is not listed and was connected to" for mx, seen in o.mxs
                     if seen and mx.host not in listed), None)
    return check


def listed_of(listed):
    """Phrases about the hosts that a policy lists."""
    hosts = r"(?:mx|host|one|server)(?:es|s)?(?: (?:is|are|was|must be))?"
    return [
        (rf"(?:the |an? )?(?:un ?listed|not listed|non matching|non listed|other"
         rf"|not matching) {hosts} (?:skipped|ignored|avoided|excluded"
         r"|(?:not|never) (?:used|tried|contacted))|(?:skip\w*|ignor\w*|avoid\w*)(?: all"
         r"| any)?(?: the)? (?:un ?listed|non matching|other) (?:mx|host)\w*",
         _no_unlisted(listed)),
        (rf"(?:only )?(?:deliver\w* |sent )?(?:only )?(?:to |via |use |using )?(?:only )?(?:the |an? )?(?:listed"
         rf"|matching|allowed) {hosts}"
         r"(?: (?:used|tried|contacted|only|considered))*", _only_listed(listed))]


class Expectation:
    """hosts: as in names_of(); names: further phrases of the case."""

    def __init__(self, text, hosts=None, names=()):
        self.text = without_remarks(text)
        self._names = [*names_of(hosts or {}), *names]

    def judge(self, outcome):
        """None, or the first thing that does not hold."""
        complaint = outcome.untruth()
        clauses = [c.strip(" .") for c in self.text.split(";") if c.strip(" .")]
        if not clauses:
            raise NotUnderstood("nothing", self.text)
        for clause in clauses:
            complaint = complaint or self._clause(clause, outcome)
        return complaint

    def _clause(self, clause, outcome):
        complaints = []
        for part in LEXICON.alternatives(clause, self._names):
            found = LEXICON.read(part, self._names)
            if not found:
                raise NotUnderstood(part, self.text)
            wrong = next((c for c in (check(outcome, m) for check, m in found) if c), None)
            if wrong is None:
                return None
            complaints.append(wrong)
        return " / ".join(complaints)
