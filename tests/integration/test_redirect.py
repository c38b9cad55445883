# SPDX-License-Identifier: Apache-2.0
"""Mail that the packet filter catches on its way: the rules of deploy/nftables/ themselves, in the lab.

The client connects to the MX's address on port 25 and knows nothing of tlsmend.
"""

import os
import signal

import pytest

from lab import filter as packet_filter
from lab import smtpc
from lab.filter import BOX_IP4, BOX_IP6, GATE_IP4, GATE_IP6, Box, daemon, rules
from lab.helpers import SENDER, hup, listener, mail, prepared
from lab.mta import SUBMIT_PORT
from lab.netns import CLIENT_IP4, CLIENT_IP6
from lab.postfix import PostfixClient
from lab.process import wait_for

LOCAL = [listener("caught", 2527, protocol="redirect"), listener("caught6", 2527, "::1", protocol="redirect")]


def caught(scene, mx, family=0, ns=None, **options):
    """A client that believes that it talks to the MX."""
    return smtpc.SmtpClient(ns or scene.net.client, mx.addresses[family], 25, **options)


def went_once_over_tls(tlsmend, mx):
    (received,) = mx.mails
    assert received.in_tls
    attempt = tlsmend.attempt(mx=mx.host)
    assert (attempt["outcome"], attempt["demand"]) == ("delivered", "verify")
    return attempt


# -- REDIRECT: programs of this host --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [0, 1], ids=["ip4", "ip6"])
def test_mail_of_this_host_is_caught_without_any_configuration(scene, family):
    tlsmend = daemon(scene, LOCAL)
    domain = scene.domain()
    mx = scene.hostile(domain)
    rules(scene, "redirect-local.nft")
    with caught(scene, mx, family) as c:
        assert c.greeting.code == 220 and "client.lab.example" in c.greeting.text   # and not the MX's name
        assert c.ehlo().code == 250
        assert mail(c, domain).code == 250
        assert c.cmd("QUIT").code == 221
    went_once_over_tls(tlsmend, mx)
    (session,) = tlsmend.wait_records("session", listener=("caught", "caught6")[family], end="quit")
    own = (CLIENT_IP4, f"[{CLIENT_IP6}]")[family]
    assert session["client"].startswith(own + ":")   # REDIRECT leaves the source
    assert not tlsmend.records("redirect")           # the client was going to the MX


def test_tlsmend_runs_as_the_user_that_the_guard_names(scene):
    tlsmend = daemon(scene, LOCAL)
    with open(f"/proc/{tlsmend.pid}/status", encoding="ascii") as f:
        uid = next(line.split()[1] for line in f if line.startswith("Uid:"))
    assert int(uid) == os.stat(tlsmend.directory).st_uid != 0


def test_removing_the_table_lets_mail_go_directly_again(scene):
    daemon(scene, LOCAL)
    domain = scene.domain()
    mx = scene.hostile(domain)
    loaded = rules(scene, "redirect-local.nft")
    loaded.load()   # again: it replaces itself
    loaded.stop()
    with caught(scene, mx) as c:
        assert mx.host in c.greeting.text
    loaded.load()
    with caught(scene, mx) as c:
        assert mx.host not in c.greeting.text


def test_mail_to_this_host_itself_is_not_caught(scene):
    """A local MTA on port 25 goes on serving local programs."""
    daemon(scene, LOCAL)
    rules(scene, "redirect-local.nft")
    for address in ("127.0.0.1", CLIENT_IP4, CLIENT_IP6, "::1"):
        with scene.net.client.listen(address, 25) as server, scene.net.client.connect(address, 25) as client:
            taken, _ = server.accept()
            with taken:
                client.sendall(b"here\n")
                assert taken.recv(5) == b"here\n"


def test_while_tlsmend_is_down_connections_are_refused(scene):
    tlsmend = daemon(scene, LOCAL)
    domain = scene.domain()
    mx = scene.hostile(domain)
    rules(scene, "redirect-local.nft")
    tlsmend.stop()
    for family in (0, 1):
        with pytest.raises(ConnectionRefusedError):
            caught(scene, mx, family)
    assert not mx.records
    tlsmend.start()
    with caught(scene, mx) as c:
        c.ehlo()
        assert mail(c, domain).code == 250


