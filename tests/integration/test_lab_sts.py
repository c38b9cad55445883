# SPDX-License-Identifier: Apache-2.0
"""The lab's MTA-STS policy hosts, with curl and the lab's name server as witnesses."""

import gzip
import subprocess
import time

import pytest

from lab.hostile import CLOSE, RESET
from lab.https import drip, http_answer, http_chunked, http_head
from lab.netns import PRIVATE_IP4, PRIVATE_IP6
from lab.nginx import ADDRESSES
from lab.process import Timeout

PATH = "/.well-known/mta-sts.txt"


def curl(scene, host, *options, address=None, time_limit=10):
    """(exit code, output with the answer's header) of curl, which trusts the lab's root."""
    if address is None:
        (address,) = scene.dns.query(host, "A").records
    argv = ["curl", "-sS", "-i", "--cacert", str(scene.pki.trust_store), "--resolve", f"{host}:443:{address}",
            "-m", str(time_limit), *options, f"https://{host}{PATH}"]
    done = subprocess.run(scene.net.client.command(argv), capture_output=True, check=False, timeout=30,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    return done.returncode, (done.stdout + done.stderr).decode("latin-1").replace("\r\n", "\n")


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_a_policy_is_served(scene, family):
    domain = scene.domain()
    sts = domain.sts(mx=["mx1.example", "*.mx.example"], max_age=3)
    address = ADDRESSES["1.2", "1.3"][family]
    before = time.time()
    code, said = curl(scene, sts.host, address=f"[{address}]" if family else address)
    assert code == 0 and "200" in said and "content-type: text/plain\n" in said.lower()
    assert said.endswith("version: STSv1\nmode: enforce\nmx: mx1.example\nmx: *.mx.example\nmax_age: 3\n")
    assert scene.dns.query(f"_mta-sts.{domain.name}", "TXT").records == ['"v=STSv1; id=1;"']
    (request,) = sts.requests()
    assert (request.host, request.path, request.status, request.sni) == (sts.host, PATH, 200, sts.host)
    assert before - 1 <= request.time <= time.time() and request.agent.startswith("curl")


def test_two_hosts_have_certificates_of_their_own_and_change_at_once(scene):
    one, two = (scene.domain().sts(mx=["mx.example"]) for _ in range(2))
    for sts in (one, two):
        assert curl(scene, sts.host)[0] == 0
    one.certificate("expired")
    one.publish(id="2", mode="testing")
    assert curl(scene, one.host)[0] == 60 and curl(scene, two.host)[0] == 0
    one.certificate("good")
    assert "mode: testing" in curl(scene, one.host)[1] and "mode: enforce" in curl(scene, two.host)[1]
    assert "id=2" in scene.dns.query(f"_mta-sts.{one.domain.name}", "TXT").records[0]
    one.nginx.remove(one.host)
    assert curl(scene, one.host)[0] == 35   # handshake failed


@pytest.mark.parametrize("kind, why", [
    ("expired", "expired"), ("name-mismatch", "no alternative certificate subject"),
    ("self-signed", "self-signed"), ("untrusted-root", "self-signed certificate in certificate chain"),
    ("incomplete-chain", "unable to get local issuer"), ("rsa", None), ("wildcard", None)])
def test_certificates(scene, kind, why):
    code, said = curl(scene, scene.domain().sts(mx=["mx.example"], kind=kind).host)
    assert (code, "200" in said) == ((60, False) if why else (0, True))
    assert why is None or why in said


@pytest.mark.parametrize("versions", sorted(ADDRESSES))
def test_tls_versions(scene, versions):
    sts = scene.domain().sts(mx=["mx.example"], versions=versions)
    for version in ("1.1", "1.2", "1.3"):
        code, _ = curl(scene, sts.host, f"--tlsv{version}", "--tls-max", version, "--ciphers", "ALL:@SECLEVEL=0")
        assert (code == 0) == (versions[0] <= version <= versions[1]), version


@pytest.mark.parametrize("answer, status, header", [
    ("html", 200, "content-type: text/html"), ("untyped", 200, None), ("gzip", 200, "content-encoding: gzip"),
    ("charset", 200, "content-type: text/plain; charset=utf-8"),
    ("301", 301, "location: https://mta-sts"), ("302", 302, "location: https://mta-sts"),
    ("404", 404, None), ("500", 500, None), ("503", 503, None)])
def test_answers(scene, answer, status, header):
    sts = scene.domain().sts(mx=["mx.example"], answer=answer)
    code, said = curl(scene, sts.host)
    assert code == 0 and f"HTTP/2 {status}" in said.splitlines()[0]
    assert header is None or header in said.lower()
    if answer == "untyped":
        assert "content-type" not in said.lower()
    if answer == "gzip":
        raw = gzip.decompress(subprocess.run(scene.net.client.command(
            ["curl", "-sS", "-k", "--resolve", f"{sts.host}:443:{ADDRESSES['1.2', '1.3'][0]}",
             f"https://{sts.host}{PATH}"]), capture_output=True, check=True, timeout=20).stdout)
        assert raw == sts.text
    sts.answer("plain")
    assert "HTTP/2 200" in curl(scene, sts.host)[1]
    if status in (301, 302):
        sts.answer(answer)
        assert curl(scene, sts.host, "-L")[1].endswith("max_age: 86400\n")


def test_exact_policies(scene):
    sts = scene.domain().sts(mx=["mx.example"], eol="\n")
    assert b"\r" not in sts.text
    sts.policy("x" * 70 * 1024)
    assert len(curl(scene, sts.host)[1]) > 70 * 1024
    assert sts.wait_requests(1)[0].sent == 70 * 1024


def test_records(scene):
    domain = scene.domain()
    sts, name = domain.sts(mx=["mx.example"]), f"_mta-sts.{domain.name}"
    sts.txt(("v=STSv1;", " id=2;"), "v=STSv1; id=3;", "v=spf1 -all")
    assert set(scene.dns.query(name, "TXT").records) == {'"v=STSv1;" " id=2;"', '"v=STSv1; id=3;"', '"v=spf1 -all"'}
    sts.no_txt()
    assert scene.dns.query(name, "TXT").rcode == "NXDOMAIN"
    sts.txt_cname("sts.hoster.example")
    assert scene.dns.query(name, "CNAME").records == ["sts.hoster.example."]
    sts.txt("v=STSv1; id=4;")
    assert len(scene.dns.query(name, "TXT").records) == 1
    sts.host_fails("servfail")
    assert scene.dns.query(sts.host, "CNAME").records == ["mta-sts-host.servfail.example."]
    sts.host_fails("nxdomain")
    assert scene.dns.query(sts.host, "A").rcode == "NXDOMAIN"
    sts.host_addresses("127.0.0.1")
    assert scene.dns.query(sts.host, "A").records == ["127.0.0.1"]


def test_nginx_stops_and_comes_back(scene):
    sts = scene.domain().sts(mx=["mx.example"])
    sts.nginx.stop()
    assert curl(scene, sts.host)[0] == 7   # refused
    sts.nginx.start()
    assert curl(scene, sts.host)[0] == 0


def test_scripted_host_serves_the_policy(scene):
    sts = scene.domain().sts(mx=["mx.example"], replies={})
    code, said = curl(scene, sts.host)
    assert code == 0 and said.endswith("max_age: 86400\n")
    sts.publish(mode="none")
    assert "mode: none" in curl(scene, sts.host)[1]
    first, second = sts.wait_requests(2)
    assert first.path == PATH and first.host == sts.host and first.time < second.time
    assert sts.server.connections[0] <= first.time and sts.server.hellos[0].sni == sts.host


def test_scripted_host_at_addresses_that_tlsmend_must_not_ask(scene):
    loopback = scene.domain().sts(mx=["mx.example"], ns=scene.net.client, addresses=["127.0.0.1"])
    private = scene.domain().sts(mx=["mx.example"], addresses=[PRIVATE_IP4, PRIVATE_IP6])
    assert curl(scene, loopback.host)[0] == curl(scene, private.host)[0] == 0
    assert curl(scene, private.host, address=f"[{PRIVATE_IP6}]")[0] == 0


@pytest.mark.parametrize("replies, code", [
    ({"handshake": None}, 28), ({"handshake": RESET}, 35), ({"connect": CLOSE}, 35),
    ({"response": [http_head(length=100), None]}, 28),
    ({"response": drip(http_answer(b"version: STSv1\n"), 0.2)}, 28),
    ({"response": [http_answer(b"version: STSv1\n", length=500), CLOSE]}, 18),
    ({"response": [http_answer(b"version: STSv1\n", length=3)]}, 0),
    ({"response": [http_answer(b"version: STSv1\n", length=False)]}, 0),
    ({"response": http_chunked(b"version: STSv1\n")}, 0),
    ({"response": [http_chunked(b"version: STSv1\n", end=False), CLOSE]}, 18),
    ({"response": [b"HTTP/1.1 200 OK\r\n", lambda c: c.flood(b"X-More: " + b"a" * 4000 + b"\r\n", 5)]}, 56),
    ({"response": b"garbage\r\n\r\n"}, 1)],
    ids=["stalled-handshake", "reset", "close", "stalled-body", "drip", "cut", "short-length", "no-length",
         "chunked", "cut-chunks", "endless-header", "garbage"])
def test_scripted_answers(scene, replies, code):
    sts = scene.domain().sts(mx=["mx.example"], replies=replies)
    assert curl(scene, sts.host, time_limit=1)[0] == code


def test_a_herd_of_domains(scene):
    mx = scene.hostile(scene.domain())
    before = time.monotonic()
    domains = scene.sts_domains(105, mx, mode="testing")
    assert time.monotonic() - before < 20
    for domain in (domains[0], domains[57], domains[104]):
        code, said = curl(scene, f"mta-sts.{domain.name}")
        assert code == 0 and f"mode: testing\nmx: {mx.host}\n" in said
        assert scene.dns.query(domain.name, "MX").records == [f"10 {mx.host}."]
        assert len(scene.dns.query(f"_mta-sts.{domain.name}", "TXT").records) == 1
    assert len(scene.nginx.requests()) == 3


def test_wait_requests_can_fail(scene):
    with pytest.raises(Timeout):
        scene.domain().sts(mx=["mx.example"]).wait_requests(1, timeout=0.1)
