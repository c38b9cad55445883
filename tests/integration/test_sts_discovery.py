# SPDX-License-Identifier: Apache-2.0
"""MTA-STS: the TXT record, the policy domain and the host patterns, with a real Knot and a real nginx."""

import pytest

from lab.policed import NOT_LISTED, Policed
from lab.sts import policy_text

GOOD = "v=STSv1; id=20160831085700Z;"


@pytest.mark.parametrize("records", [
    [("v=STS", "v1; id=2016", "0831", "Z;")],
    [GOOD, "v=spf1 -all", "google-site-verification=abc"],
    [GOOD, "v=STSv10; id=2;", "v=STSv2; id=2;", "V=STSv1; id=2;", " v=STSv1; id=2;"],
    ["v=STSv1 ; id=2 ; "], ["v=STSv1;id=2"], ["v=STSv1;\tid=2;"],
    ["v=STSv1; id=" + "a" * 32 + ";"], ["v=STSv1; a=b; id=2; x.y-z=q+w;"]],
    ids=["split", "foreign", "almost", "blanks", "no-blank", "tab", "long-id", "unknown-fields"])
def test_c_sts_01_and_02_records_that_are_found(scene, records):
    policed = Policed(scene)
    domain = policed.domain()
    domain.policy.txt(*records)
    assert policed.in_force(domain)
    policed.fetched(domain, 1)


@pytest.mark.parametrize("records, told", [
    ([GOOD, "v=STSv1; id=2;"], True),
    ([GOOD, GOOD + " a=b"], True),
    ([GOOD, "v=STSv1; broken"], True),
    (["v=STSv1"], False), (["v=STSv1 id=2;"], False), (["v=spf1 -all"], False), (["v=DMARC1; id=1"], False),
    (["v=STSv1;"], True), (["v=STSv1; id=;"], True), (["v=STSv1; id=2;; a=b"], True),
    (["v=STSv1; id=" + "a" * 33 + ";"], True), (["v=STSv1; id=2-3;"], True), (["v=STSv1; ID=2;"], True)],
    ids=["two", "two-alike", "one-good-one-broken", "no-semicolon", "no-separator", "spf", "dmarc", "no-id",
         "empty-id", "double-semicolon", "id-33", "id-hyphen", "id-upper-case"])
def test_c_sts_01_and_02_records_that_are_none(scene, records, told):
    """Not found is as if the domain had no policy; what looks like a mistake is told (C-STS-08)."""
    policed = Policed(scene)
    domain = policed.domain()
    domain.policy.txt(*records)
    assert not policed.in_force(domain)
    assert policed.attempt(domain).get("sts_trouble") == ("sts-discovery-failed" if told else None)
    policed.fetched(domain, 0)


def test_c_sts_01_a_cname_is_followed(scene):
    policed = Policed(scene)
    hoster, domain, lost = policed.domain(id="7"), policed.domain(), policed.domain()
    domain.policy.txt_cname(f"_mta-sts.{hoster.name}")
    assert policed.in_force(domain)
    assert policed.sts(domain)["txt_id"] == "7" and policed.sts(domain)["sts_id"] == "7"
    assert policed.fetched(domain, 1)[0].host == domain.policy.host   # the policy host is the domain's own
    lost.policy.txt_cname("nothing-there.plain.example")
    assert not policed.in_force(lost)


@pytest.mark.parametrize("how", ["servfail", "bogus", "timeout"])
def test_c_sts_08_nothing_cached_and_the_record_cannot_be_had(scene, how):
    """As if there were none, and loudly so."""
    policed = Policed(scene, resolver={"timeout": "2s"})
    domain = policed.domain()
    domain.policy.txt_fails(how)
    assert not policed.in_force(domain)
    attempt, told = policed.attempt(domain), policed.sts(domain)
    assert attempt["sts_trouble"] == "sts-discovery-failed" and "sts_id" not in attempt
    assert (told["severity"], told["outcome"], told["in_force"]) == ("warning", "discovery-failed", False)
    assert told["reason"] == "sts-discovery-failed" and told["detail"] and told["hint"]
    policed.fetched(domain, 0)


