# SPDX-License-Identifier: Apache-2.0
"""DANE: which look-ups decide whether it applies, and what happens where one fails (C-DANE-02, 03, 08)."""

import pytest

from lab.dane import tlsa
from lab.daned import OTHER_KEY, Daned

# How a TLSA look-up can fail: the resolver gives up, or the answer does not validate.
FAILURES = ["servfail", "refused", "badsig", "expired", "not-yet-valid", "unsigned", "drop"]
QUICK = {"resolver": {"timeout": "2s"}}


# -- what is not signed ---------------------------------------------------------------------------

@pytest.mark.parametrize("zone", ["plain", "plain.optout", "craftedplain"])
def test_c_dane_02_an_insecure_zone_is_not_asked(scene, zone):
    dane = Daned(scene, zone=zone)
    mx = dane.mx("good")
    dane.mismatch(mx)
    dane.delivered(mx, dane="insecure", demand="verify", demand_source="default", dnssec=False)
    assert not dane.asked(mx) and dane.asked(mx, "A")


def test_c_dane_02_insecure_addresses_of_a_secure_mx(scene):
    dane = Daned(scene)
    mx = dane.mx("good", at=scene.domain())
    dane.mismatch(mx)
    dane.delivered(mx, dane="insecure", demand="verify", dnssec=False)
    assert not dane.asked(mx)


def test_c_dane_08_an_insecure_mx_with_a_signed_host(scene):
    """Whoever forges the MX record could point to any host with good records."""
    dane = Daned(scene, zone="plain")
    mx = dane.mx("good", at=scene.domain(signed=True))
    dane.mismatch(mx)
    attempt = dane.delivered(mx, dane="insecure", demand="verify", demand_source="default")
    assert "MX records are not signed" in attempt["dane_detail"]
    assert not dane.asked(mx)


def test_c_dane_08_half_dane_mismatch(scene):
    dane = Daned(scene, zone="plain", tls={"half_dane": True})
    mx = dane.mx("good", at=scene.domain(signed=True))
    dane.mismatch(mx)
    dane.refused("dane-mismatch", mx, dane="usable", demand="dane", dnssec=False)
    assert dane.asked(mx)


def test_c_dane_08_half_dane_match(scene):
    dane = Daned(scene, zone="plain", tls={"half_dane": True})
    mx = dane.mx("self-signed", at=scene.domain(signed=True))
    dane.tlsa(mx, 3, 1, 1)
    dane.delivered(mx, dane="usable", demand="dane", dane_outcome="ok", verify="self-signed")


def test_c_dane_08_half_dane_does_not_replace_the_name_of_secure(scene):
    dane = Daned(scene, zone="plain", tls={"half_dane": True, "level": "secure"})
    mx = dane.mx("good", at=scene.domain(signed=True))   # names the host, not the recipient's domain
    dane.tlsa(mx, 3, 1, 1)
    dane.refused("name-mismatch", mx, dane="usable", dane_outcome="ok")


@pytest.mark.parametrize("good", [True, False])
def test_c_dane_08_dane_only_takes_an_insecure_mx(scene, good):
    dane = Daned(scene, zone="plain", tls={"level": "dane-only"})
    mx = dane.mx("self-signed", at=scene.domain(signed=True))
    dane.tlsa(mx, 3, 1, 1, None if good else OTHER_KEY)
    if good:
        dane.delivered(mx, demand="dane-only", demand_source="dane", dane_outcome="ok")
    else:
        dane.refused("dane-mismatch", mx, demand="dane-only")


def test_c_dane_08_dane_only_in_a_row_of_destinations(scene):
    domain = scene.domain()
    dane = Daned(scene, zone="plain", destinations=[{"match": ".plain.example", "level": "dane-only"}])
    assert domain.name.endswith(".plain.example")
    mx = dane.mx("self-signed", at=scene.domain(signed=True))
    dane.tlsa(mx, 3, 1, 1)
    dane.delivered(mx, demand="dane-only", dane_outcome="ok", policy_id=".plain.example")


# -- the recipient's domain is an alias -----------------------------------------------------------

