# SPDX-License-Identifier: Apache-2.0
"""What was found of a destination serves the next mails while its answers live, and no longer (C-MX-01, C-STS-07,
C-DANE-02).

The resolver inside of tlsmend has a cache too, by the wall clock.  So most daemons here run with a clock of their own
that is turned: then the resolver knows nothing any more, and each look-up is seen on the wire."""

import threading
import time

import pytest

from lab import smtpc
from lab.dane import tlsa
from lab.daned import OTHER_KEY
from lab.helpers import SENDER, hup, mail, send, settled
from lab.hostile import HostileMx
from lab.policed import ELSEWHERE, Policed

LATER = "30m"           # all that the resolver has is old
NO_STS = {"mta_sts": {"enabled": False}}


def daemon(scene, **settings):
    """One worker: each has its own memory."""
    return scene.tlsmend(workers=1, **settings)


def turn(tlsmend, offset):
    """The clock of timers too: only while nothing is done there, or the watchdog sees a turn of the loop that takes so
    long."""
    settled()
    tlsmend.clock.turn(offset)


def questions(capture):
    return [(q.name, q.rdtype) for q in capture.queries()]


# -- warm -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("policy", [False, True])
def test_fifty_mails_and_no_question(scene, policy):
    domain = scene.domain()
    mx = scene.hostile(domain)
    if policy:
        domain.sts(mx=[mx.host], ttl=60)
    tlsmend = daemon(scene, clock="wall", **({} if policy else NO_STS))
    assert send(scene, tlsmend, domain).code == 250
    tlsmend.clock.turn(LATER)
    capture = scene.capture()
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert [mail(c, domain).code for _ in range(50)] == [250] * 50
    assert not questions(capture)
    assert {a["t_dns"] for a in tlsmend.attempts(51, recipient_domain=domain.name)[1:]} == {0}
    assert len(mx.mails) == 51


@pytest.mark.parametrize("how", ["route", "setting 0", "TTL 0"])
def test_what_else_is_kept_and_what_is_not(scene, how):
    domain, other = scene.domain(), scene.domain()
    mx = scene.hostile(other)
    domain.add("MX", f"10 {mx.host}.", ttl=0 if how == "TTL 0" else 60)
    settings = dict(NO_STS)
    if how == "route":
        settings["destinations"] = [{"match": domain.name, "route": {"host": mx.host}}]
    if how == "setting 0":
        settings["resolver"] = {"destinations": 0}
    tlsmend = daemon(scene, clock="wall", **settings)
    assert send(scene, tlsmend, domain).code == 250
    tlsmend.clock.turn(LATER)
    capture = scene.capture()
    assert send(scene, tlsmend, domain).code == 250
    assert bool(questions(capture)) == (how != "route")


def test_c_mx_01_equal_hosts_share_the_mail_of_a_kept_destination(scene):
    domain = scene.domain()
    first, second, third = (scene.hostile(domain, label=f"mx{p}{i}", preference=p)
                            for p, i in ((10, 1), (10, 2), (20, 1)))
    tlsmend = daemon(scene, clock="wall", **NO_STS)
    assert send(scene, tlsmend, domain).code == 250
    tlsmend.clock.turn(LATER)
    capture = scene.capture()
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert [mail(c, domain).code for _ in range(40)] == [250] * 40
    assert not questions(capture)
    # Fewer than 5 of 41 at one of them: 1 in 8 million.
    assert min(len(first.mails), len(second.mails)) >= 5 and not third.mails
    assert len(first.mails) + len(second.mails) == 41


def test_two_mails_at_once_for_a_cold_domain_are_one_look_up(scene):
    domain = scene.domain(zone="craftedplain")
    mx = scene.hostile(domain)
    domain.fault("MX", 0.25)   # the resolver would ask again after 0.376 s
    tlsmend = daemon(scene, **NO_STS)
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(send(scene, tlsmend, domain).code)) for _ in range(2)]
    threads[0].start()
    time.sleep(0.1)
    threads[1].start()
    for t in threads:
        t.join()
    assert codes == [250, 250] and len(mx.mails) == 2
    assert scene.dns.crafted.count(domain.name, "MX") == scene.dns.crafted.count(mx.host, "AAAA") == 1
    waited = sorted(a["t_dns"] for a in tlsmend.attempts(2, recipient_domain=domain.name))
    assert 60 < waited[0] < 240 <= waited[1] * 1.05   # each its own wait


