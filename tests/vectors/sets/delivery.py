# SPDX-License-Identifier: Apache-2.0
"""mta-sts: what becomes of a mail under a policy, with real servers and a real tlsmend at level may."""

import re

from . import servers
from .lexicon import NotUnderstood
from .outcome import Expectation, listed_of, no_policy

_FIELDS = {"id", "source", "note", "why", "disputed", "expect", "policy", "mx", "tls", "title"}
_AS_IF_NONE = re.compile(r"\bas (?:if|without|though)\b|\bopportunistic", re.I)


def is_one(case):
    """"policy" is a body elsewhere; here it is an object, or says that there is none."""
    policy = case["policy"]
    return policy is None or isinstance(policy, dict) or policy.strip().lower() in ("none", "no policy", "absent")


def _below(name, domain):
    """A name of the case as a name below the domain of this run; patterns keep their form."""
    return f"{name.rstrip('.')}.{domain.name}"


def _words_of(case):
    """Words about the TLS of each MX."""
    tls, hosts = case.get("tls"), case["mx"]
    if isinstance(tls, dict):
        strange = sorted(set(tls) - set(hosts))
        if strange:
            raise NotUnderstood(strange, "hosts of \"tls\"")
        return [tls.get(h) for h in hosts]
    if isinstance(tls, list):
        if len(tls) != len(hosts):
            raise NotUnderstood(str(tls), "one text for each MX")
        return tls
    return [tls] * len(hosts)


def _combinations(words, hosts):
    """Servers for all hosts at once: those that have the same words are alike."""
    made = {w: servers.variants(w, hosts) for w in dict.fromkeys(words)}
    longest = max(len(v) for v in made.values())
    return [[made[w][n % len(made[w])] for w in words] for n in range(longest)]


def _play(stage, scene, case, specs, policy):
    """One mail.  policy: None for a domain without MTA-STS."""
    with stage.making:
        domain = scene.domain()
        mxs = []
        for n, (name, spec) in enumerate(zip(case["mx"], specs)):
            host = _below(name, domain)
            label = host[:-len(domain.name) - 1]
            # The certificate names the host as a client knows it.
            mxs.append(stage.hostile(scene, domain, label=label.lower(), preference=10 * (n + 1),
                                       **servers.options(spec)))
        if policy is not None:
            fields = {"mode": policy.get("mode", "enforce"), "max_age": policy.get("max_age", 86400)}
            domain.sts(mx=[_below(p, domain) for p in policy.get("mx", ())], **fields)
    hosts = {name: _below(name, domain).lower() for name in case["mx"]}
    return stage.send(scene, stage.daemon("may", tls={"level": "may"}), domain, mxs), hosts


def _alike(o, other):
    """As if there were no policy: compared with the same mail to a domain that has none."""
    if (o.code, o.in_tls, len(o.takers)) != (other.code, other.in_tls, len(other.takers)):
        return f"with the policy {o.told()}; without one {other.told()}"
    return no_policy(o)


def _listed(policy, hosts):
    """Real names of the hosts that the policy lists; of all without one."""
    def fits(pattern, name):
        pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
        return pattern == name or (pattern.startswith("*.") and pattern[1:] == "." + name.partition(".")[2])
    return {real for name, real in hosts.items()
            if policy is None or any(fits(p, name) for p in policy.get("mx", ()))}


def check(stage, case):
    strange = sorted(set(case) - _FIELDS)
    if strange:
        raise NotUnderstood(strange, "the fields of the case")
    policy = case["policy"] if isinstance(case["policy"], dict) else None
    strange = sorted(set(policy or ()) - {"mode", "mx", "max_age"})
    if strange:
        raise NotUnderstood(strange, "the fields of the policy")
    for specs in _combinations(_words_of(case), case["mx"]):
        with stage.scene() as scene:
            o, hosts = _play(stage, scene, case, specs, policy)
            complaint = Expectation(case["expect"], hosts, listed_of(_listed(policy, hosts))).judge(o)
            if not complaint and _AS_IF_NONE.search(case["expect"]):
                complaint = _alike(o, _play(stage, scene, case, specs, None)[0])
            if complaint:
                return f"{complaint} (servers {specs})"
    return None