@pytest.mark.parametrize("secure", [True, False])
def test_c_dane_02_the_recipient_domain_is_an_alias(scene, secure):
    """Its MX records are at the target; they are as good as the alias that leads there."""
    dane = Daned(scene, zone="signed" if secure else "plain")
    target = scene.domain(zone="nsec3")
    mx = scene.hostile(target, kind="good")
    target.tlsa(mx.host, 3, 1, 1, OTHER_KEY)
    dane.domain.add("CNAME", target.name + ".")
    if secure:
        dane.refused("dane-mismatch", mx, dane="usable", dnssec=True)
    else:
        dane.delivered(mx, dane="insecure", demand="verify")


def test_c_dane_02_names_have_no_case(scene):
    dane = Daned(scene)
    mx = scene.hostile(chain=scene.pki.chain("self-signed", f"mx.{dane.domain.name}"))
    host = dane.domain.host("mx", *mx.addresses)
    dane.domain.mx(host.upper())
    dane.domain.tlsa(host, 3, 1, 1, mx.chain)
    assert dane.send().code == 250
    attempt = dane.tlsmend.attempt()
    assert (attempt["tlsa_base"], attempt["dane_outcome"]) == (host, "ok")


# -- implicit MX and routes -----------------------------------------------------------------------

@pytest.mark.parametrize("zone", ["signed", "nsec3", "crafted"])
def test_c_dane_08_implicit_mx(scene, zone):
    dane = Daned(scene, zone=zone)
    mx = dane.implicit("self-signed")
    dane.tlsa(mx, 3, 1, 1)
    dane.delivered(mx, route="implicit-mx", demand="dane", dane_outcome="ok", dnssec=True)
    assert mx.records[-1].tls["sni"] == dane.domain.name


def test_c_dane_08_implicit_mx_mismatch(scene):
    dane = Daned(scene)
    mx = dane.implicit("good")
    dane.mismatch(mx)
    dane.refused("dane-mismatch", mx, route="implicit-mx")


def test_c_dane_08_implicit_mx_insecure(scene):
    dane = Daned(scene, zone="plain")
    mx = dane.implicit("good")
    dane.mismatch(mx)
    dane.delivered(mx, route="implicit-mx", dane="insecure", demand="verify")
    assert not dane.asked(mx)


@pytest.mark.parametrize("matches", [True, False])
def test_c_dane_08_a_route_to_a_signed_host(scene, matches):
    """The configuration vouches for the host; the recipient's domain need not be signed, and not its port 25."""
    target = scene.domain(signed=True)
    host = f"smart.{target.name}"
    mx = scene.hostile(chain=scene.pki.chain("self-signed", host), name=host, port=2625)
    target.add_addresses(host, mx.addresses)
    mx.host = host
    target.tlsa(host, 3, 1, 1, mx.chain if matches else OTHER_KEY, port=2625)
    target.tlsa(host, 3, 1, 1, OTHER_KEY)   # of port 25: another server's
    dane = Daned(scene, zone="plain", destinations=[
        {"match": ".plain.example", "route": {"host": host, "port": 2625}}])
    reply = dane.send()
    attempt = dane.tlsmend.attempts(mx=host)[-1]
    assert (attempt["route"], attempt["demand"], attempt["dane"]) == ("config", "dane", "usable")
    if matches:
        assert reply.code == 250 and attempt["dane_outcome"] == "ok" and mx.mails[0].in_tls
        assert mx.records[-1].tls["sni"] == host
    else:
        assert (reply.code, attempt["reason"]) == (451, "dane-mismatch") and reply.text.startswith("4.7.5 ")
        dane.untouched(mx)


# -- a look-up that fails -------------------------------------------------------------------------

@pytest.mark.parametrize("how", FAILURES)
def test_c_dane_02_a_tlsa_look_up_that_fails_makes_the_host_unusable(scene, how):
    dane = Daned(scene, **QUICK)
    mx = dane.mx("good")
    dane.tlsa(mx, 3, 1, 1)
    dane.domain.fault("TLSA", how, host=mx.host)
    (skip,) = dane.deferred("tlsa-lookup-failed", mx, dane="lookup-failed", dane_outcome="tlsa-lookup-failed",
                            demand_source="dane")
    assert f"_25._tcp.{mx.host}" in skip["dane_detail"] and skip["severity"] == "warning"
    assert dane.asked(mx)


