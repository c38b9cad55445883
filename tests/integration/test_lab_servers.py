# SPDX-License-Identifier: Apache-2.0
"""The lab's real servers, without tlsmend: each MX serves TLS, each client relays and keeps a queue."""

import ssl

import pytest

from lab import smtpc
from lab.mta import RELAY
from lab.servers import CLIENTS, MX

BODY = b".\r\n..two\r\n\r\n8bit: \xe4\xf6\r\n" + b"x" * 900 + b"\r\n. \r\nend.\r\n"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", sorted(MX))
def test_mx_takes_mail_over_tls(scene, name, version):
    host = f"mx.{name}.example"
    mx = scene.server(MX[name], hostname=host, chain=scene.pki.chain("rsa", host),
                      versions=(version, version))
    message = smtpc.message(body=BODY)
    for family, address in enumerate(mx.addresses):
        domain = scene.domain()
        with smtpc.SmtpClient(scene.net.client, address, 25) as c:
            assert "STARTTLS" in c.ehlo().lines
            assert c.cmd("STARTTLS").code == 220
            context = ssl.create_default_context(cafile=scene.pki.trust_store)
            c.sock = context.wrap_socket(c.sock, server_hostname=host)
            assert c.sock.version() == f"TLSv{version}"
            c.ehlo()
            assert [r.code for r in c.envelope("a@x.example", [domain.address("reject")])] == [250, 550]
            c.cmd("RSET")
            deferred = c.envelope("a@x.example", [domain.address("defer")])[1]
            assert deferred.code in (450, 451), f"{family}: {deferred}"
            c.cmd("RSET")
            assert c.deliver("a@x.example", domain.address(), message).code == 250
        assert mx.wait_mail(domain.name).endswith(message.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_client_relays_and_queues(scene, name):
    relay = scene.hostile(ns=scene.net.client, addresses=RELAY[:1], port=RELAY[1], tls=False, replies={
        "other": "250 ok",
        "rcpt": lambda c: "451 4.7.5 the certificate has expired" if b"late@" in c.line else "250 ok"})
    client = scene.server(CLIENTS[name])
    message = smtpc.message(body=BODY)
    client.submit("user@d1.example", message)
    (mail,) = relay.wait_mails()
    assert mail.data.endswith(message) and not mail.in_tls
    client.wait_empty("d1.example")

    client.submit("late@d2.example", message)
    assert "certificate has expired" in client.wait_deferred("d2.example").reason
    relay.replies["rcpt"] = "250 ok"
    client.flush()
    client.wait_empty("d2.example")
    assert len(relay.mails) == 2