# -- what ends it ---------------------------------------------------------------------------------

def test_c_mx_01_another_mx_is_followed_after_the_ttl(scene):
    domain = scene.domain()
    old, new = (scene.hostile(scene.domain()) for _ in range(2))
    domain.add("MX", f"10 {old.host}.", ttl=10)
    tlsmend = daemon(scene, clock="both", **NO_STS)
    assert send(scene, tlsmend, domain).code == 250
    domain.remove("MX")
    domain.add("MX", f"10 {new.host}.", ttl=10)
    turn(tlsmend, "5s")
    assert send(scene, tlsmend, domain).code == 250 and len(old.mails) == 2
    turn(tlsmend, "12s")
    assert send(scene, tlsmend, domain).code == 250
    assert (len(old.mails), len(new.mails)) == (2, 1)


@pytest.mark.parametrize("what", ["address", "alias"])
def test_the_shortest_ttl_of_all_decides(scene, what):
    domain = scene.domain()
    host = f"mx.{domain.name}"
    chain = scene.pki.chain("good", host)
    servers = [scene.add("mx", HostileMx(scene.net, chain=chain, name=host)) for _ in range(2)]
    tlsmend = daemon(scene, clock="both", **NO_STS)
    domain.mx(host)
    for i, server in enumerate(servers):
        if what == "address":
            domain.remove(label="mx")
            domain.server.update([("add", host, "AAAA" if ":" in a else "A", a) for a in server.addresses], ttl=10)
        else:
            target = domain.host(f"t{i}", *server.addresses)
            domain.remove(label="mx")
            domain.add("CNAME", f"{target}.", label="mx", ttl=10)
        turn(tlsmend, f"{12 * i}s")
        assert send(scene, tlsmend, domain).code == 250
        assert [len(s.mails) for s in servers] == [1, i]


def test_c_dane_02_other_tlsa_records_are_followed_after_the_ttl(scene):
    domain = scene.domain(zone="crafted")
    mx = scene.hostile(domain)
    name = f"_25._tcp.{mx.host}"
    domain.server.add(name, "TLSA", tlsa(3, 1, 1, mx.chain), ttl=10)
    tlsmend = daemon(scene, clock="both", **NO_STS)
    assert send(scene, tlsmend, domain).code == 250
    assert tlsmend.attempt(recipient_domain=domain.name)["dane"] == "usable"
    domain.server.remove(name, "TLSA")
    domain.server.add(name, "TLSA", tlsa(3, 1, 1, OTHER_KEY), ttl=10)
    turn(tlsmend, "12s")
    reply = send(scene, tlsmend, domain)
    assert (reply.code, reply.text[:5]) == (451, "4.7.5")
    assert tlsmend.attempts(2, recipient_domain=domain.name)[-1]["reason"] == "dane-mismatch"


def test_c_sts_07_a_new_id_is_followed_after_the_ttl_of_its_record(scene):
    policed = Policed(scene, clock="both", workers=1)
    domain = policed.domain(mx=[policed.mx.host], ttl=10)
    assert not policed.in_force(domain)
    domain.policy.publish(id="2", mx=[ELSEWHERE])
    assert not policed.in_force(domain)
    turn(policed.tlsmend, "12s")
    assert policed.in_force(domain)


def test_c_sts_01_a_record_that_failed_is_asked_for_again_after_a_minute(scene):
    """Not by each mail: where the name server is silent, each would wait for it."""
    policed = Policed(scene, clock="both", workers=1)
    domain = policed.domain(ttl=60)
    domain.policy.txt_fails("servfail")
    assert not policed.in_force(domain)
    domain.policy.txt("v=STSv1; id=1;")
    turn(policed.tlsmend, "30s")
    assert not policed.in_force(domain)
    turn(policed.tlsmend, "62s")
    assert policed.in_force(domain)