@pytest.mark.parametrize("level", ["none", "may", "dane", "dane-only"])
def test_c_dane_02_a_failed_look_up_is_never_no_dane(scene, level):
    dane = Daned(scene, tls={"level": level})
    mx = dane.mx("good")
    dane.domain.fault("TLSA", "servfail", host=mx.host)
    dane.deferred("tlsa-lookup-failed", mx)


def test_c_dane_02_a_failed_look_up_goes_to_the_next_mx(scene):
    dane = Daned(scene)
    first, second = dane.mx("good", "mx1", preference=10), dane.mx("self-signed", "mx2", preference=20)
    dane.domain.fault("TLSA", "servfail", host=first.host)
    dane.tlsa(second, 3, 1, 1)
    dane.skipped("tlsa-lookup-failed", first)
    assert dane.reply.code == 250 and len(second.mails) == 1
    assert dane.tlsmend.attempt()["dane_outcome"] == "ok"


def test_c_dane_02_unsigned_absence_in_a_signed_zone_is_a_failure(scene):
    """No TLSA records, says an answer that lacks the proof: exactly what an attacker would say."""
    dane = Daned(scene)
    mx = dane.mx("good")
    dane.domain.fault("TLSA", "unsigned", host=mx.host)
    dane.deferred("tlsa-lookup-failed", mx)


def test_c_dane_02_bogus_addresses_of_a_secure_mx(scene):
    dane = Daned(scene)
    mx = dane.mx("good")
    for rdtype in ("A", "AAAA"):
        dane.domain.fault(rdtype, "badsig", label="mx")
    reply = dane.send()
    assert reply.code == 451 and not mx.records and not dane.asked(mx)


def test_c_dane_02_one_bogus_family_of_addresses(scene):
    """The other one is signed, and used."""
    dane = Daned(scene)
    mx = dane.mx("good")
    dane.mismatch(mx)
    dane.domain.fault("AAAA", "badsig", label="mx")
    attempt = dane.refused("dane-mismatch", mx)
    assert attempt["address"] == mx.addresses[0] and len(mx.records) == 1


@pytest.mark.parametrize("label", ["badsig", "expired"])
def test_c_dane_02_a_bogus_mx_record(scene, label):
    """In tampered.example the MX records of these have damaged or old signatures."""
    dane = Daned(scene)
    with scene.client(dane.tlsmend) as c:
        c.ehlo()
        reply = c.deliver("a@client.lab.example", f"u@{label}.tampered.example", b"x\r\n")
    assert reply.code == 451 and dane.tlsmend.result()["reason"] == "dns-bogus"
    assert not dane.tlsmend.records("attempt")


def test_c_dane_02_a_slow_answer_is_waited_for(scene):
    dane = Daned(scene)
    mx = dane.mx("good")
    dane.mismatch(mx)
    dane.domain.fault("TLSA", 0.2, host=mx.host)
    dane.refused("dane-mismatch", mx)


def test_c_dane_02_a_truncated_answer_is_asked_again_over_tcp(scene):
    dane = Daned(scene)
    mx = dane.mx("good")
    for n in range(20):
        dane.tlsa(mx, 3, 0, 0, scene.pki.chain("good", f"n{n}.example"))
    dane.refused("dane-mismatch", mx, tlsa_records=20, tlsa_usable=20)
    assert any(q.tcp for q in dane.capture.queries(f"_25._tcp.{mx.host}", "TLSA"))


# -- proved absence -------------------------------------------------------------------------------

@pytest.mark.parametrize("zone", ["signed", "nsec3", "optout"])
@pytest.mark.parametrize("nodata", [True, False], ids=["NODATA", "NXDOMAIN"])
def test_c_dane_02_proved_absence_is_no_dane(scene, zone, nodata):
    """With NSEC, with NSEC3, and in an opt-out zone, where absence of a whole name cannot be proved."""
    dane = Daned(scene, zone=zone)
    mx = dane.mx("good")
    if nodata:
        dane.domain.add("TXT", '"nothing here"', label="_25._tcp.mx")
    dane.delivered(mx, dane="absent", demand="verify", demand_source="default", dnssec=True)
    rcode = scene.dns.query(f"_25._tcp.{mx.host}", "TLSA").rcode
    assert rcode == ("NOERROR" if nodata else "NXDOMAIN")


def test_c_dane_02_proved_absence_of_a_scripted_server(scene):
    dane = Daned(scene)
    mx = dane.mx("good")
    dane.delivered(mx, dane="absent", demand="verify")
    assert dane.asked(mx)


