# SPDX-License-Identifier: Apache-2.0
"""The lab's MX that looks at ClientHellos, against OpenSSL's own client."""

import subprocess
import time

import pytest

from lab.hostile import CLOSE, RESET, TLS, Each, WhenHello, alert


def s_client(scene, mx, *options):
    """What `openssl s_client` says about STARTTLS at this MX."""
    argv = ["openssl", "s_client", "-starttls", "smtp", "-connect", f"{mx.addresses[0]}:25", "-servername",
            mx.host, "-CAfile", str(scene.pki.trust_store), "-verify_hostname", mx.host, *options]
    done = subprocess.run(scene.net.client.command(argv), input="QUIT\n", capture_output=True, text=True,
                          check=False, timeout=20)
    return done.stdout + done.stderr


def works(said):
    return "Verification: OK" in said and "Cipher is (NONE)" not in said


def test_every_hello_is_recorded(scene):
    mx = scene.hostile(scene.domain())
    before = time.time()
    assert works(s_client(scene, mx, "-groups", "P-384:X25519", "-alpn", "smtp"))
    assert works(s_client(scene, mx, "-tls1_2"))
    first, second = mx.hellos
    assert first.sni == mx.host and first.alpn == ["smtp"]
    assert first.versions[:2] == ["1.3", "1.2"] and second.versions == ["1.2"]
    assert first.groups == ["P-384", "X25519"] and first.key_shares == ["P-384"]
    assert second.key_shares == [] and second.size < first.size < 600
    assert before <= mx.records[0].time <= first.time <= mx.records[1].time
    assert [r.number for r in mx.records] == [1, 2]


def test_a_hello_that_is_too_large_gets_silence(scene):
    protocols = ",".join(f"protocol-{i:050d}" for i in range(20))
    mx = scene.hostile(scene.domain(), replies={"handshake": WhenHello(larger_than=1000, then=Each(RESET))})
    assert not works(s_client(scene, mx, "-alpn", protocols))
    assert works(s_client(scene, mx))
    assert mx.hellos[0].size > 1000 and len(mx.hellos[0].alpn) == 20 and mx.records[0].tls is None


@pytest.mark.parametrize("then", [RESET, CLOSE, alert("protocol_version"), [b"garbage\r\n", CLOSE],
                                  alert("handshake_failure")], ids=["reset", "close", "alert", "garbage", "40"])
def test_an_mx_that_knows_no_tls_1_3(scene, then):
    mx = scene.hostile(scene.domain(), replies={"handshake": WhenHello(offers="1.3", then=then)})
    said = s_client(scene, mx)
    assert not works(said)
    assert works(s_client(scene, mx, "-tls1_2"))
    if then == alert("protocol_version"):
        assert "alert protocol version" in said
    if then == alert("handshake_failure"):
        assert "alert handshake failure" in said


def test_the_first_connection_fails_and_the_second_works(scene):
    for handshake in (Each(RESET, TLS), WhenHello(connections=[1], then=RESET)):
        mx = scene.hostile(scene.domain(), replies={"handshake": handshake})
        assert [works(s_client(scene, mx)) for _ in range(3)] == [False, True, True]


def test_rules_one_behind_the_other(scene):
    mx = scene.hostile(scene.domain(), replies={"handshake": WhenHello(
        group="P-521", then=alert("internal_error"),
        otherwise=WhenHello(test=lambda hello: hello.sni is None, then=CLOSE))})
    assert "alert internal error" in s_client(scene, mx, "-groups", "P-521")
    assert not works(s_client(scene, mx, "-noservername"))
    assert works(s_client(scene, mx, "-groups", "X25519"))
