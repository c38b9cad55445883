# SPDX-License-Identifier: Apache-2.0
"""One mail, end to end: real legacy MTAs through tlsmend into real MXs, over verified TLS.

C-LEG-01 (what the legacy MTA's queue shows), C-LEG-02 (the queue id), and the job of the whole program.
"""

import hashlib
import re

import pytest

from lab import smtpc
from lab.mta import CLIENT_NAME
from lab.servers import CLIENTS, MX

# Dots at every place, 8-bit bytes, empty lines, blanks at line ends, lines of 998 bytes, no final
# empty line; 200 KB, so that it crosses buffers.
BODY = (b".\r\n..\r\n. \r\n.end\r\n\r\n\r\ntrailing \t \r\n8bit: \xe4\xf6\xfc\xff\x80\r\nFrom here\r\n"
        + b"".join(b"%d " % i + b"x" * 990 + b"\r\n" for i in range(200)) + b"...\r\nlast.\r\n")


@pytest.fixture
def tlsmend(scene):
    """With a name unlike the legacy MTA's; the last test is about one and the same."""
    return scene.tlsmend(helo_name="tlsmend.lab.example")


@pytest.fixture
def clients(scene):
    """The legacy client of that name, with an empty queue."""
    return lambda name: scene.server(CLIENTS[name])


@pytest.fixture(scope="session")
def mxs(lab):
    """The MX of that name and TLS version, with its host name published; one for all tests."""
    def make(name, version):
        host = lab.dns.domain(label=f"{name}-").host("mx", *(addresses := lab.net.new_host()))
        return MX[name](lab, hostname=host, chain=lab.pki.chain("rsa", host),
                        versions=(version, version), addresses=addresses)
    return lambda name, version="1.3": lab.share(f"mx {name} {version}", lambda: make(name, version))


def content(mail):
    """The body, LF line ends, one digest a line: a difference shows its place."""
    body = mail.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    return [(line[:20], hashlib.sha256(line).hexdigest()) for line in body.split(b"\n")]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("mx_name", sorted(MX))
@pytest.mark.parametrize("client_name", sorted(CLIENTS))
def test_mail_arrives_unchanged_over_verified_tls(scene, tlsmend, clients, mxs, client_name, mx_name,
                                                  version):
    """C-LEG-02 too: the records carry the queue id of the legacy client."""
    client, mx = clients(client_name), mxs(mx_name, version)
    domain = scene.domain()
    domain.mx(mx.hostname)
    message = smtpc.message(subject=domain.name, body=BODY, To=f"<{domain.address()}>")
    client.submit(domain.address(), message)
    arrived = mx.wait_mail(domain.name)
    assert content(arrived) == content(message)
    client.wait_empty(domain.name)

    attempt = tlsmend.attempt(recipient_domain=domain.name)
    result = tlsmend.result(recipient_domain=domain.name)
    assert (attempt["outcome"], attempt["reason"], attempt["stage"]) == ("delivered", "ok", "final")
    assert attempt["mx"] == mx.hostname and attempt["address"] in mx.addresses
    assert attempt["tls"] == f"TLSv{version}" and attempt["verify"] == "ok"
    assert attempt["cert_names"] == [mx.hostname] and attempt["demand"] == "verify"
    assert attempt["cert_sha256"].replace(":", "").lower() == mx.chain.sha256()
    assert result["status"] == "delivered" and result["code"] == 250 and result["origin"] == "mx"
    assert result["recipient"] == domain.address()
    # The client's own Received header has the id of its queue; the MX kept it.
    own = re.search(rb"by client\.lab\.example[^;]*?\sid\s+([\w-]+)", arrived)
    assert own is not None, arrived[:1000]
    assert attempt["queue_id"] == result["queue_id"] == own[1].decode()


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("mx_name", sorted(MX))
def test_each_address_family(scene, tlsmend, clients, mxs, mx_name, family):
    client, mx = clients("postfix"), mxs(mx_name)
    domain = scene.domain()
    host = domain.host("mx", mx.addresses[family])
    domain.mx(host)
    # The MX has the certificate of its own name: an alias of it here, so the names are told.
    tlsmend.write_config(destinations=[{"match": domain.name, "names": [mx.hostname]}])
    tlsmend.reload()
    tlsmend.wait_records("reload")
    client.submit(domain.address(), smtpc.message(subject=domain.name, body=BODY))
    assert content(mx.wait_mail(domain.name)) == content(smtpc.message(body=BODY))
    attempt = tlsmend.attempt(recipient_domain=domain.name)
    assert attempt["address"] == mx.addresses[family] and attempt["verify"] == "ok"