@pytest.mark.parametrize("good", [True, False])
def test_c_dane_02_a_wildcard_of_tlsa_records(scene, good):
    """What stands for any name is as good as the name, with the proof that there is no other."""
    dane = Daned(scene, zone="signed")
    mx = dane.mx("self-signed")
    dane.domain.add("TLSA", tlsa(3, 1, 1, mx.chain if good else OTHER_KEY), label="*._tcp.mx")
    if good:
        dane.delivered(mx, tlsa_base=mx.host, dane_outcome="ok")
    else:
        dane.refused("dane-mismatch", mx, tlsa_base=mx.host)


# -- the TLSA record is kept elsewhere ------------------------------------------------------------

def kept_elsewhere(scene, dane, mx, zone, cert):
    """_25._tcp.mx is an alias, as hosters do it."""
    other = scene.domain(zone=zone)
    other.add("TLSA", tlsa(3, 1, 1, cert), label="tlsa")
    dane.domain.cname("_25._tcp.mx", f"tlsa.{other.name}")


@pytest.mark.parametrize("good", [True, False])
def test_c_dane_02_a_tlsa_record_behind_a_secure_alias(scene, good):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    kept_elsewhere(scene, dane, mx, "nsec3", mx.chain if good else OTHER_KEY)
    if good:
        dane.delivered(mx, tlsa_base=mx.host, dane_outcome="ok")
    else:
        dane.refused("dane-mismatch", mx, tlsa_base=mx.host)


def test_c_dane_02_a_tlsa_record_behind_an_insecure_zone_is_none(scene):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    kept_elsewhere(scene, dane, mx, "plain", mx.chain)
    attempt = dane.refused("self-signed", mx, dane="absent", demand="verify")
    assert "not signed" in attempt["dane_detail"]


def test_c_dane_02_a_tlsa_alias_that_leads_nowhere_is_a_failure(scene):
    dane = Daned(scene)
    mx = dane.mx("good")
    dane.domain.cname("_25._tcp.mx", "tlsa.servfail.example")
    dane.deferred("tlsa-lookup-failed", mx)


# -- aliases --------------------------------------------------------------------------------------

class Aliased:
    """The recipient's MX is an alias, in a signed zone, of a host elsewhere."""

    def __init__(self, scene, *, to="nsec3", via=None, at="signed", settings=None, **options):
        self.dane = Daned(scene, zone=at, **(settings or {}))
        self.target = scene.domain(zone=to)
        self.expanded = f"host.{self.target.name}"
        self.alias = f"mx.{self.dane.domain.name}"
        chain = options.pop("chain", None) or scene.pki.chain("self-signed", self.expanded)
        self.mx = scene.hostile(chain=chain, name=self.expanded, **options)
        self.mx.host = self.alias
        self.target.add_addresses(self.expanded, self.mx.addresses)
        self.via = scene.domain(zone=via) if via else None
        self.dane.domain.cname("mx", self.via.cname("step", self.expanded) if via else self.expanded)
        self.dane.domain.mx(self.alias)

    def records(self, expanded=None, original=None):
        """What is published at either name: "own" for the server's key, "other" for another one."""
        certs = {"own": self.mx.chain, "other": OTHER_KEY}
        if expanded:
            self.target.tlsa(self.expanded, 3, 1, 1, certs[expanded])
        if original:
            self.dane.domain.tlsa(self.alias, 3, 1, 1, certs[original])

    def sni(self):
        return self.mx.hellos[-1].sni


def test_c_dane_03_records_at_the_expanded_name(scene):
    a = Aliased(scene)
    a.records(expanded="own", original="other")
    a.dane.delivered(a.mx, tlsa_base=a.expanded, dane_outcome="ok")
    assert a.sni() == a.expanded
    assert a.dane.asked(a.expanded) and not a.dane.asked(a.alias)


def test_c_dane_03_a_mismatch_at_the_expanded_name_is_not_rescued_by_the_original(scene):
    a = Aliased(scene)
    a.records(expanded="other", original="own")
    a.dane.refused("dane-mismatch", a.mx, tlsa_base=a.expanded)