@pytest.mark.parametrize("allow", [None, ["127.0.0.0/8", "::1"], [CLIENT_IP4, CLIENT_IP6]])
def test_who_may_come(scene, allow):
    """The host's own addresses count as loopback here, and may be named too."""
    more = {} if allow is None else {"allow_clients": allow}
    daemon(scene, [dict(one, **more) for one in LOCAL])
    mx = scene.hostile(scene.domain())
    rules(scene, "redirect-local.nft")
    for family in (0, 1):
        with caught(scene, mx, family) as c:
            assert c.greeting.code == 220


def test_who_may_not(scene):
    tlsmend = daemon(scene, [dict(one, allow_clients=["192.0.2.77"]) for one in LOCAL])
    mx = scene.hostile(scene.domain())
    rules(scene, "redirect-local.nft")
    with caught(scene, mx) as c:
        assert str(c.greeting)[:9] == "554 5.7.1" and c.closed()
    (refused,) = tlsmend.wait_records("client-refused")
    assert refused["client"].startswith(CLIENT_IP4) and "allow_clients" in refused["hint"]


@pytest.mark.parametrize("protocol", ["smtp", "redirect"])
def test_otherwise_the_host_itself_is_no_loopback(scene, protocol):
    """Only what is caught has an outer source and is met at loopback."""
    tlsmend = scene.tlsmend(listeners=[listener(address=CLIENT_IP4, protocol=protocol, allow_clients=["127.0.0.0/8"])])
    with smtpc.SmtpClient(scene.net.client, CLIENT_IP4) as c:
        assert c.greeting.code == 554
    tlsmend.wait_records("client-refused")


def test_without_the_loop_guard_the_loop_ends_at_its_first_turn(scene):
    tlsmend = daemon(scene, LOCAL)
    domain = scene.domain()
    mx = scene.hostile(domain)
    rules(scene, "redirect-local.nft", guard=False)
    with caught(scene, mx) as c:
        c.ehlo()
        replies = c.envelope(SENDER, [domain.address()])
        assert replies[0].code == 250
        assert str(replies[1])[:9] == "451 4.4.6" and "filter-loop" in replies[1].text
        assert c.cmd("QUIT").code == 221
    result = tlsmend.result()
    assert result["reason"] == "filter-loop" and "guard" in result["hint"]
    assert not mx.records
    attempts = tlsmend.records("attempt")
    assert len(attempts) <= 2
    # the client, and one for each address that was tried
    sessions = tlsmend.wait_records("session", 1 + len(attempts))
    assert len(sessions) == 1 + len(attempts)
    assert sum(s["transactions"] for s in sessions) == 1


class Unconfigured(PostfixClient):
    """Postfix as it is installed, which asks DNS for the MX and goes there."""

    def configure(self):
        self.write_configuration(f"""
myhostname = {self.hostname}
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
minimal_backoff_time = 300s
""", [f"127.0.0.1:{SUBMIT_PORT}"])


def test_a_real_mta_without_any_configuration(scene):
    """Its mail arrives over TLS, once; while tlsmend is down it waits, with the reason in the queue."""
    tlsmend = daemon(scene, LOCAL)
    one, two = scene.domain(), scene.domain()
    mx, other = scene.hostile(one), scene.hostile(two)
    rules(scene, "redirect-local.nft")
    postfix = scene.server(Unconfigured)
    postfix.submit(one.address(), smtpc.message())
    postfix.wait_empty(one.name)
    went_once_over_tls(tlsmend, mx)
    tlsmend.stop()
    postfix.submit(two.address(), smtpc.message())
    assert "Connection refused" in postfix.wait_deferred(two.name).reason
    tlsmend.start()
    postfix.flush()
    postfix.wait_empty(two.name)
    went_once_over_tls(tlsmend, other)


