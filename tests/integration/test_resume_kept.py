# SPDX-License-Identifier: Apache-2.0
"""TLS sessions over a restart (C-TLS-08, tls.keep_sessions): what an orderly end wrote is read once, and neither a crash
nor a run without the setting leaves one behind.  No connection waits here, so each mail shakes hands."""

import sqlite3
import stat

import pytest

from lab.helpers import hup
from lab.warm import deliver, peer, send, solo

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])
KEPT = "SELECT count(*) FROM tls_sessions"


def keeping(scene, *, tls=None, **settings):
    return solo(scene, pool={"idle_time": "0s"}, tls={"keep_sessions": True, **(tls or {})}, **settings)


def only(version):
    return {"versions": (version, version)}


def resumed(mx):
    """Of each handshake that was done, by the MX's own word."""
    return [r.tls["resumed"] for r in mx.records if r.tls]


def offered(mx):
    """Of each hello."""
    return [bool(h.ticket) for h in mx.hellos]


def kept(tlsmend):
    return tlsmend.sql(KEPT)[0][0]


def change(tlsmend, sql, *values):
    """While it does not run."""
    connection = sqlite3.connect(tlsmend.store_path)
    with connection:
        connection.execute(sql, values)
    connection.close()


def modes(tlsmend):
    return {p.name: stat.S_IMODE(p.stat().st_mode) for p in tlsmend.store_path.parent.glob("tlsmend.db*")}


@VERSIONS
def test_c_tls_08_the_first_connection_of_the_next_run_resumes(scene, version):
    domain, tlsmend = scene.domain(), keeping(scene)
    mx = peer(scene, domain, **only(version))
    first = deliver(scene, tlsmend, domain)
    tlsmend.stop()
    there = kept(tlsmend)
    assert there > 0 and set(modes(tlsmend).values()) == {0o600}
    tlsmend.start()
    assert kept(tlsmend) == 0 and set(modes(tlsmend).values()) == {0o600}
    again = deliver(scene, tlsmend, domain)
    assert resumed(mx) == [False, True] and again["resumed"] is True
    for key in ("verify", "cert_subject", "cert_names", "cert_not_after", "tls", "cipher"):
        assert again[key] == first[key], key
    tlsmend.restart()
    assert deliver(scene, tlsmend, domain)["resumed"] is True
    tickets = [h.ticket for h in mx.hellos if h.ticket]
    assert version == "1.2" or len(set(tickets)) == len(tickets) == 2
    assert not tlsmend.records("warning", subject="tls-sessions")


def test_c_tls_08_by_default_nothing_is_written(scene):
    domain, tlsmend = scene.domain(), solo(scene, pool={"idle_time": "0s"})
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.stop()
    assert kept(tlsmend) == 0
    tlsmend.start()
    assert deliver(scene, tlsmend, domain)["resumed"] is False
    assert offered(mx) == [False, False]