@pytest.mark.parametrize("text, holds", [
    (b"version: STSv1\nmode: enforce\nmx: %b\nmax_age: 86400\n", True),
    (b"version: STSv1\r\nmode: enforce\r\nmx: %b\r\nmax_age: 86400", True),
    (b"mode: enforce\r\nmode: none\r\nversion: STSv1\r\nmx: %b\r\nmax_age: 86400\r\nmax_age: 0\r\n", True),
    (b"version: STSv1\r\nx_field: y\r\nmode: enforce\r\nmx: %b\r\nmax_age: 86400\r\n", True),
    (b"version: STSv1\r\nmode: enforce\r\nmx: %b\r\nmax_age: 99999999\r\n", True),
    (b"version: STSv1\r\nmode: enforce\r\nmax_age: 86400\r\n", False),
    (b"version: STSv2\r\nmode: enforce\r\nmx: %b\r\nmax_age: 86400\r\n", False),
    (b"version: STSv1\r\nmode: maybe\r\nmx: %b\r\nmax_age: 86400\r\n", False),
    (b"version: STSv1\r\nmode: enforce\r\nmx: %b\r\n", False),
    (b"version: STSv1\r\nmode: enforce\r\nmx: %b\r\nmax_age: -1\r\n", False),
    (b"", False), (b"<html>not found</html>", False)],
    ids=["lf", "no-end", "first-wins", "unknown-field", "max-age-capped", "no-mx", "version", "mode",
         "no-max-age", "max-age", "empty", "html"])
def test_c_sts_03_policies(scene, text, holds):
    policed = Policed(scene)
    domain = policed.domain(text=text.replace(b"%b", b"elsewhere.example"))
    assert policed.in_force(domain) == holds
    told = policed.sts(domain)
    if holds:
        assert (told["outcome"], told["sts_mode"], told["sts_mx"]) == ("new-policy", "enforce", ["elsewhere.example"])
        assert told["max_age"] == min(31557600, 99999999 if b"99999999" in text else 86400)
    else:
        assert (told["outcome"], told["reason"]) == ("fetch-failed", "sts-policy-invalid")
        assert policed.attempt(domain)["sts_trouble"] == "sts-policy-invalid"


@pytest.mark.parametrize("host, pattern, fits", [
    ("mx", "MX.{domain}", True), ("mx", "mx.{domain}", True), ("mx", "*.{domain}", True), ("mx", "*.{DOMAIN}", True),
    ("a.mx", "*.{domain}", False), ("a.mx", "*.mx.{domain}", True), ("mx", "{domain}", False),
    ("mx", ".{domain}", False), ("mx", "mx.{domain}.example", False), ("xmx", "mx.{domain}", False),
    ("xn--bcher-kva", "xn--BCHER-kva.{domain}", True)])
def test_c_sts_10_patterns(scene, host, pattern, fits):
    domain = scene.domain()
    mx = scene.hostile(domain, label=host)
    pattern = pattern.format(domain=domain.name, DOMAIN=domain.name.upper())
    domain.sts(mx=[pattern, "other.example"])
    policed = Policed(scene)
    reply = policed.send(domain)
    if pattern.startswith("."):   # no pattern at all: the whole policy is refused
        assert reply.code == 250 and policed.attempt(domain)["sts_trouble"] == "sts-policy-invalid"
    elif fits:
        assert reply.code == 250 and policed.attempt(domain)["sts_outcome"] == "ok"
    else:
        assert reply.code == 451 and not mx.records
        assert policed.tlsmend.result(recipient_domain=domain.name)["reason"] == NOT_LISTED


# -- whose policy (C-STS-05) ----------------------------------------------------------------------

