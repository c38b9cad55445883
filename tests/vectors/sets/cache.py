# SPDX-License-Identifier: Apache-2.0
"""mta-sts: steps of a policy's life in the cache, with a daemon of its own whose clock is turned.

A step is a pair of what happens and what follows.  What happens is done to a real domain (its TXT record, its
policy host, its policy, the clock, the daemon), then a mail is sent, and what follows is looked for in what
that mail showed.  Alternatives ("or") are lives of their own.
"""

import contextlib
import datetime
import itertools
import json
import re
import sqlite3

from lab.process import Timeout, wait_for

from .cache_words import HAPPENS, KEPT, UNTIL
from .lexicon import Lexicon, NotUnderstood, without_remarks
from .outcome import PHRASES
from .stage import Stage

ELSEWHERE = "elsewhere.example"
_LIVES_MAX = 12
_FORGETS = 10   # seconds
_BACKOFF = 301
_MAX_AGE = 7 * 86400
_TROUBLES = ("sts-discovery-failed", "sts-fetch-failed", "sts-policy-invalid", "sts-webpki-invalid")
_MADE = {"cached", "new-policy", "new-id", "txt-there", "txt-works", "fetch-works", "fetched", "listed"}
_FIELDS = {"id", "source", "note", "why", "disputed", "steps", "title", "expect"}
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400, "month": 30 * 86400,
          "year": 365 * 86400}
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
            "seven": 7, "eight": 8, "ten": 10, "twelve": 12, "half": 0.5, "next": 1}


class Life:
    """One domain, its policy, one daemon, and what was done so far."""

    def __init__(self, stage, scene, variant):
        self.stage, self.scene = stage, scene
        self.kind = "name-mismatch" if "bad-certificate" in variant else "good"
        with stage.making:
            self.domain = scene.domain(zone="craftedplain")   # its server counts the questions
            self.mx = stage.hostile(scene, self.domain, kind=self.kind)
            self.daemon = stage.new_daemon("cache", clock="both", tls={"level": "may"}, workers=1,
                                           mta_sts={"timeout": "2s"})
            scene.add("tlsmend", self.daemon)
            self.sts = self.domain.sts(mx=[self.mx.host], id=None, text=b"")
        self.policy = {"mode": "enforce", "mx": [self.mx.host], "max_age": _MAX_AGE}
        self.ids, self.id, self.published = itertools.count(1), None, None
        self.primed = False       # a policy has been cached
        self.cached_id = None     # before the present step
        self.clock = 0.0
        self.hindered = []        # what goes wrong at the domain: of "txt-fails", ...
        self.refreshed = False    # in this step, before its mail
        self.refreshes = 0        # without mail, before this step
        self.absent = False       # the resolver was told that there is no record
        self.alone = False        # nothing but the cache can answer: the record cannot be had
        self.quiet = False        # no mail in this step: the store is looked at

    def now(self):
        return self.daemon.clock.now()

    # -- doing --------------------------------------------------------------------------------

    def forget(self):
        """The entry taken out of the cache, with the daemon stopped."""
        self.daemon.stop()
        with contextlib.closing(sqlite3.connect(self.daemon.store_path)) as store, store:
            store.execute("DELETE FROM policies WHERE domain = ?", (self.domain.name,))
        self.daemon.start()
        self.primed = False

    def publish(self, new_id=None, **fields):
        self.policy.update(fields)
        if self.policy["mode"] == "none":
            fields = {**self.policy, "mx": []}
        else:
            fields = dict(self.policy)
        if new_id is None:
            new_id = f"v{next(self.ids)}"
        self.id = new_id
        self.sts.publish(id=None, **fields)
        self.published = fields
        if not set(self.hindered) & {"txt-fails", "txt-gone", "txt-broken"}:
            self.show_record()

    def show_record(self):
        """The resolver remembers for some seconds that there was none, or that it could not be had."""
        if self.absent:
            self.turn(_FORGETS)
            self.absent = False
        self.sts.txt(f"v=STSv1; id={self.id};")

    def turn(self, seconds):
        self.clock += seconds
        self.daemon.clock.turn(self.clock)

    def mail(self):
        self.asked_before = self._questions()
        if not self.refreshed:
            self.fetched_before = self._fetches()
        self.refreshed = False
        self.absent = self.absent or self.id is None or bool({"txt-fails", "txt-gone"} & set(self.hindered))
        o = Stage.send(self.scene, self.daemon, self.domain, [self.mx])
        self.last = o
        return o

    # -- seeing -------------------------------------------------------------------------------

    @property
    def asked(self):
        return self._questions() - self.asked_before

    def _questions(self):
        return self.scene.dns.crafted.count(f"_mta-sts.{self.domain.name}", "TXT")

    @property
    def fetches(self):
        """Tries of this mail, by the records: a fetch that fails may leave no request."""
        return self._fetches() - self.fetched_before

    def _fetches(self):
        return sum(r["outcome"] in ("new-policy", "unchanged", "fetch-failed")
                   for r in self.daemon.records("sts", policy_domain=self.domain.name))

    def look(self):
        """What there is to see of a step: a mail, or what the daemon did without one."""
        if not self.quiet:
            return self.mail().untruth()

        def gone():
            with self.scene.client(self.daemon) as client:   # wakes the loop that sees the turned clock
                client.cmd("QUIT")
            return not self._stored()
        with contextlib.suppress(Timeout):
            wait_for("the policy to be dropped", gone, 4)
        return None

    def refreshes_so_far(self):
        return len(self.daemon.records("sts", policy_domain=self.domain.name, occasion="refresh"))

    def wait_for_refresh(self):
        """The refresher works without mail; in the lab a connection wakes the loop that sees the turned clock."""
        def done():
            with self.scene.client(self.daemon) as client:
                client.cmd("QUIT")
            return self.refreshes_so_far() > self.refreshes
        wait_for("a refresh without mail", done, 15)

    def _stored(self):
        rows = self.daemon.sql("SELECT id, body FROM policies WHERE domain = ?", self.domain.name)
        return (rows[0][0], re.search(rb"mode: *(\w+)", rows[0][1])[1].decode()) if rows else None

    def in_force(self):
        """(id, mode) of the policy that the last mail came under; None without."""
        o = self.last
        if self.quiet:
            return self._stored()
        if o.field("sts_id"):
            return o.field("sts_id"), o.field("sts_mode")
        told = next((r for r in reversed(self.daemon.records("sts", policy_domain=self.domain.name))), None)
        if told and told.get("sts_mode") == "none" and told.get("in_force"):
            expires = told["expires"]
            return (told["sts_id"], "none") if _seconds_of(expires) > self.now() else None
        return None