def test_c_sts_09_a_policy_that_was_refreshed_decides_the_next_mail(scene):
    """The TXT record is kept for a day, and with it the destination: the refresh is not the mail's work."""
    policed = Policed(scene, clock="wall", workers=1, mta_sts={"refresh": "10m"})
    domain = policed.domain(mx=[policed.mx.host], ttl=86400)
    assert policed.send(domain).code == 250
    domain.policy.publish(mx=[ELSEWHERE])
    assert policed.send(domain).code == 250
    policed.tlsmend.clock.turn("11m")
    assert policed.sts(domain, occasion="refresh")["outcome"] == "new-policy"
    assert policed.in_force(domain)


def test_c_sts_06_not_one_mail_longer_than_max_age(scene):
    """The domain has no policy any more, and its MX does not verify; until the policy ends nothing is delivered."""
    domain = scene.domain()
    mx = scene.hostile(domain, kind="expired")
    domain.sts(mx=[mx.host], max_age=3600, ttl=86400)
    tlsmend = daemon(scene, clock="wall", tls={"level": "may"})
    assert send(scene, tlsmend, domain).code == 451
    scene.nginx.stop()
    assert send(scene, tlsmend, domain).code == 451
    tlsmend.clock.turn("61m")
    assert send(scene, tlsmend, domain).code == 250 and len(mx.mails) == 1


def test_an_override_ends_on_its_date(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, kind="expired")
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    tlsmend = daemon(scene, clock="wall", **NO_STS,
                     destinations=[{"match": domain.name, "level": "encrypt", "expires": until}])
    assert [send(scene, tlsmend, domain).code for _ in range(2)] == [250, 250]
    tlsmend.clock.turn("61m")
    assert send(scene, tlsmend, domain).code == 451 and len(mx.mails) == 2


def test_new_settings_take_effect_at_once(scene):
    domain = scene.domain()
    mx, other = scene.hostile(domain), scene.hostile(scene.domain())
    tlsmend = daemon(scene, clock="wall", **NO_STS)
    old = scene.client(tlsmend)
    old.ehlo()
    assert [r.code for r in old.envelope(SENDER, [domain.address()])] == [250, 250]
    tlsmend.write_config(destinations=[{"match": domain.name, "route": {"host": other.host}}])
    hup(tlsmend)
    settled()
    assert send(scene, tlsmend, domain).code == 250
    assert (len(mx.mails), len(other.mails)) == (0, 1)
    assert old.data(smtpc.message()).code == 250 and len(mx.mails) == 1   # ends as it began
    tlsmend.clock.turn(LATER)
    capture = scene.capture()
    assert send(scene, tlsmend, domain).code == 250 and len(other.mails) == 2
    assert not questions(capture)   # kept by the new configuration


# -- what is never kept ---------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["nxdomain", "servfail", "host without addresses", "host fails"])
def test_no_failure_is_kept(scene, how):
    """It is mended, and the next mail is delivered."""
    domain = scene.domain(zone="craftedplain" if "fail" in how else "plain")
    mx = scene.hostile(scene.domain() if how == "nxdomain" else domain)
    if how == "servfail":
        domain.fault("MX", "servfail")
    elif how == "host fails":
        domain.fault("ANY", "servfail", label="mx")
    elif how == "host without addresses":
        domain.remove(label="mx")
    tlsmend = daemon(scene, clock="wall", **NO_STS)
    assert send(scene, tlsmend, domain).code != 250
    if how == "nxdomain":
        domain.mx(mx.host)
    elif how == "servfail":
        domain.fault("MX", None)
    elif how == "host fails":
        domain.fault("ANY", None, label="mx")
    else:
        domain.add_addresses(mx.host, mx.addresses)
    tlsmend.clock.turn(LATER)
    assert send(scene, tlsmend, domain).code == 250 and len(mx.mails) == 1