def test_c_sts_05_never_a_parents(scene):
    """The domain has a policy, mail to a name below it does not come under it; nor the other way."""
    policed = Policed(scene)
    parent = policed.domain()
    child = f"below.{parent.name}"
    parent.add("MX", f"10 {policed.mx.host}.", label="below")
    capture = scene.capture()
    assert policed.send(child).code == 250
    assert policed.attempt(child).get("sts_trouble") is None
    assert "sts_id" not in policed.attempt(child)
    asked = {q.name for q in capture.queries(rdtype="TXT")}
    assert asked == {f"_mta-sts.{child}."}
    policed.fetched(parent, 0)
    assert policed.in_force(parent)
    assert policed.send(child).code == 250   # nor once the parent's is in the cache
    assert "sts_id" not in policed.attempt(child)


def test_c_sts_05_never_the_mxs(scene):
    """A policy at the domain of the MX host is for mail to that domain only."""
    hoster, customer = scene.domain(), scene.domain()
    mx = scene.hostile(hoster)
    sts = hoster.sts(mx=["elsewhere.example"])
    customer.mx(mx.host)
    policed = Policed(scene)
    assert policed.send(customer).code == 250 and sts.requests() == []
    assert policed.send(hoster).code == 451 and len(sts.wait_requests(1)) == 1


def test_c_sts_05_two_domains_with_one_mx_do_not_share(scene):
    policed = Policed(scene)
    strict, mild, plain = policed.domain(), policed.domain(mx=[policed.mx.host], id="2"), scene.domain()
    plain.mx(policed.mx.host)
    for _ in range(2):
        assert policed.in_force(strict)
        assert policed.send(mild).code == 250 and policed.attempt(mild)["policy_domain"] == mild.name
        assert policed.send(plain).code == 250 and "sts_id" not in policed.attempt(plain)
    assert policed.attempt(mild)["sts_id"] == "2" and policed.attempt(mild)["sts_outcome"] == "ok"
    policed.fetched(strict, 1)
    policed.fetched(mild, 1)


def test_c_sts_05_of_a_route_it_is_the_routes_host(scene):
    """RFC 8461 8.4: with a smarthost the policy domain is the smarthost; the recipient's own policy
    has no word in it."""
    hub = scene.domain()
    mx = scene.hostile(hub, label="hub")
    hub_sts = hub.sts(mx=["elsewhere.example"])          # hub's own mail: not the host's
    domain = scene.domain()
    domain.mx("mx.nowhere.example")
    own = domain.sts(mx=["elsewhere.example"])
    # The policy of the host itself.
    host, nginx = f"mta-sts.{mx.host}", scene.nginx
    nginx.certificate(host, scene.pki.chain("good", host))
    nginx.answer(host, "plain")
    scene.dns.add(host, "A", own.addresses[0])

    def publish(id, listed):
        nginx.policy(host, policy_text(mx=[listed]))
        scene.dns.update([("delete", f"_mta-sts.{mx.host}", "TXT", None),
                          ("add", f"_mta-sts.{mx.host}", "TXT", f'"v=STSv1; id={id};"')], ttl=0)

    publish(9, "other.example")
    policed = Policed(scene, destinations=[{"match": domain.name, "route": {"host": mx.host, "port": 25}}])
    assert policed.send(domain).code == 451 and mx.records == []
    skip = policed.tlsmend.records("skip")[-1]
    assert (skip["policy_domain"], skip["sts_id"], skip["reason"]) == (mx.host, "9", NOT_LISTED)
    publish(10, mx.host)
    assert policed.send(domain).code == 250
    attempt = policed.attempt(domain)
    assert (attempt["policy_domain"], attempt["sts_id"], attempt["sts_outcome"]) == (mx.host, "10", "ok")
    assert len(nginx.wait_requests(2, host)) == 2 and own.requests() == hub_sts.requests() == []
