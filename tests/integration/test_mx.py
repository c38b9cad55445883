# SPDX-License-Identifier: Apache-2.0
"""Finding the hosts: C-MX-01 to C-MX-10, against the real DNS of the lab."""

import time

import pytest

from lab import smtpc
from lab.hostile import CLOSE
from lab.netns import BLACK_HOLE_IP4, BLACK_HOLE_IP6, UNREACHABLE_IP6

SENDER = "a@client.lab.example"


def send(scene, tlsmend, address, helo=False):
    """One mail through tlsmend; the reply that decided."""
    with scene.client(tlsmend) as c:
        c.cmd("HELO client.lab.example") if helo else c.ehlo()
        return c.deliver(SENDER, address, smtpc.message())


def silent_addresses(scene, n):
    """Addresses at which nobody listens: a connection is refused at once."""
    return [a for _ in range(n) for a in scene.net.new_host()]


# -- C-MX-01: order, equals, both families, limit ---------------------------------------------


def test_c_mx_01_lower_preference_first_then_the_next(scene, tlsmend):
    domain = scene.domain()
    second = scene.hostile(domain, label="mx2", preference=20)
    first = scene.hostile(domain, label="mx1", preference=10)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert first.mails and not second.records
    attempt = tlsmend.attempt(recipient_domain=domain.name)
    assert (attempt["mx"], attempt["preference"]) == (first.host, 10)


def test_c_mx_01_next_host_when_the_first_is_down(scene, tlsmend):
    domain = scene.domain()
    domain.mx(domain.host("mx1", *silent_addresses(scene, 1)), 10)
    second = scene.hostile(domain, label="mx2", preference=20)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert second.mails
    reasons = [a["reason"] for a in tlsmend.attempts(3, recipient_domain=domain.name)]
    assert reasons == ["connect-refused", "connect-refused", "ok"]


def test_c_mx_01_equal_hosts_are_shuffled(scene, tlsmend):
    domain = scene.domain()
    both = [scene.hostile(domain, label=f"mx{i}", preference=10) for i in (1, 2)]
    for _ in range(24):
        assert send(scene, tlsmend, domain.address()).code == 250
    # One of them never chosen in 24 times: 1 in 8 million if the shuffle is fair.
    assert all(mx.mails for mx in both)


def test_c_mx_01_at_most_five_addresses_both_families_inside(scene, tlsmend):
    domain = scene.domain()
    for i in range(5):
        domain.mx(domain.host(f"mx{i}", *silent_addresses(scene, 1)), 10 + i)
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (451, "4.4.1")
    attempts = tlsmend.attempts(5, recipient_domain=domain.name)
    assert len(attempts) == 5
    assert {":" in a["address"] for a in attempts} == {True, False}


def test_c_mx_01_limit_is_a_setting(scene):
    tlsmend = scene.tlsmend(resolver={"addresses": 2})
    domain = scene.domain()
    for i in range(3):
        domain.mx(domain.host(f"mx{i}", *silent_addresses(scene, 1)), 10 + i)
    assert send(scene, tlsmend, domain.address()).code == 451
    tlsmend.results(recipient_domain=domain.name)
    assert len(tlsmend.records("attempt", recipient_domain=domain.name)) == 2


def test_c_mx_01_one_family_alone_is_enough(scene, tlsmend):
    for family in (0, 1):
        domain = scene.domain()
        mx = scene.hostile(chain=scene.pki.chain("good", f"mx.{domain.name}"))
        domain.mx(domain.host("mx", mx.addresses[family]), 10)
        assert send(scene, tlsmend, domain.address()).code == 250
        assert tlsmend.attempt(recipient_domain=domain.name)["address"] == mx.addresses[family]


# -- C-MX-02, C-MX-05: no MX; MX without addresses --------------------------------------------