def _seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


# -- what happens -------------------------------------------------------------------------------------


def _do(life, tags, expects_none, expects_policy):
    """expects_none, expects_policy: what is to follow, if it says so.  An empty cache does not say whether the domain has one."""
    names = [tag for tag, _ in tags]
    fields, wanted_id = {}, None
    life.refreshes = life.refreshes_so_far()
    if life.alone and (expects_policy or _MADE & set(names)):   # there is something again that can be fetched
        life.alone, life.hindered = False, []
        life.show_record()
    for tag, m in tags:
        if tag == "mode":
            fields["mode"] = m["mode"]
        elif tag == "max-age":
            fields["max_age"] = int(m["n"])
        elif tag == "id":
            wanted_id = m["id"]
        elif tag == "fetch-fails" and m.groupdict().get("new"):
            names.append("new-id")
    if "unlisted" in names:
        fields["mx"] = [ELSEWHERE]
    elif "listed" in names and life.kind == "good":
        fields["mx"] = [life.mx.host]
    elif "listed" in names:   # the certificate is what does not fit: allowed is what a policy in mode testing allows
        fields.setdefault("mode", "testing")
    hinders = [n for n in names if n in ("txt-fails", "txt-gone", "txt-broken", "fetch-fails", "policy-invalid")]
    gone = (expects_none and "expired" in names) or (not expects_policy and "removed" in names)
    if gone and not hinders and not life.hindered:
        life.alone, hinders = True, ["txt-fails"]   # what is gone from the cache, which alone is asked, is not fetched anew
    new_policy = bool(fields) or wanted_id or {"new-id", "new-policy"} & set(names)
    first = not life.primed and (set(names) & {"cached", "same-id", "not-expired", "expired", "refresh", "unused", "new-id"}
                                 or (hinders and "empty" not in names and life.id)) and "empty" not in names
    first = first and ("cached" in names or "removed" not in names)

    if first and not (set(names) & {"new-id"} and not {"cached"} & set(names)):
        life.publish(wanted_id, **fields)
        life.mail()
        life.primed = True
        new_policy = bool({"new-id", "new-policy"} & set(names)) and "cached" in names and bool(hinders)
        fields, wanted_id = {}, None
    if "txt-there" in names:
        life.hindered = [h for h in life.hindered if not h.startswith("txt-")]
    if "fetch-works" in names and not expects_none and not {"time", "within"} & set(names) and life.hindered:
        life.turn(_BACKOFF)   # it works from some time on, not at once: the id that failed rests for five minutes
    if "txt-works" in names or "fetch-works" in names:
        life.hindered = []
        life.sts.answer("plain")
        if life.id:
            life.show_record()
    life.cached_id = (life.in_force() or (None,))[0] if life.primed else None
    if new_policy:
        life.publish(wanted_id, **fields)
        if "cached" in names:   # stored: the mail that brings it
            life.mail()
            life.primed = True
    elif not life.primed and life.id is None and (not hinders or {"fetch-fails", "policy-invalid"} & set(names)):
        publishes = hinders or {"txt-there", "fetch-works", "fetched", "listed"} & set(names)
        if publishes or not ("empty" in names and expects_none):
            life.publish()      # the domain has a policy, nobody knows it yet
    if "removed" in names:
        life.forget()
    for hinder in hinders:
        life.hindered.append(hinder)
        _hinder(life, hinder)
    for tag, m in sorted(tags, key=lambda t: t[0] == "refresh"):   # what is due is due after the time that passes
        _pass_time(life, tag, m, names)
    life.quiet = "unused" in names and "mail" not in names


