# SPDX-License-Identifier: Apache-2.0
"""mta-sts, cache: the words for what happens to a policy.  What each of them does is in cache.py."""

from .lexicon import Lexicon

POLICY = (r"(?:the |a |an )?(?:cached |old |new |valid |live |existing |same |stored |mta sts )*(?:policy"
          r"|policies|entry)")
_NOT = r"(?:does not|doesn't|do not|no longer|not|did not)"
_TIME = (r"(?:(?:the )?(?:clock|time)(?:,|:)?(?: (?:is|was|has|goes|moves?|moved|runs|jumps|passes|turn(?:ed|s)?|set|put"
         r"|advance[sd]?|going|on|by|forward|ahead))+:? )?(?:after |wait(?:ing)? |past |advance (?:by )?)?(?:the )?"
         r"(?:another |about |more than |at least )?(?P<n>\d+|a|an|one|two|three|four|five|six|seven|eight|ten|twelve"
         r"|half|next)(?: an?)? (?P<unit>second|minute|hour|day|week|month|year)s?"
         r"(?: (?:later|on|onwards?|forwards?|ahead|afterwards|after|pass|passes|passed|old|go by|have passed"
         r"|has passed))*")
_GET = r"(?:get|lookup|look up|find|query|read|fetch from (?:the )?cache)(?: of (?:a|the) (?:policy|domain))?"
_PUT = r"(?:put|upsert|insert|store|add|save|update)"
_BACK_OFF = r"(?:the )?(?:back ?off|five minutes of rest)(?: (?:time|period|interval))?"
_FAILS = (r"(?:fails?|failed|failing|failure|error|errors|unavailable|unreachable|blocked|down|times? ?out"
          r"|timed out|timeout|impossible"
          r"|(?:answers|returns|gives|says|is|with|http)? ?(?:4\d\d|5\d\d)|broken)")
_IS = r"(?: (?:is|are|was|has|have|now|then|becomes?|has been|still|been))*"