def test_c_mx_02_implicit_mx(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(chain=scene.pki.chain("good", domain.name))
    domain.add_addresses(domain.name, mx.addresses)
    assert send(scene, tlsmend, domain.address()).code == 250
    attempt = tlsmend.attempt(recipient_domain=domain.name)
    assert (attempt["route"], attempt["mx"]) == ("implicit-mx", domain.name)


def test_c_mx_02_no_fall_back_to_a_when_mx_exists(scene, tlsmend):
    domain = scene.domain()
    own = scene.hostile(chain=scene.pki.chain("good", domain.name))
    domain.add_addresses(domain.name, own.addresses)
    domain.mx(domain.host("mx", *silent_addresses(scene, 1)), 10)
    assert send(scene, tlsmend, domain.address()).code == 451
    assert not own.records


def test_c_mx_05_host_without_address_is_skipped(scene, tlsmend):
    domain = scene.domain()
    domain.mx(f"nothing.{domain.name}", 5)
    mx = scene.hostile(domain, preference=10)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert mx.mails


def test_c_mx_05_all_hosts_do_not_exist(scene, tlsmend):
    domain = scene.domain()
    domain.mx(f"nothing.{domain.name}", 5)
    domain.mx(f"nowhere.{domain.name}", 10)
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (550, "5.4.4")
    assert tlsmend.result(recipient_domain=domain.name)["reason"] == "mx-not-found"


def test_c_mx_05_one_host_exists_without_address(scene, tlsmend):
    domain = scene.domain()
    domain.mx(f"nothing.{domain.name}", 5)
    domain.add("TXT", '"here"', label="mx")
    domain.mx(f"mx.{domain.name}", 10)
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (451, "4.4.4")


# -- C-MX-03: absence and failure are different ------------------------------------------------


def test_c_mx_03_domain_does_not_exist(scene, tlsmend):
    domain = scene.domain()
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (550, "5.1.2")
    assert tlsmend.result(recipient_domain=domain.name)["status"] == "rejected"
    assert not tlsmend.records("attempt")


@pytest.mark.parametrize("name, reason", [
    ("x.servfail.example", "dns-failed"),
    ("x.bogus.example", "dns-bogus"),
    ("badsig.tampered.example", "dns-bogus"),
    ("expired.tampered.example", "dns-bogus"),
])
def test_c_mx_03_failure_is_temporary(scene, tlsmend, name, reason):
    reply = send(scene, tlsmend, f"user@{name}")
    assert (reply.code, reply.text[:5]) == (451, "4.4.3")
    assert tlsmend.result(recipient_domain=name)["reason"] == reason


def test_c_mx_03_silent_dns_is_temporary_within_its_time(scene):
    tlsmend = scene.tlsmend(resolver={"timeout": "2s"})
    start = time.monotonic()
    reply = send(scene, tlsmend, "user@x.hole.example")
    assert (reply.code, reply.text[:5]) == (451, "4.4.3")
    assert tlsmend.result()["reason"] == "dns-timeout"
    assert time.monotonic() - start < 10


# -- C-MX-04: null MX --------------------------------------------------------------------------


def test_c_mx_04_null_mx(scene, tlsmend):
    domain = scene.domain()
    domain.null_mx()
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:6]) == (556, "5.1.10")


def test_c_mx_04_null_mx_for_a_helo_client(scene, tlsmend):
    domain = scene.domain()
    domain.null_mx()
    reply = send(scene, tlsmend, domain.address(), helo=True)
    assert (reply.code, reply.text[:6]) == (550, "5.1.10")


def test_c_mx_04_null_mx_among_others_is_ignored_and_logged(scene, tlsmend):
    domain = scene.domain()
    domain.null_mx()
    mx = scene.hostile(domain)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert mx.mails
    assert tlsmend.attempt(recipient_domain=domain.name)["mx_ignored"] == 1


# -- C-MX-06: addresses that mail must not go to, and loops ------------------------------------


@pytest.mark.parametrize("addresses", [
    ["127.0.0.1", "::1"], ["0.0.0.0", "::"], ["224.0.0.1", "ff02::1"], ["10.1.2.3", "fd00::1"],
    ["192.168.1.1", "fe80::1"], ["::ffff:127.0.0.1"], ["169.254.1.1"], ["100.64.0.1"]])
def test_c_mx_06_forbidden_addresses(scene, tlsmend, addresses):
    domain = scene.domain()
    domain.mx(domain.host("mx", *addresses), 10)
    reply = send(scene, tlsmend, domain.address())
    assert reply.code == 451
    assert tlsmend.result(recipient_domain=domain.name)["reason"] == "mx-forbidden"
    assert not tlsmend.records("attempt", recipient_domain=domain.name)


def test_c_mx_06_the_address_is_refused_not_the_domain(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain)
    domain.add_addresses(mx.host, ["127.0.0.1", "10.0.0.1"])
    assert send(scene, tlsmend, domain.address()).code == 250
    assert mx.mails


def test_c_mx_06_private_when_allowed(scene):
    scene.net.internet.ip("addr", "replace", "10.99.0.1/32", "dev", "lo")
    scene.net.client.ip("route", "replace", "10.99.0.1/32", "via", "192.0.2.1")
    tlsmend = scene.tlsmend(resolver={"allow_private_mx": True})
    domain = scene.domain()
    mx = scene.hostile(chain=scene.pki.chain("good", f"mx.{domain.name}"), addresses=["10.99.0.1"])
    domain.mx(domain.host("mx", "10.99.0.1"), 10)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert mx.mails


def test_c_mx_06_mx_that_is_localhost_or_a_literal(scene, tlsmend):
    for exchange in ("localhost", "203.0.113.9"):
        domain = scene.domain()
        domain.mx(exchange, 10)
        assert send(scene, tlsmend, domain.address()).code == 451
        assert tlsmend.result(recipient_domain=domain.name)["reason"] == "mx-forbidden"