def _hinder(life, how):
    sts = life.sts
    if how == "txt-fails":
        sts.txt_fails("servfail")
    elif how == "txt-gone":
        sts.no_txt()
    elif how == "txt-broken":
        sts.txt("v=STSv1; bogus")
    elif how == "policy-invalid":
        sts.policy(b"mode: enforced by nobody\n")
    else:
        sts.answer("500")


def _pass_time(life, tag, m, names):
    if tag == "expired":
        life.turn(life.policy["max_age"] + 60)
    elif tag == "half-age":
        life.turn(life.policy["max_age"] / 2)
    elif tag == "time":
        n = float(_NUMBERS[m["n"]] if m["n"] in _NUMBERS else m["n"])
        life.turn(n * _UNITS[m["unit"]] + (1 if "unused" in names else 0))
    elif tag == "before-end":
        n = float(_NUMBERS[m["n"]] if m["n"] in _NUMBERS else m["n"])
        life.turn(life.policy["max_age"] - n * _UNITS[m["unit"]])
    elif tag == "within":
        n = float(_NUMBERS[m["n"]] if m["n"] in _NUMBERS else m["n"])
        life.turn(n * _UNITS[m["unit"]] / 2)
    elif tag in ("in-backoff", "after-backoff"):
        life.turn(_BACKOFF if tag == "after-backoff" else _BACKOFF / 3)
    elif tag == "refresh":
        if not {"time", "before-end"} & set(names):
            life.turn(86400 + 3600)
        _refresh(life)
    elif tag == "restart":
        life.daemon.restart()
    elif tag == "crash":
        life.daemon.crash()


def _refresh(life):
    life.fetched_before, life.refreshed = life._fetches(), True   # pylint: disable=protected-access
    life.wait_for_refresh()


# -- what follows -------------------------------------------------------------------------------------


def _is_in_force(life, m=None):
    found = life.in_force()
    return None if found else f"a policy in force is due, there is none; {life.last.told()}"


def _is_none(life, m=None):
    found = life.in_force()
    if found and found[1] == "none" and not life.quiet:
        found = None   # a policy that says so
    return f"no policy in force is due, there is {found}" if found else (
        None if life.quiet or life.last.delivered else f"mail goes on as if there were no policy; {life.last.told()}")


def _is_kept(life, m=None):
    found = life.in_force()
    if not found:
        return _is_in_force(life)
    if life.cached_id and found[0] != life.cached_id:
        return f"the cached policy {life.cached_id} is due, in force is {found}"
    return None


def _is_kept_to_its_end(life, m=None):
    complaint = _is_kept(life)
    if complaint:
        return complaint
    sts = next(r for r in reversed(life.daemon.records("sts", policy_domain=life.domain.name)) if "expires" in r)
    left = _seconds_of(sts["expires"]) - life.now()
    for turn, check in ((left - 60, _is_kept), (120, _is_none)):
        life.turn(turn)
        life.mail()
        complaint = check(life)
        if complaint:
            return f"at {turn:+.0f} s of the end: {complaint}"
    return None


def _is_new(life, m=None):
    found = life.in_force()
    if found and found[0] == life.id:
        return None
    return f"the new policy {life.id} is due, in force is {found}; {life.last.told()}"