HAPPENS = Lexicon([
    (rf"{_GET} before(?: (?:the|a|any|first))*(?: policy)? {_PUT}\w*", "empty"),
    (rf"{_PUT}(?: (?:a|the|of))* (?:failure|back ?off"
     r"|failed fetch)|(?:upsert|insert|put|store)(?: (?:with(?:out)?|no|an?|the))* (?:empty|nil|null|no)(?: policy)?"
     r"|(?:upsert|insert|put) without(?: a)? policy", "fetch-fails"),
    (rf"(?:after|past|beyond) (?:the end of )?{_BACK_OFF}|{_BACK_OFF}(?: (?:is|has|was))*"
     r" (?:over|past|passed|passes|ends|ended|expired|expires|gone|elapsed)", "after-backoff"),
    (rf"(?:within|during|in|inside|before the end of|before|while in) {_BACK_OFF}", "in-backoff"),
    (rf"(?:remove|delete|drop|forget|clear|purge)[sd]?(?: (?:the|a|of|it))*(?: {POLICY}| domain)?"
     r"(?: (?:from|in) (?:the )?cache)?"
     rf"|{POLICY}(?: (?:is|was|has been))? (?:removed|deleted|dropped|purged)(?: from (?:the )?cache)?"
     r"|(?:after (?:the )?)(?:remov\w+|delet\w+)", "removed"),
    (r"(?:\d+|one|a|an|some|two)(?: more)? (?:second|minute)s? (?:after|past|beyond)(?: the)?(?: end of)? max_age"
     r"|max_age(?: (?:\+|plus) (?:\d+|one|a))?(?: seconds?)? (?:later|after|afterwards|old)"
     rf"|after(?: (?:its|the))? (?:expiry|expiration)|expire(?: {POLICY})?", "expired"),
    (rf"after(?= (?:the |an? )?(?:{_PUT}|restart|crash|kill))", "then"),
    (rf"(?:txt|dns)(?: (?:record|lookup|look up|query))*{_IS}:? ?(?:temporary|transient)(?: dns)? (?:error|failure)"
     r"|(?:temporary|transient) (?:error|failure) (?:of|in|at|for)(?: the)? (?:txt|dns)(?: (?:record|lookup|query))*",
     "txt-fails"),
    (r"(?:txt )?record and policy(?: are| is)?(?: now)? (?:published|there|found|present)|record (?:found|appears)", "txt-there"),
    (r"(?:txt|dns)(?: record)?(?: is| still)? (?:found|present|there|exists|published)", "txt-there"),
    (r"never (?:seen|contacted|asked|looked up)(?: before)?", "empty"),
    (r"without(?: an?| any)? (?:txt|dns)(?: record)?", "txt-gone"),
    (r"(?:a |the )?failed(?: https?| policy)? (?:re ?)?fetch(?: is)?(?: (?:stored|cached|remembered))?", "fetch-fails"),
    (r"certificate of the mx(?: host)? (?:does not match|mismatches|is (?:invalid|bad|expired|wrong|untrusted))",
     "bad-certificate"),
    (r"(?:txt )?id(?: is)? new", "new-id"),
    (r"(?P<n>\d+|a|an|one|two|three) (?P<unit>second|minute|hour|day|week)s? before"
     r" (?:it expires|(?:its )?expiry|the end(?: of max_age)?|max_age (?:is over|ends|passes))", "before-end"),
    (r"without(?: any)? (?:contact|mail|delivery|use)", "unused"),
    (r"(?:is |now )?(?:published|deployed|put up|announced|served)", "new-policy"),
    (r"nothing(?: is| was)?(?: yet)? (?:cached|stored|held)|no(?: cached)? policy(?: is)?(?: yet)?(?: cached"
     r"| known)?|(?:the )?empty cache|cache(?: is)? empty"
     r"|(?:policy |(?:of )?(?:a |the )?domain (?:that is )?)?not(?: yet)? (?:cached|in (?:the )?cache)|unknown domain|no cache entry|nothing(?: is)? (?:known"
     r"|in (?:the )?cache)|fresh cache|(?:at )?(?:the )?(?:first|very first) (?:time|contact)", "empty"),
    (rf"(?:https?|policy|refetch|re fetch|fetch|web|http)?(?: ?(?:fetch(?:ing)?|request|refetch|host|server"
     rf"|refresh))+(?: of)?"
     rf"(?: (?P<new>(?:the|a|this|that) new (?:id|policy)(?:'s policy)?)| (?:the|a|its) policy)?{_IS} {_FAILS}"
     rf"|(?:https|http) {_FAILS}|(?:new |the )?policy (?:cannot|can not|could not) be (?:re ?)?fetched"
     rf"|(?:blocks?|breaks?) (?:https?|the fetch)",
     "fetch-fails"),
    (r"(?:fetched|new|returned|served|the)?(?: (?:fetched|new|returned))? ?(?:policy|body|policy text)(?: (?:is"
     r"|has))?(?: syntactically)? (?:invalid|malformed|broken"
     r"|garbage|unparsable|empty|too large)", "policy-invalid"),
    (r"(?:policy (?:host|server)|https|mta sts(?: host)?)(?:'s)? certificate(?: is| has)? (?:expired|invalid|bad"
     r"|wrong|untrusted)"
     r"|certificate of the (?:policy|mta sts) (?:host|server)(?: is| has)?(?: (?:expired|invalid|bad|wrong"
     r"|untrusted))",
     "fetch-fails"),
    (r"(?:https? |policy )?(?:fetch|host|server|https)(?: of the \w+ \w+)?(?: is| again)? (?:works|succeeds|good"
     r"|ok|back|available|restored)"
     r"(?: again)?", "fetch-works"),
    (rf"(?:txt|dns|discovery|_mta-sts)(?: (?:record|lookup|look up|query"
     rf"|answer))*{_IS} {_FAILS}(?: temporarily)?|servfail|"
     r"(?:temporary )?dns (?:error|failure)|block(?:s|ed|ing)? dns|lookup (?:fails|failed|error)", "txt-fails"),
    (rf"(?:txt|dns|_mta-sts)(?: (?:record|records|lookup|look up))*{_IS} (?:gone|removed|deleted|absent|missing"
     rf"|withdrawn|disappear(?:s|ed)?"
     r"|no longer (?:there|found|published|present)|not (?:there|found|published|present)|vanish(?:es|ed)?"
     r"|nxdomain)"
     r"|(?:remove|delete|withdraw)s? (?:the )?(?:txt|dns)(?: record)?|no(?: longer)?(?: an?)? (?:txt"
     r"|dns|record)(?: record)?|txt nxdomain",
     "txt-gone"),
    (rf"(?:txt|dns)(?: record)?{_IS} (?:syntactically )?(?:invalid|malformed|bogus|unparsable)|(?:two|several"
     rf"|multiple) (?:txt )?records", "txt-broken"),
    (rf"(?:txt|dns)(?: (?:record|lookup))*{_IS} (?:back|restored|works|ok|answers)(?: again)?", "txt-works"),
    (r"(?:with |has |have |shows? |says |of )?(?:the )?(?:same|unchanged|identical)(?: policy| txt| record)* id|"
     r"(?:policy |txt |the |record )*id(?: is| has)? (?:unchanged|the same|not changed|still the same"
     r"|same)(?: as (?:the )?(?:cached|before)(?: one)?)?"
     r"|txt(?: record)?(?: is)? (?:unchanged|the same)|id matches(?: the cached(?: one)?)?|equal id|(?:with "
     r"|has )?(?:the )?id of the (?:cached|stored) policy", "same-id"),
    (r"(?:(?:a |the )?new )?(?:policy )?id (?:is |= ?|: ?)?(?P<id>(?=[a-z]*\d)[a-z0-9]+|[a-z]\b)", "id"),
    (r"(?:with |has |have |shows? |says )?(?:a |the |an |its )?(?:new|changed|different|other|fresh|updated|next"
     r"|second|newer)"
     r"(?: policy| txt| record)* id|(?:policy |txt |the |record )*id(?: has)? (?:changed|changes|change|differs"
     r"|is new|is different)"
     r"|(?:a |the )?(?:new|changed) txt(?: record)?|txt(?: record)?(?: has)? chang(?:ed|es)", "new-id"),
    (rf"{_NOT} (?:match|list|allow|include|cover|contain|name|permit)s?(?: (?:the|this|any|its|one|of))*(?: mx"
     rf"| host| mx host| mxs)* "
     r"(?:or|nor) (?:the )?(?:mx )?certificate", "mismatch"),
    (rf"{_NOT} (?:match|cover|fit|name)(?: (?:the|its))*(?: mx(?:'s)?)? certificate|(?:mx(?:'s)? )?certificate"
     rf"(?: {_NOT} (?:match|validate|fit|verify)|{_IS} (?:mismatch\w*|invalid|bad|expired|wrong"
     rf"|untrusted))(?: (?:the )?(?:mx|host|policy))?",
     "bad-certificate"),
    (rf"{_NOT} (?:match|list|allow|include|cover|contain|name|permit)s?(?: (?:the|this|any|its|our"
     rf"|current))*(?: mx| host)*|"
     rf"(?:the )?(?:mx|host)s?{_IS} (?:not|no longer) (?:listed|matched|allowed|in (?:the|it|its)(?: policy"
     rf"| list)?)|not (?:listed|in (?:the|its) (?:policy|list))|mx mismatch|unlisted mx"
     r"|(?:the )?mx(?: host)? (?:changes|changed|moves|is replaced)", "unlisted"),
    (r"(?:allow|list|match|include|contain|name|cover|permit)(?:s|es|ed|ing)?(?: (?:the|this|our|its"
     r"|current))*(?: mx| host)+"
     rf"(?: and (?:its )?certificate)?|(?:the )?(?:mx|host){_IS} (?:listed|allowed|matched)", "listed"),
    (rf"(?:{POLICY} )?(?:has )?(?:not|never|un|non)(?: yet)? ?expired|still (?:valid|fresh|live|good)|(?:within"
     rf"|before|younger than|inside|less than)"
     r"(?: (?:the|its))? max_age(?: (?:is over|passes|ends|has passed|expires))?|unexpired"
     r"|not older than max_age|before (?:it expires|expiry)",
     "not-expired"),
    (r"(?:the )?max_age(?: of [\w ]{1,20}?)? (?:(?:has |is )?(?:passed|passes|over|elapsed|elapses|ends|ended"
     r"|reached|exceeded|expires|expired|up))"
     r"|(?:after|past|beyond|older than|more than)(?: (?:the|its))? max_age(?: seconds)?(?: (?:later|has passed"
     r"|passed))?"
     rf"|(?:{POLICY} )?(?:has |is |now )*(?:expired|expires|expiry|expiration|run out|out of date)", "expired"),
    (r"max_age(?: (?:is|of|=))?[ :=]*(?P<n>\d+)(?: seconds)?", "max-age"),
    (r"(?:half|part) of (?:the |its )?max_age(?: (?:has passed|passes|later))?", "half-age"),
    (r"(?:daily|periodic|background|scheduled)? ?refresh(?:es|ed)?(?: is)?(?: due)?(?: runs)?", "refresh"),
    (r"(?:within|before|less than|in)(?: the next)? (?P<n>\d+|a|an|one|two|three|four|five|six"
     r"|ten) (?P<unit>second|minute|hour|day|week|month)s?"
     r"(?: (?:later|have passed|has passed|pass))*", "within"),
    (_TIME, "time"),
    (r"(?:daemon|tlsmend|sender|server|process)?(?: is)? ?(?:killed|crash(?:es|ed)?)(?: +9)?|kill +9", "crash"),
    (r"(?:daemon|tlsmend|sender|server|process)?(?: is)? ?restart(?:s|ed)?", "restart"),
    (rf"(?:{POLICY} )?(?:mode )?(?:is |becomes |changes to |changed to |of |: )?(?:mode )?(?P<mode>enforce"
     rf"|testing|none)(?: mode| policy)?",
     "mode"),
    (r"(?:https? )?(?:re ?)?fetch(?:es|ed|ing)?(?: of)?(?: (?:the|a|its|new|policy|id))*(?: ok| succeeds| good"
     r"| works)?", "fetched"),
    (r"(?:domain |owner |it )?(?:publishes|deploys|serves|puts up|announces)(?: (?:a|the|new|another|other"
     r"|different|policy))*", "new-policy"),
    (r"(?:a |the )?(?:new|changed|updated|other|second|different) policy(?: (?:is|published|there|deployed"
     r"|served|put|upserted|stored|inserted))*"
     r"|(?:the )?policy(?: text| body)?(?: has)?(?: is)? (?:changed|changes|updated|replaced)|(?:replace|update"
     r"|change)s?(?: the)? policy", "new-policy"),
    (rf"(?:{POLICY}(?: is| has been| was)? )?(?:cached|stored|inserted|upserted|saved|held|in (?:the )?cache"
     rf"|known)(?: {POLICY})?|"
     rf"(?:store|insert|upsert|cache|save|add|put)s?(?: {POLICY})?(?: (?:in|into) the cache)?|cached|{POLICY}", "cached"),
    (r"(?:the )?same(?: as before)?|nothing (?:changes|changed|happens|else)|unchanged", "same-id"),
    (r"update[sd]?(?: with)?", "new-policy"),
    (r"unused|not used|(?:without|no) (?:any )?(?:mail|use|delivery)", "unused"),
    (r"(?:another |next |second |first |the |a |new )*(?:mail|message|delivery|lookup|look up|get|query|use|send"
     r"|sending|attempt|used)s?(?: again)?",
     "mail"),
], filler=("domain policy txt record dns mta sts example.com policy_domain case example sender both further more "
           "host time cache during attacker owner b c says shows still then later clock"))

# Of a policy that stays what it was, and how long.
KEPT = (r"(?:use |keep |apply |uses |keeps |applies )?(?:the )?(?:cached|old|existing|previous|same|stored"
        r"|earlier)(?: \w+)? policy(?:(?: (?:stays?|remains?|is|enforced|still|applies|apply|continues?|kept|in"
         r" force|used|valid|honou?red|returned|to be|in use|in effect|holds|counts|unchanged))*)"
         r"|(?:policy )?(?:stays|remains|kept|keep|continues)"
         r"(?: (?:the )?policy| in force| valid| cached| in use| in the cache)*|(?:survives?|still (?:there"
         r"|in force|cached|applies|valid))")
UNTIL = (r"(?: until (?:the |its )?(?:max_age|end|expir\w+)(?: (?:is over|passes|has passed|ends|expires"
         r"|of max_age))?)")