def test_c_mx_06_only_our_own_listener_remains(scene):
    tlsmend = scene.tlsmend(
        listeners=[{"name": "relayhost", "address": "127.0.0.1", "port": 2525},
                   {"name": "lan", "address": "192.0.2.2", "port": 25, "allow_clients": ["192.0.2.0/24"]}])
    domain = scene.domain()
    domain.mx(domain.host("mx", "192.0.2.2"), 10)
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (554, "5.4.6")


@pytest.mark.parametrize("replies", [
    {"greeting": "220 client.lab.example ESMTP tlsmend"},
    {"ehlo": "250 client.lab.example"},
])
def test_c_mx_06_own_name_is_a_loop(scene, tlsmend, replies):
    domain = scene.domain()
    mx = scene.hostile(domain, replies=replies)
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (554, "5.4.6")
    assert not mx.saw("MAIL")


def test_c_mx_06_loop_at_one_host_another_is_healthy(scene, tlsmend):
    domain = scene.domain()
    scene.hostile(domain, label="mx1", replies={"greeting": "220 client.lab.example ESMTP"})
    healthy = scene.hostile(domain, label="mx2", preference=20)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert healthy.mails


# -- C-MX-07: CNAMEs ---------------------------------------------------------------------------


def test_c_mx_07_recipient_domain_is_a_cname(scene, tlsmend):
    target, alias = scene.domain(), scene.domain()
    mx = scene.hostile(target)
    alias.add("CNAME", f"{target.name}.")
    assert send(scene, tlsmend, alias.address()).code == 250
    assert mx.mails[0].recipients == [f"<{alias.address()}>".encode()]


def test_c_mx_07_mx_target_is_a_cname(scene, tlsmend):
    domain = scene.domain()
    host = f"mail.{domain.name}"
    mx = scene.hostile(chain=scene.pki.chain("good", host))
    domain.add_addresses(f"real.{domain.name}", mx.addresses)
    domain.add("CNAME", f"real.{domain.name}.", label="mail")
    domain.mx(host, 10)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert tlsmend.attempt(recipient_domain=domain.name)["mx"] == host


def test_c_mx_07_chain_within_and_beyond_eight(scene):
    tlsmend = scene.tlsmend(resolver={"timeout": "5s"})
    target = scene.domain()
    scene.hostile(target)
    for links, code in ((8, 250), (12, 451)):
        chain = [scene.domain() for _ in range(links)]
        for here, there in zip(chain, chain[1:] + [target]):
            here.add("CNAME", f"{there.name}.")
        assert send(scene, tlsmend, chain[0].address()).code == code, links


# -- C-MX-08: address literals ------------------------------------------------------------------


def test_c_mx_08_address_literals(scene, tlsmend):
    mx = scene.hostile(chain=scene.pki.chain("self-signed", "mx.lab.example"))
    for address in mx.addresses:
        literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
        assert send(scene, tlsmend, f"user@{literal}").code == 250
    attempts = tlsmend.attempts(2)
    assert {a["demand"] for a in attempts} == {"encrypt"}
    assert {a["route"] for a in attempts} == {"literal"}
    assert all(m.in_tls for m in mx.mails)


def test_c_mx_08_demand_of_literals_is_a_setting(scene):
    tlsmend = scene.tlsmend(tls={"literal_level": "none"})
    mx = scene.hostile(chain=scene.pki.chain("good", "mx.lab.example"))
    ip4 = next(a for a in mx.addresses if ":" not in a)
    assert send(scene, tlsmend, f"user@[{ip4}]").code == 250
    assert not mx.mails[0].in_tls


def test_c_mx_08_forbidden_literal(scene, tlsmend):
    assert send(scene, tlsmend, "user@[127.0.0.1]").code == 451


# -- C-MX-09: names ------------------------------------------------------------------------------


def test_c_mx_09_a_labels_case_and_trailing_dot(scene, tlsmend):
    domain = scene.dns.domain(label="XN--Bcher-kva")
    mx = scene.hostile(domain)
    assert send(scene, tlsmend, f"user@{domain.name.upper()}").code == 250
    assert tlsmend.attempt()["verify"] == "ok"
    assert mx.mails


def test_c_mx_09_u_label_in_the_envelope_is_refused(scene, tlsmend):
    with scene.client(tlsmend) as c:
        c.ehlo()
        c.cmd(f"MAIL FROM:<{SENDER}>")
        assert c.cmd("RCPT TO:<user@bücher.example>").code == 501


# -- C-MX-10: both families ---------------------------------------------------------------------