@pytest.mark.parametrize("kind,reason", [("expired", "expired"), ("name-mismatch", "name-mismatch"),
                                         ("untrusted-root", "untrusted-root")])
@pytest.mark.parametrize("client_name", sorted(CLIENTS))
def test_bad_certificate_stays_in_the_queue_with_the_true_reason(scene, tlsmend, clients, client_name,
                                                                 kind, reason):
    """C-LEG-01: the administrator reads the reason in the legacy MTA's own queue."""
    client, domain = clients(client_name), scene.domain()
    mx = scene.hostile(domain, kind=kind)
    client.submit(domain.address(), smtpc.message(subject=domain.name))
    queued = client.wait_deferred(domain.name)
    attempt = tlsmend.attempts(recipient_domain=domain.name)[0]
    result = tlsmend.results(recipient_domain=domain.name)[0]
    assert attempt["reason"] == reason and attempt["outcome"] == "failed"
    assert result["status"] == "deferred" and result["origin"] == "tlsmend"
    assert "4.7.5" in queued.reason and mx.host in queued.reason
    assert result["reply"].split("4.7.5 ")[1] in queued.reason
    assert not mx.saw("MAIL")


@pytest.mark.parametrize("client_name", sorted(CLIENTS))
def test_a_dead_destination_does_not_hurt_another(scene, tlsmend, clients, mxs, client_name):
    """C-LEG-01: after a refusing, an expired and an unreachable destination the next mail flows at once."""
    client, mx = clients(client_name), mxs("postfix")
    refused, closed, good = scene.domain(), scene.domain(), scene.domain()
    scene.hostile(refused, replies={"greeting": ["421 4.3.2 go away"]})
    closed.mx(closed.host("mx", *scene.net.new_host()))   # nothing listens there
    good.mx(mx.hostname)
    for domain in (refused, closed, good):
        client.submit(domain.address(), smtpc.message(subject=domain.name))
    mx.wait_mail(good.name, timeout=10)
    assert "4.4.1" in client.wait_deferred(closed.name).reason
    assert client.wait_deferred(refused.name).reason
    assert all(r["code"] != 421 for r in tlsmend.records("result"))


@pytest.mark.parametrize("mx_name", sorted(MX))
@pytest.mark.parametrize("client_name", sorted(CLIENTS))
def test_the_mx_own_refusal_reaches_the_client(scene, tlsmend, clients, mxs, client_name, mx_name):
    """C-OUT-04: the MX's words, not ours."""
    client, mx = clients(client_name), mxs(mx_name)
    domain = scene.domain()
    domain.mx(mx.hostname)
    client.submit(domain.address("defer"), smtpc.message(subject=domain.name))
    assert "mailbox busy" in client.wait_deferred(domain.name).reason
    result = tlsmend.results(recipient_domain=domain.name)[0]
    assert (result["status"], result["origin"], result["reason"]) == ("deferred", "mx", "mx-replied")
    client.submit(domain.address("reject"), smtpc.message(subject=domain.name))
    (rejected,) = tlsmend.results(recipient=domain.address("reject"))
    assert (rejected["status"], rejected["code"]) == ("rejected", 550)
    assert "no such user" in rejected["reply"]


@pytest.mark.parametrize("client_name", sorted(CLIENTS))
def test_client_and_tlsmend_on_a_host_with_one_name(scene, clients, mxs, client_name):
    """helo_name is the host's name by default, which is the legacy MTA's too.  Sendmail takes a server that
    answers EHLO with its own name for a loop and bounces the mail (553 5.3.5)."""
    scene.tlsmend(helo_name=CLIENT_NAME)
    client, mx, domain = clients(client_name), mxs("postfix"), scene.domain()
    domain.mx(mx.hostname)
    client.submit(domain.address(), smtpc.message(subject=domain.name))
    mx.wait_mail(domain.name, timeout=10)