def _was_fetched(life, m=None):
    return None if life.fetches else f"a fetch is due; {life.last.of('sts')}"


def _was_refreshed(life, m=None):
    """By the mail, or without one."""
    if not life.fetches:
        try:
            life.wait_for_refresh()
        except Timeout:
            return f"a refresh is due; {life.last.of('sts')}"
    return None


def _was_not_fetched(life, m=None):
    return f"no fetch is due: {life.last.of('sts')}" if life.fetches else None


def _backs_off(life, m=None):
    """The next mail does not fetch."""
    if life.fetches:
        life.mail()
    return _was_not_fetched(life)


def _was_asked(life, m=None):
    """Before a mail is refused the record is looked up a second time (RFC 8461 5.1)."""
    due = 1 if life.last.delivered else 2
    return None if life.asked >= due else f"the TXT record is to be looked up {due} times, it was {life.asked} times"


def _has_mode(life, m):
    found = life.in_force()
    return None if found and found[1] == m["mode"] else f"mode {m['mode']} is due, in force is {found}"


def _has_id(life, m):
    found = life.in_force()
    return None if found and found[0] == m["id"] else f"id {m['id']} is due, in force is {found}"


def _failed_in_dns(life, m=None):
    trouble = life.last.field("sts_trouble")
    return None if trouble == "sts-discovery-failed" else f"a failed look-up is due, the record says {trouble}"


def _failed_for_now(life, m=None):
    """Of DNS or of the policy host: both are temporary."""
    trouble = life.last.field("sts_trouble")
    return None if trouble in _TROUBLES else f"a temporary error is due, the record says {trouble}"


def _no_trouble(life, m=None):
    trouble = life.last.field("sts_trouble")
    return f"no trouble is due, the record says {trouble}" if trouble else None


def _of_mail(check):
    return lambda life, m: check(life.last, m)


FOLLOWS = Lexicon([
    (r"(?:the )?(?:(?:cached |same |old )?(?:policy|entry) )?(?:no|not|never|without(?: a)?) refresh(?:ed)?(?: again)?",
     _was_not_fetched),
    (r"(?:the )?(?:(?:cached |same |old )?(?:policy|entry|cache) )?(?:is |was |gets |has been )?"
     r"refresh(?:ed|es)?(?: again)?(?: without (?:any )?mail)?", _was_refreshed),
    (r"(?:no|nothing) (?:entry|found|returned)(?: found| returned)?|error: not found|nothing(?: is)? there", _is_none),
    (r"backs off|backing off", _backs_off),
    (r"(?:(?:is |was )?(?:upserted|inserted|put|added|returned)|(?:an? )?entry (?:is |was )?(?:found|there"
     r"|returned))", _is_in_force),
    (r"(?:policy |entry )?(?:is |was )?updated(?: (?:policy|entry))?(?: (?:found|returned|is|in force))*", _is_new),
    (rf"(?:{KEPT}){UNTIL}", _is_kept_to_its_end),
    (r"(?:check|look|ask|looked|asked|checks|quer\w+|re ?check\w*)(?: (?:is|up|for|the|a|first|again"
     r"|whether there is))*(?: new)?(?: policy)?(?: txt| record| id| dns)+"
     r"(?: first| again| before)*|(?:txt|dns|id)(?: record| lookup)?(?: is)? (?:checked|asked|looked up|queried"
     r"|re ?checked)(?: first| again)?"
     r"|second look", _was_asked),
    (r"(?:no|not|without|never)(?: an?| new| any| https| policy| re"
     r"| another)* ?(?:re ?)?fetch\w*(?: again)?(?: of the policy)?"
     r"|no https(?: request)?|nothing(?: is)? fetched|(?:no|not) (?:download|request)\w*", _was_not_fetched),
    (r"(?:back ?off|(?:retry|retries|retried|next try) not before|not (?:tried|retried|asked)(?: again)?)(?:(?: (?:for|within|in|of)(?: the next)?)? (?:\d+|five"
     r"|ten|some) (?:second|minute|hour|day)s?)?", _backs_off),
    (r"failure(?: is)? (?:remembered|stored|recorded|logged)", lambda life, m: None),   # the next step shows it
    (r"before (?:the |any )?(?:delivery|mail|use|it is used|delivering|sending)", lambda life, m: None),
    (r"(?:not fresh|stale)", _is_kept),
    (r"(?:a |the )?(?:new|updated|second|fresh|changed|fetched)(?: \w+)? policy(?:(?: (?:is|now|in force"
     r"|replaces?|used|applies|stored|cached|stays|counts|fetched"
     r"|applied|the|old|cached|one|it|policy|effective|and|enforced))*)|replace[sd]?(?: (?:the|old|cached|policy"
     r"|one|it))*", _is_new),
    (r"(?:https? )?(?:re ?)?fetch(?:ed|es|ing)?(?: (?:again|the|a|new|policy|is|tried|attempted|first|from"
     r"|https))*|download\w*", _was_fetched),
    (r"no(?: \w+)? policy(?: (?:is|in force|applies|cached|found|known|left|any more|used))*|not (?:found"
     r"|in force|cached|used|known|applied|valid|enforced)"
     r"(?: any more)?|as if (?:there (?:is|was|were) )?(?:none|no(?: mta sts)? policy|no mta sts)(?: \w+)?"
     r"|(?:policy |entry )?(?:is )?(?:dropped|removed|forgotten"
     r"|deleted|expired|gone|ignored|discarded)|without (?:a )?policy|no mta sts|absent|nothing|no enforcement"
     r"|removes?", _is_none),
    (r"(?:policy )?(?:id|with id|of id) (?:is |= ?|: ?)?(?P<id>(?=[a-z]*\d)[a-z0-9]+)", _has_id),
    (r"(?:mode )?(?P<mode>enforce|testing|none)d?(?: mode| policy)?", _has_mode),
    (r"temp(?:orary)? ?dns error|dns error", _failed_in_dns),
    (r"temp(?:orary)? ?error|temperror", _failed_for_now),
    (r"fresh", _no_trouble),
    (KEPT, _is_kept),
    (r"(?:the |a )?policy(?: (?:is|in force|applies|used|cached|stored|found|returned|valid|known|in the cache"
     r"|enforced))*|(?:is )?(?:cached|stored|in force|found|applied)",
     _is_in_force),
    *[(pattern, _of_mail(check)) for pattern, check in PHRASES],
], filler=("policy mta sts cache lookup mail message domain certificate mx case host id txt record dns used "
           "valid kept stays force b c on"))