def test_c_mx_10_broken_ipv6_falls_back_and_is_remembered(scene):
    tlsmend = scene.tlsmend(workers=1, timeouts={"connect": "1s"})
    for round_, expected in ((1, 2), (2, 1)):
        domain = scene.domain()
        mx = scene.hostile(chain=scene.pki.chain("good", f"mx.{domain.name}"))
        ip4 = next(a for a in mx.addresses if ":" not in a)
        domain.mx(domain.host("mx", BLACK_HOLE_IP6, ip4), 10)
        assert send(scene, tlsmend, domain.address()).code == 250, round_
        tlsmend.results(recipient_domain=domain.name)
        attempts = tlsmend.records("attempt", recipient_domain=domain.name)
        assert len(attempts) == expected, (round_, attempts)


def test_c_mx_10_no_route_over_ipv6(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(chain=scene.pki.chain("good", f"mx.{domain.name}"))
    ip4 = next(a for a in mx.addresses if ":" not in a)
    domain.mx(domain.host("mx", UNREACHABLE_IP6, ip4), 10)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert [a["reason"] for a in tlsmend.attempts(2)] == ["connect-unreachable", "ok"]


def test_c_mx_10_silent_address_costs_the_connect_time_only(scene):
    tlsmend = scene.tlsmend(timeouts={"connect": "1s"})
    domain = scene.domain()
    domain.mx(domain.host("mx1", BLACK_HOLE_IP4), 10)
    second = scene.hostile(domain, label="mx2", preference=20)
    start = time.monotonic()
    assert send(scene, tlsmend, domain.address()).code == 250
    assert time.monotonic() - start < 6
    assert second.mails
    assert tlsmend.attempts(2)[0]["reason"] == "connect-timeout"


def test_dnssec_state_is_kept_with_the_answer(scene, tlsmend):
    for signed in (True, False):
        domain = scene.domain(signed=signed)
        scene.hostile(domain)
        assert send(scene, tlsmend, domain.address()).code == 250
        assert tlsmend.attempt(recipient_domain=domain.name)["dnssec"] is signed


def test_many_waiters_share_one_look_up_and_leave_freely(scene):
    """Clients that go away while the DNS is asked leave the others their answer."""
    tlsmend = scene.tlsmend(workers=1, resolver={"timeout": "3s"})
    clients = [scene.client(tlsmend) for _ in range(20)]
    for c in clients:
        c.ehlo()
        c.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<u@x.hole.example>\r\n".encode())
    for c in clients[::2]:
        c.close()
    for c in clients[1::2]:
        assert c.reply().code == 250
        assert c.reply().code == 451
    assert tlsmend.running()


def test_close_at_once_is_the_next_host(scene, tlsmend):
    domain = scene.domain()
    scene.hostile(domain, label="mx1", replies={"greeting": CLOSE})
    healthy = scene.hostile(domain, label="mx2", preference=20)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert healthy.mails
    assert tlsmend.attempts(3)[0]["reason"] == "connection-lost"


# -- routes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["nowhere", "empty"])
def test_a_route_to_a_host_without_address_is_no_bounce(scene, host):
    """C-MX-05 is about what the domain's owner wrote; a route is the administrator's."""
    domain, other = scene.domain(), scene.domain()
    other.add("TXT", '"no address"', label="empty")
    tlsmend = scene.tlsmend(destinations=[
        {"match": domain.name, "route": {"host": f"{host}.{other.name}"}}])
    assert send(scene, tlsmend, domain.address()).code == 451
    result = tlsmend.result()
    assert result["reason"] == "route-unresolvable" and "route.host" in result["hint"]


@pytest.mark.parametrize("names, code, verify", [(None, 451, "name-mismatch"), ("mx", 250, "ok")])
def test_c_cert_01_a_route_to_an_address_has_no_name_to_verify(scene, names, code, verify):
    domain = scene.domain()
    mx = scene.hostile(chain=scene.pki.chain("good", f"mx.{domain.name}"))
    row = {"match": domain.name, "route": {"host": mx.addresses[0]}}
    if names:
        row["names"] = [f"mx.{domain.name}"]
    tlsmend = scene.tlsmend(destinations=[row])
    assert send(scene, tlsmend, domain.address()).code == code
    attempt, result = tlsmend.attempt(), tlsmend.result()
    assert attempt["verify"] == verify
    assert attempt["reason"] == ("ok" if code == 250 else "name-mismatch")
    assert code == 250 or "no certificate names one" in attempt["detail"]
    assert result["tls"] == attempt["tls"] == "TLSv1.3"


def test_the_result_says_nothing_of_tls_where_it_never_came_so_far(scene):
    domain = scene.domain()
    domain.mx(f"mx.{domain.name}", 10)
    domain.host("mx", *scene.net.new_host())   # nothing listens there
    tlsmend = scene.tlsmend(tls={"level": "may"})
    assert send(scene, tlsmend, domain.address()).code == 451
    assert tlsmend.result()["reason"] == "connect-refused" and "tls" not in tlsmend.result()