def test_c_tls_08_what_an_earlier_run_wrote_goes_where_it_is_not_wanted(scene):
    domain, tlsmend = scene.domain(), keeping(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.stop()
    assert kept(tlsmend) > 0
    tlsmend.write_config(tls={"keep_sessions": False})
    tlsmend.start()
    assert kept(tlsmend) == 0
    deliver(scene, tlsmend, domain)
    assert offered(mx) == [False, False]


@VERSIONS
def test_c_tls_08_a_crash_brings_none_back(scene, version):
    """Used or not: of the run before, and of this one."""
    domain, unused, tlsmend = scene.domain(), scene.domain(), keeping(scene)
    mx, other = peer(scene, domain, **only(version)), peer(scene, unused, **only(version))
    deliver(scene, tlsmend, domain)
    deliver(scene, tlsmend, unused)
    tlsmend.restart()
    assert deliver(scene, tlsmend, domain)["resumed"] is True
    tlsmend.crash()
    assert kept(tlsmend) == 0
    deliver(scene, tlsmend, domain)
    deliver(scene, tlsmend, unused)
    assert offered(mx) == [False, True, False] and offered(other) == [False, False]


def test_c_tls_08_a_reload_switches_it(scene):
    domain, tlsmend = scene.domain(), solo(scene, pool={"idle_time": "0s"})
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.write_config(tls={"keep_sessions": True})
    hup(tlsmend)
    tlsmend.restart()
    deliver(scene, tlsmend, domain)
    tlsmend.write_config(tls={"keep_sessions": False})
    hup(tlsmend)
    tlsmend.stop()
    assert resumed(mx) == [False, True] and kept(tlsmend) == 0


def test_c_tls_08_as_many_as_are_kept(scene):
    domain, tlsmend = scene.domain(), keeping(scene, tls={"sessions": 1})
    peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.stop()
    assert kept(tlsmend) == 1
    tlsmend.write_config(tls={"sessions": 0})
    tlsmend.start()
    assert deliver(scene, tlsmend, domain)["resumed"] is False
    tlsmend.stop()
    assert kept(tlsmend) == 0


def test_c_tls_08_without_a_store(scene):
    domain, tlsmend = scene.domain(), keeping(scene, store={"path": ""})
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.restart()
    deliver(scene, tlsmend, domain)
    assert offered(mx) == [False, False] and not tlsmend.store_path.exists()


@VERSIONS
def test_c_tls_08_old_ones_are_not_written_and_not_offered(scene, version):
    """Two hours."""
    domain, tlsmend = scene.domain(), keeping(scene, clock="wall")
    mx = peer(scene, domain, **only(version))
    deliver(scene, tlsmend, domain)
    tlsmend.restart()
    tlsmend.clock.turn("+121m")
    deliver(scene, tlsmend, domain)
    tlsmend.clock.turn("+245m")
    tlsmend.stop()
    assert kept(tlsmend) == 0
    assert offered(mx) == [False, False]


def test_c_tls_08_a_certificate_that_expired_in_between(scene):
    """The session lives on; the chain that came with it is judged by the time of the start and after."""
    domain = scene.domain()
    chain = scene.pki.leaf(f"mx.{domain.name}", "short", end=30 / 1440)
    mx = peer(scene, domain, chain=chain)
    tlsmend = keeping(scene, clock="wall")
    deliver(scene, tlsmend, domain)
    tlsmend.stop()
    tlsmend.clock.turn("+31m")
    tlsmend.start()
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "expired"
    assert not any(offered(mx)) and len(mx.mails) == 1


def test_c_tls_08_another_trust_store_in_between(scene):
    domain, tlsmend = scene.domain(), keeping(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.stop()
    roots = scene.lab.new_directory("trust")
    roots.mkdir()
    (roots / "roots.pem").write_bytes(scene.pki.chain("self-signed", "root.example").path.read_bytes())
    tlsmend.write_config(tls={"trust_store": roots / "roots.pem"})
    tlsmend.start()
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] in ("untrusted-root", "incomplete-chain")
    assert not any(offered(mx)) and len(mx.mails) == 1


def test_c_tls_08_broken_ones_cost_a_handshake(scene):
    domain, tlsmend = scene.domain(), keeping(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.stop()
    there = kept(tlsmend)
    change(tlsmend, "UPDATE tls_sessions SET session = substr(session, 2)")
    change(tlsmend, "INSERT INTO tls_sessions (place, key, session) VALUES (-1, x'00', zeroblob(1000000))")
    tlsmend.start()
    (warning,) = tlsmend.wait_records("warning", subject="tls-sessions")
    assert warning["detail"].startswith(f"{there + 1} of ") and warning["hint"]
    deliver(scene, tlsmend, domain)
    assert offered(mx) == [False, False] and kept(tlsmend) == 0


def test_c_tls_08_a_store_that_cannot_be_written_at_the_end(scene):
    """It is said, and the next run begins in full."""
    domain, tlsmend = scene.domain(), keeping(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    lock = sqlite3.connect(tlsmend.store_path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    tlsmend.stop()
    lock.execute("ROLLBACK")
    lock.close()
    assert tlsmend.records("store", state="failed")
    assert kept(tlsmend) == 0
    tlsmend.start()
    deliver(scene, tlsmend, domain)
    assert offered(mx) == [False, False]