# -- redirect_check -------------------------------------------------------------------------------------------------------


def checked(scene, check):
    tlsmend = daemon(scene, [dict(one, redirect_check=check) for one in LOCAL])
    domain, other = scene.domain(), scene.domain()
    mx, elsewhere = scene.hostile(domain), scene.hostile(other)
    rules(scene, "redirect-local.nft")
    return tlsmend, domain, mx, elsewhere


@pytest.mark.parametrize("family", [0, 1], ids=["ip4", "ip6"])
@pytest.mark.parametrize("check", ["off", "log", "enforce"])
def test_redirect_check_where_the_client_was_going_elsewhere(scene, check, family):
    tlsmend, domain, mx, elsewhere = checked(scene, check)
    with caught(scene, elsewhere, family) as c:
        c.ehlo()
        reply = mail(c, domain)
    if check == "enforce":
        assert str(reply)[:9] == "451 4.7.1"
        assert tlsmend.result()["reason"] == "redirect-mismatch"
        assert not mx.records
    else:
        assert reply.code == 250
        went_once_over_tls(tlsmend, mx)
    assert not elsewhere.records   # the destination is the domain's in each case
    tlsmend.result()
    found = [(r["original"], r["check"]) for r in tlsmend.records("redirect")]   # written before the result
    said = {"off": None, "log": "mismatch", "enforce": "refused"}[check]
    assert found == ([(elsewhere.addresses[family], said)] if said else [])


@pytest.mark.parametrize("family", [0, 1], ids=["ip4", "ip6"])
def test_redirect_check_enforce_is_content_with_the_mx(scene, family):
    tlsmend, domain, mx, _ = checked(scene, "enforce")
    with caught(scene, mx, family) as c:
        c.ehlo()
        assert mail(c, domain).code == 250
    went_once_over_tls(tlsmend, mx)
    assert not tlsmend.records("redirect")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("tracked", [True, False], ids=["tracked", "untracked"])
def test_a_direct_connection_to_the_redirect_port_has_no_original(scene, address, tracked):
    """With connection tracking, which then says the listener itself, and without."""
    tlsmend = daemon(scene, [dict(one, redirect_check="log") for one in LOCAL])
    domain = scene.domain()
    mx = scene.hostile(domain)
    if tracked:
        rules(scene, "redirect-local.nft")
    with smtpc.SmtpClient(scene.net.client, address, 2527) as c:
        c.ehlo()
        assert mail(c, domain).code == 250
    went_once_over_tls(tlsmend, mx)
    assert [r["original"] for r in tlsmend.wait_records("redirect")] == ["unknown"]


# -- REDIRECT: containers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wide", [False, True], ids=["own-address", "any-address"])
@pytest.mark.parametrize("family", [0, 1], ids=["ip4", "ip6"])
def test_mail_of_containers_is_caught(scene, family, wide):
    box = scene.add("box", Box(scene))
    at = (("0.0.0.0", "::") if wide else (GATE_IP4, GATE_IP6))[family]
    tlsmend = daemon(scene, [listener("box", 2527, at, protocol="redirect", redirect_check="enforce",
                                      allow_clients=["10.88.0.0/24", "fd00:88::/64"])])
    domain = scene.domain()
    mx = scene.hostile(domain)
    rules(scene, "redirect-containers.nft", interface=box.interface, default="docker0")
    with caught(scene, mx, family, box.ns) as c:
        assert "client.lab.example" in c.greeting.text
        c.ehlo()
        assert mail(c, domain).code == 250
    went_once_over_tls(tlsmend, mx)
    (session,) = tlsmend.wait_records("session", listener="box", transactions=1)
    assert session["client"].startswith((BOX_IP4, f"[{BOX_IP6}]")[family])
    # from this host it goes directly, and a direct connection to the port has no original
    with caught(scene, mx, family) as c:
        assert mx.host in c.greeting.text
    with smtpc.SmtpClient(box.ns, (GATE_IP4, GATE_IP6)[family], 2527) as c:
        c.ehlo()
        assert str(mail(c, domain))[:9] == "451 4.7.1"
    assert [r["original"] for r in tlsmend.wait_records("redirect")] == ["unknown"]