@pytest.mark.parametrize("original, good", [("own", True), ("other", False)])
def test_c_dane_03_then_at_the_original_name(scene, original, good):
    a = Aliased(scene)
    a.records(original=original)
    if good:
        a.dane.delivered(a.mx, tlsa_base=a.alias, dane_outcome="ok")
    else:
        a.dane.refused("dane-mismatch", a.mx, tlsa_base=a.alias)
    assert a.sni() == a.alias
    order = [n.removeprefix("_25.") for n in (q.name for q in a.dane.capture.queries()) if "_tcp." in n]
    assert order.index(f"_tcp.{a.expanded}.") < order.index(f"_tcp.{a.alias}.")


def test_c_dane_03_no_records_at_either_name(scene):
    a = Aliased(scene, chain=scene.pki.chain("good", "elsewhere.example"))
    a.dane.refused("name-mismatch", a.mx, dane="absent", demand="verify")
    assert a.dane.asked(a.expanded) and a.dane.asked(a.alias) and a.sni() == a.alias


def test_c_dane_03_a_chain_of_aliases(scene):
    a = Aliased(scene, via="optout")
    a.records(expanded="own")
    a.dane.delivered(a.mx, tlsa_base=a.expanded, dane_outcome="ok")


@pytest.mark.parametrize("fails", ["expanded", "original"])
def test_c_dane_03_a_look_up_that_fails_at_either_name(scene, fails):
    a = Aliased(scene, to="crafted", at="crafted")
    if fails == "expanded":
        a.records(original="own")   # no second name that an attacker could steer us to
        a.target.fault("TLSA", "servfail", host=a.expanded)
    else:
        a.dane.domain.fault("TLSA", "servfail", host=a.alias)
    a.dane.deferred("tlsa-lookup-failed", a.mx, dane="lookup-failed")


@pytest.mark.parametrize("original, good", [("own", True), ("other", False)])
def test_c_dane_03_a_secure_alias_of_an_insecure_host(scene, original, good):
    """Its addresses are not signed, but the alias is: the records at its own name are its own.  Those at the
    expanded name are not signed, so they count for nothing, whichever way they would decide."""
    a = Aliased(scene, to="plain")
    a.records(expanded="other" if good else "own", original=original)
    if good:
        a.dane.delivered(a.mx, tlsa_base=a.alias, dane="usable", dane_outcome="ok")
    else:
        a.dane.refused("dane-mismatch", a.mx, tlsa_base=a.alias)
    assert a.sni() == a.alias


def test_c_dane_03_a_way_through_an_insecure_zone(scene):
    """signed -> plain -> signed: the records at the end could be anybody's choice."""
    a = Aliased(scene, via="plain")
    a.records(expanded="other", original="own")
    a.dane.delivered(a.mx, tlsa_base=a.alias, dane_outcome="ok")
    assert not a.dane.asked(a.expanded)


def test_c_dane_03_an_insecure_alias_of_a_secure_host(scene):
    """The MX record is signed, the alias is not: no DANE, whatever stands at its end."""
    dane = Daned(scene)
    plain, signed = scene.domain(), scene.domain(signed=True)
    mx = scene.hostile(chain=scene.pki.chain("good", f"mx.{plain.name}"))
    host = signed.host("host", *mx.addresses)
    signed.tlsa(host, 3, 1, 1, OTHER_KEY)
    mx.host = plain.cname("mx", host)
    dane.domain.mx(mx.host)
    dane.delivered(mx, dane="insecure", demand="verify")
    assert not dane.asked(host) and not dane.asked(mx.host)


@pytest.mark.parametrize("name", ["expanded", "alias", "recipient"])
def test_c_dane_03_ta_takes_the_names_of_both_ends(scene, name):
    a = Aliased(scene)
    names = {"expanded": a.expanded, "alias": a.alias, "recipient": a.dane.domain.name}
    a.mx.chain = scene.pki.leaf(names[name], "own")
    a.target.tlsa(a.expanded, 2, 1, 1, scene.pki.intermediate.cert)
    a.dane.delivered(a.mx, dane_outcome="ok", tlsa_base=a.expanded)


def test_c_dane_03_ta_takes_no_other_name(scene):
    a = Aliased(scene)
    a.mx.chain = scene.pki.leaf(a.target.name, "own")
    a.target.tlsa(a.expanded, 2, 1, 1, scene.pki.intermediate.cert)
    a.dane.refused("name-mismatch", a.mx, tlsa_base=a.expanded)