# -- a case -------------------------------------------------------------------------------------------


def _lives(steps):
    """Every choice of alternatives of what happens: lists of tags, one for each step."""
    choices = []
    for happens, _ in steps:
        texts = []
        read = HAPPENS.read(happens) if HAPPENS.understands(happens) else None
        if read and any(tag == "mismatch" for tag, _ in read):
            for tag in ("unlisted", "bad-certificate"):
                texts.append([(tag if t == "mismatch" else t, m) for t, m in read])
        else:
            texts = [HAPPENS.read(part) for part in HAPPENS.alternatives(happens)]
        choices.append(texts)
    return list(itertools.islice(itertools.product(*choices), _LIVES_MAX))


def _follows(life, text):
    for clause in re.split(r";", without_remarks(text)):
        complaints = []
        for part in FOLLOWS.alternatives(clause):
            found = FOLLOWS.read(part)
            if not found:
                raise NotUnderstood(part, text)
            wrong = next((c for c in (check(life, m) for check, m in found) if c), None)
            if wrong is None:
                break
            complaints.append(wrong)
        else:
            return " / ".join(complaints)
    return None


def _expects(text, check):
    return any(found is check for clause in without_remarks(text).split(";") for part in FOLLOWS.alternatives(clause)
               for found, _ in FOLLOWS.read(part))


def check(stage, case):
    strange = sorted(set(case) - _FIELDS)
    if strange:
        raise NotUnderstood(strange, "the fields of the case")
    steps = [(s[0].replace("(", ", ").replace(")", ", "), s[1]) for s in case["steps"]]
    for happens, follows in steps:   # all words first: half a case is none
        _lives([(happens, follows)])
        for clause in follows.split(";"):
            FOLLOWS.alternatives(without_remarks(clause))
    for n, tags in enumerate(_lives(steps), 1):
        variant = {tag for step in tags for tag, _ in step}
        with stage.scene() as scene:
            life = Life(stage, scene, variant)
            for (happens, follows), doing in zip(steps, tags):
                _do(life, doing, _expects(follows, _is_none),
                    any(_expects(follows, c) for c in (_is_in_force, _is_new, _was_fetched)))
                complaint = life.look() or _follows(life, follows)
                if complaint:
                    return f"{happens!r}: {complaint} (alternative {n}: {json.dumps([t for t, _ in doing])})"
    return None