# -- TPROXY ---------------------------------------------------------------------------------------------------------------

TRANSPARENT = [listener(name, 2527, address, protocol="redirect", transparent=True, redirect_check="enforce",
                        allow_clients=["10.88.0.0/24", "fd00:88::/64", "127.0.0.1", "::1"])
               for name, address in (("router", "127.0.0.1"), ("router6", "::1"))]


@pytest.mark.parametrize("family", [0, 1], ids=["ip4", "ip6"])
def test_tproxy_catches_what_is_routed(scene, family):
    box = scene.add("box", Box(scene))
    tlsmend = daemon(scene, TRANSPARENT)
    domain, other = scene.domain(), scene.domain()
    mx, elsewhere = scene.hostile(domain), scene.hostile(other)
    box.routes()
    rules(scene, "tproxy.nft", interface=box.interface, default="lan0")
    with caught(scene, mx, family, box.ns) as c:
        c.ehlo()
        assert mail(c, domain).code == 250
    went_once_over_tls(tlsmend, mx)
    (session,) = tlsmend.wait_records("session", listener=("router", "router6")[family], transactions=1)
    assert session["client"].startswith((BOX_IP4, f"[{BOX_IP6}]")[family])
    assert not tlsmend.records("redirect")
    with caught(scene, elsewhere, family, box.ns) as c:   # the address that was meant is known
        c.ehlo()
        assert str(mail(c, domain))[:9] == "451 4.7.1"
    with smtpc.SmtpClient(scene.net.client, ("127.0.0.1", "::1")[family], 2527) as c:   # and here there is none
        c.ehlo()
        assert str(mail(c, domain))[:9] == "451 4.7.1"
    assert [r["original"] for r in tlsmend.wait_records("redirect", 2)] == [elsewhere.addresses[family], "unknown"]


def test_tproxy_while_tlsmend_is_down_refuses_and_lets_nothing_pass(scene):
    box = scene.add("box", Box(scene))
    mx = scene.hostile(scene.domain())
    box.routes()
    rules(scene, "tproxy.nft", interface=box.interface, default="lan0")
    for family in (0, 1):
        with pytest.raises(ConnectionRefusedError):
            caught(scene, mx, family, box.ns)
    assert not mx.records


def test_a_transparent_socket_without_the_capability_names_it(scene):
    """As another user from the start, as systemd does it without the drop-in."""
    tlsmend = prepared(scene.lab, listeners=TRANSPARENT)
    done = packet_filter.as_user(scene.net.client, tlsmend)
    assert done.returncode not in (0, 78)
    assert "127.0.0.1:2527" in done.stderr and "CAP_NET_ADMIN" in done.stderr


def test_a_reload_says_that_transparent_waits_for_the_next_start(scene):
    tlsmend = daemon(scene, TRANSPARENT)
    tlsmend.write_config(listeners=[dict(TRANSPARENT[0], transparent=False), TRANSPARENT[1]])
    hup(tlsmend)
    (warning,) = [r for r in tlsmend.records("warning") if "transparent" in r["detail"]]
    assert '"router"' in warning["detail"] and "next start" in warning["detail"]


def test_a_reload_changes_the_protocol_of_a_listener(scene):
    tlsmend = daemon(scene, LOCAL)
    mx = scene.hostile(scene.domain())
    rules(scene, "redirect-local.nft")
    tlsmend.write_config(listeners=[listener("plain", 2527), LOCAL[1]])
    hup(tlsmend)
    # no listener for what is caught any more: the host's outer address is a stranger
    wait_for("the workers to take the reload", lambda: greeted(scene, mx) == 554)
    tlsmend.send(signal.SIGTERM)
    tlsmend.wait_end(10)


def greeted(scene, mx):
    with caught(scene, mx) as c:
        return c.greeting.code
