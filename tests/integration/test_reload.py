# SPDX-License-Identifier: Apache-2.0
"""What a reload does beside the mail that flows: no worker is blocked (a build with the watchdog says so, and the lab
fails the test), nothing is lost of what is under way, and nothing old stays."""

import os
import pathlib
import signal
import threading
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from lab.helpers import SENDER, SLOW, hup, mail, send, settled
from lab.process import wait_for

ROWS = 40
ROOTS = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


def threads(tlsmend):
    """Each resolver has one."""
    return len(os.listdir(f"/proc/{tlsmend.pid}/task"))


def quiet(tlsmend):
    """How many threads it has, when the resolver of the last test of DNSSEC has ended."""
    last = []

    def same():
        last.append(threads(tlsmend))
        time.sleep(0.1)
        return len(last) > 3 and len(set(last[-3:])) == 1

    wait_for("its threads to settle", same)
    return last[-1]


def roots(lab, pki):
    """A trust store as a host has it."""
    path = lab.new_directory("roots.pem")
    path.write_bytes(ROOTS.read_bytes() + b"\n" + pki.root.cert.public_bytes(Encoding.PEM))
    return path


def test_a_reload_with_many_trust_stores_blocks_no_worker(scene, lab):
    """Each row with a ca_file has all roots once more: the old ones are not freed where clients are served."""
    extra = lab.new_directory("extra.pem")
    extra.write_bytes(scene.pki.root.cert.public_bytes(Encoding.PEM))
    domain = scene.domain()
    mx = scene.hostile(domain)
    tlsmend = scene.tlsmend(workers=1, tls={"trust_store": roots(lab, scene.pki)},
                            destinations=[{"match": f"d{i}.example", "ca_file": extra} for i in range(ROWS)])
    before, end, codes = quiet(tlsmend), threading.Event(), []

    def client():
        with scene.client(tlsmend) as c:
            c.ehlo()
            while not end.is_set():
                codes.append(mail(c, domain).code)

    t = threading.Thread(target=client)
    t.start()
    for _ in range(4):
        hup(tlsmend)
        time.sleep(0.3)
    end.set()
    t.join()
    assert set(codes) == {250} and len(codes) == len(mx.mails)
    wait_for("the old resolvers to end", lambda: threads(tlsmend) <= before)


@pytest.mark.parametrize("end", ["answer", "cut"])
def test_a_look_up_ends_with_the_resolver_that_it_began_with(scene, end):
    """A server that never answers, and three reloads meanwhile; then its time is over, or SIGTERM comes twice."""
    domain = scene.domain()
    scene.hostile(domain)
    tlsmend = scene.tlsmend(resolver={"timeout": f"{3 * SLOW}s"})
    before = quiet(tlsmend)
    c = scene.client(tlsmend)
    c.ehlo()
    c.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<u@x.hole.example>\r\n".encode())
    assert c.reply().code == 250
    settled()
    for _ in range(3):
        hup(tlsmend)
        assert send(scene, tlsmend, domain).code == 250
    assert quiet(tlsmend) > before   # one is needed yet
    if end == "answer":
        assert str(c.reply())[:9] == "451 4.4.3"
        wait_for("the old resolvers to end", lambda: threads(tlsmend) <= before)
    else:
        tlsmend.reload()
        tlsmend.send(signal.SIGTERM)
        time.sleep(0.1)
        tlsmend.send(signal.SIGTERM)
        tlsmend.wait_end(10 * SLOW)


@pytest.mark.parametrize("dnssec", ["on", "off-stripped"])
def test_c_ops_02_a_reload_without_a_resolver_changes_nothing(scene, lab, dnssec, request):
    """An anchor without a key, whether or not answers are validated just now."""
    empty = lab.new_directory("empty.key")
    empty.write_text("; no key\n", encoding="ascii")
    empty.chmod(0o644)
    anchor = request.getfixturevalue("foreign") if dnssec != "on" else str(lab.dns.trust_anchor)
    domain = scene.domain()
    mx = scene.hostile(domain, kind="self-signed")
    tlsmend = scene.tlsmend(resolver={"trust_anchor": anchor})
    assert tlsmend.wait_records("dnssec")[0]["state"] == dnssec
    before = quiet(tlsmend)
    tlsmend.write_config(resolver={"trust_anchor": str(empty)}, tls={"level": "none"})
    said = hup(tlsmend, "reload-failed")[0]["detail"]
    assert "resolver.trust_anchor" in said and f"{empty} has no DS" in said and "tlsmend.conf:" in said
    settled()
    assert send(scene, tlsmend, domain).code == 451   # not `none`
    assert not mx.saw("MAIL")
    assert quiet(tlsmend) == before


@pytest.fixture
def foreign(lab):
    """A key that is not the root's: as behind a forwarder that strips signatures, no answer validates."""
    fields = lab.dns.trust_anchor.read_text(encoding="ascii").split("\n")[0].split()
    at = fields.index("DNSKEY")
    path = lab.new_directory("other.key")
    path.write_text(" ".join([*fields[:at + 4], "A" * 86 + "=="]) + "\n", encoding="ascii")
    path.chmod(0o644)
    return str(path)


def test_another_trust_store_keeps_what_the_resolver_knows(scene, lab):
    """The file has changed, the resolver's settings have not: nobody is asked anew."""
    store = roots(lab, scene.pki)
    domain = scene.domain()
    scene.hostile(domain)
    tlsmend = scene.tlsmend(workers=1, tls={"trust_store": store, "trust_check": "200ms"})
    assert send(scene, tlsmend, domain).code == 250
    capture = scene.capture()
    store.write_bytes(scene.pki.root.cert.public_bytes(Encoding.PEM))
    assert tlsmend.wait_records("trust-store", 2)[1]["what"] == "changed"
    settled()
    assert send(scene, tlsmend, domain).code == 250
    assert not [q.name for q in capture.queries() if domain.name in str(q.name)]
