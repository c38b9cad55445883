# SPDX-License-Identifier: Apache-2.0
"""Start, end and reload of tlsmend: exit codes and C-OPS-02."""

import contextlib
import re
import signal
import subprocess
import threading
import time

import pytest

from lab import smtpc
from lab.helpers import SLOW, hup, listener, mail, open_transaction, prepared, send, settled
from lab.process import wait_for
from lab.tlsmend import program

CONFIG, SYSTEM = 78, 71


def finish(c):
    """DATA to the final reply."""
    assert c.cmd("DATA").code == 354
    return c.cmd(smtpc.message() + b".\r\n")


def run_once(scene, daemon, timeout=20):
    """`tlsmend run` that is expected to end by itself."""
    return subprocess.run(scene.net.client.command([program(), "run", "-c", daemon.config_path]),
                          capture_output=True, text=True, timeout=timeout, check=False)


# -- start and end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_start_and_end(scene, tlsmend, number):
    start = tlsmend.wait_records("start")[0]
    assert start["pid"] == tlsmend.pid and start["workers"] == 2 and start["config"] == str(tlsmend.config_path)
    assert tlsmend.wait_records("listen")[0]["address"] == "127.0.0.1:2525"
    tlsmend.send(number)
    tlsmend.wait_end(5 * SLOW)
    events = [r["event"] for r in tlsmend.records()]
    assert events[-2:] == ["stopping", "stop"] and tlsmend.records()[-1]["event"] == "stop"


def test_exit_code_of_a_bad_configuration(scene, lab):
    daemon = prepared(lab, tls={"level": "verfy"})
    done = run_once(scene, daemon)
    assert done.returncode == CONFIG
    assert re.search(rf'{daemon.config_path}:\d+: tls.level = "verfy"', done.stderr), done.stderr


@pytest.mark.parametrize("settings, said", [
    ({"log": {"sinks": [{"kind": "file", "path": "/nonexistent/x.log"}]}}, "/nonexistent/x.log"),
    ({"tls": {"trust_store": "/nonexistent/roots.pem"}}, "/nonexistent/roots.pem"),
    ({"resolver": {"trust_anchor": "/nonexistent/root.key"}}, "/nonexistent/root.key"),
], ids=["log", "roots", "anchor"])
def test_exit_code_where_a_file_is_missing(scene, lab, settings, said):
    done = run_once(scene, prepared(lab, **settings))
    assert done.returncode == CONFIG and said in done.stderr


def test_a_log_file_that_cannot_be_opened(scene, lab):
    """Only the user that tlsmend becomes can tell: the error has the place, as those of `check` have."""
    path = "/proc/version"
    daemon = prepared(lab, log={"sinks": [{"kind": "stderr"}, {"kind": "file", "path": path}]}, user="nobody")
    done = run_once(scene, daemon)
    assert done.returncode == CONFIG
    assert re.fullmatch(rf'{daemon.config_path}:\d+: log\.sinks\[1\]\.path = "{path}": cannot be opened: '
                        "Permission denied: let the user of tlsmend write there\n", done.stderr), done.stderr


def test_exit_code_where_the_port_is_taken(scene, lab):
    with contextlib.closing(scene.net.client.listen("127.0.0.1", 2599)):
        done = run_once(scene, prepared(lab, listeners=[listener(port=2599)]))
    assert done.returncode == SYSTEM and "127.0.0.1:2599" in done.stderr


def test_a_second_daemon_does_not_share_the_port(scene, lab, tlsmend):
    """SO_REUSEPORT would let the same user have it: each would get some of the clients."""
    done = run_once(scene, prepared(lab))
    assert done.returncode == SYSTEM
    assert done.stderr == "cannot listen on 127.0.0.1:2525: bind: Address already in use\n"
    assert tlsmend.running()


def test_exit_code_of_a_user_that_is_not_there(scene, lab):
    done = run_once(scene, prepared(lab, user="no-such-user-here"))
    assert done.returncode == CONFIG and "no-such-user-here" in done.stderr


# -- C-OPS-02: SIGTERM --------------------------------------------------------------------------------------


def test_c_ops_02_idle_sessions_hear_421(scene, tlsmend):
    idle, fresh = scene.client(tlsmend), scene.client(tlsmend)
    idle.ehlo()
    tlsmend.send(signal.SIGTERM)
    for c in (idle, fresh):
        assert str(c.reply())[:9] == "421 4.3.2"
        assert c.closed()
    tlsmend.wait_end(5 * SLOW)
    assert len(tlsmend.records("session", end="shutdown")) == 2
    assert tlsmend.records("stopping")[0]["sessions"] == 2


def test_c_ops_02_hundreds_hear_421(scene):
    """They are told in several turns of the loop; a transaction among them ends first."""
    tlsmend = scene.tlsmend(workers=1)
    domain = scene.domain()
    mx = scene.hostile(domain)
    clients = [scene.client(tlsmend) for _ in range(300)]
    last = open_transaction(scene, tlsmend, domain)
    clients += [scene.client(tlsmend) for _ in range(300)]
    tlsmend.send(signal.SIGTERM)
    for c in clients:
        assert str(c.reply())[:9] == "421 4.3.2"
    assert finish(last).code == 250
    assert last.reply().code == 421
    tlsmend.wait_end(5 * SLOW)
    assert len(mx.mails) == 1


def test_c_ops_02_a_transaction_ends_then_421(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain)
    envelope, body = open_transaction(scene, tlsmend, domain), open_transaction(scene, tlsmend, domain)
    assert body.cmd("DATA").code == 354
    body.send(b"Subject: half\r\n\r\n")
    tlsmend.send(signal.SIGTERM)
    tlsmend.wait_records("stopping")
    settled()
    with pytest.raises(OSError):
        scene.net.client.connect("127.0.0.1", 2525).close()   # nobody new
    assert envelope.cmd(f"RCPT TO:<{domain.address('b')}>").code == 250   # but all of the old
    assert finish(envelope).code == 250
    assert body.cmd(b"whole\r\n.\r\n").code == 250
    for c in (envelope, body):
        assert str(c.reply())[:9] == "421 4.3.2"
        assert c.closed()
    tlsmend.wait_end(5 * SLOW)
    assert len(mx.mails) == 2
    assert len(tlsmend.records("result", status="delivered")) == 3


def test_c_ops_02_grace_over_is_cut(scene):
    tlsmend = scene.tlsmend(timeouts={"shutdown_grace": "600ms"})
    domain = scene.domain()
    mx = scene.hostile(domain)
    c = open_transaction(scene, tlsmend, domain)
    assert c.cmd("DATA").code == 354
    c.send(b"half\r\n")
    start = time.monotonic()
    tlsmend.send(signal.SIGTERM)
    tlsmend.wait_end(5 * SLOW)
    assert 0.5 < time.monotonic() - start < 3 * SLOW
    assert c.closed()
    mx.wait_closed()
    assert not mx.mails
    assert tlsmend.records("session", end="cut")
    result = tlsmend.result()
    assert (result["status"], result["reason"]) == ("aborted", "shutting-down")


def test_c_ops_02_a_second_sigterm_ends_at_once(scene):
    tlsmend = scene.tlsmend(timeouts={"shutdown_grace": "60s"})
    domain = scene.domain()
    mx = scene.hostile(domain)
    c = open_transaction(scene, tlsmend, domain)
    tlsmend.send(signal.SIGTERM)
    tlsmend.wait_records("stopping")
    time.sleep(0.3)
    assert tlsmend.running()
    tlsmend.send(signal.SIGTERM)
    tlsmend.wait_end(3 * SLOW)
    assert c.closed()
    assert not mx.mails and len(tlsmend.records("stopping")) == 1


# -- C-OPS-02: SIGHUP -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, line", [
    ('tls = { level = "none" };\nnonsense_key = 1;\n', 2),
    ('\n\n\nworkers = "many";\n', 4),
    ("tls = { level = \n;\n", 2),
    ('timeouts = { connect = 30; };\n', 1),
], ids=["unknown-key", "wrong-type", "syntax", "no-unit"])
def test_c_ops_02_a_broken_file_changes_nothing(scene, text, line):
    domain = scene.domain()
    mx = scene.hostile(domain, kind="self-signed")
    tlsmend = scene.tlsmend()
    good = tlsmend.config_path.read_text(encoding="utf-8")
    tlsmend.config_path.write_text(text, encoding="utf-8")
    said = hup(tlsmend, "reload-failed")
    assert said[0]["detail"].startswith(f"{tlsmend.config_path}:{line}: "), said
    assert said[0]["severity"] == "error" and not tlsmend.records("reload")
    assert send(scene, tlsmend, domain).code == 451   # still `verify`
    assert not mx.saw("MAIL")
    tlsmend.config_path.write_text(good, encoding="utf-8")
    hup(tlsmend)
    assert send(scene, tlsmend, domain).code == 451


def test_c_ops_02_a_missing_file_changes_nothing(scene, tlsmend):
    tlsmend.config_path.unlink()
    assert str(tlsmend.config_path) in hup(tlsmend, "reload-failed")[0]["detail"]
    assert scene.client(tlsmend).greeting.code == 220


def test_reload_new_and_removed_listeners(scene):
    """A new one is there, a removed one is closed, its sessions go on; one that stays loses nobody."""
    tlsmend = scene.tlsmend(listeners=[listener(port=2525), listener("second", 2526)])
    domain = scene.domain()
    mx = scene.hostile(domain)
    old = smtpc.SmtpClient(scene.net.client, port=2526)
    stays = scene.client(tlsmend)
    for c in (old, stays):
        c.ehlo()
    tlsmend.write_config(listeners=[listener(port=2525), listener("third", 2527)])
    hup(tlsmend)
    settled()
    with smtpc.SmtpClient(scene.net.client, port=2527) as c:
        assert c.greeting.code == 220
    for _ in range(8):
        with pytest.raises(OSError):
            scene.net.client.connect("127.0.0.1", 2526).close()
        assert scene.client(tlsmend).greeting.code == 220
    for c in (old, stays):
        assert mail(c, domain).code == 250
    assert len(mx.mails) == 2


def test_reload_a_listener_that_cannot_be_bound_changes_nothing(scene, tlsmend):
    domain = scene.domain()
    scene.hostile(domain, kind="self-signed")
    hup(tlsmend)
    settled()
    files = tlsmend.open_files()   # of a process that has started to the end
    with contextlib.closing(scene.net.client.listen("127.0.0.1", 2598)):
        tlsmend.write_config(listeners=[listener(port=2525), listener("free", 2597), listener("taken", 2598)],
                             tls={"level": "none"})
        assert "127.0.0.1:2598" in hup(tlsmend, "reload-failed")[0]["detail"]
    settled()
    assert send(scene, tlsmend, domain).code == 451   # not `none`
    with pytest.raises(OSError):
        scene.net.client.connect("127.0.0.1", 2597).close()
    wait_for("no descriptor to be lost", lambda: tlsmend.open_files() <= files + 2)


def test_reload_running_transactions_end_as_they_began(scene, tlsmend):
    """The next transaction, also of the same session, has the new settings; the session its old name."""
    domain = scene.domain()
    mx = scene.hostile(domain)
    c = open_transaction(scene, tlsmend, domain)
    tlsmend.write_config(destinations=[{"match": domain.name, "level": "fingerprint", "fingerprints": ["ab" * 32]}],
                         helo_name="renamed.lab.example")
    hup(tlsmend)
    settled()
    assert c.cmd(f"RCPT TO:<{domain.address('b')}>").code == 250
    assert finish(c).code == 250
    assert str(mail(c, domain))[:9] == "451 4.7.5"
    assert c.cmd("RSET").code == 250
    assert c.ehlo().lines[0] == "tlsmend.client.lab.example"
    with scene.client(tlsmend) as fresh:
        assert fresh.ehlo().lines[0] == "tlsmend.renamed.lab.example"
    assert [a["reason"] for a in tlsmend.attempts(2)[:2]] == ["ok", "fingerprint-mismatch"]
    assert len(mx.mails) == 1


def test_reload_says_what_needs_a_restart(scene, tlsmend):
    tlsmend.write_config(workers=1)
    hup(tlsmend)
    assert any("workers" in w["detail"] for w in tlsmend.wait_records("warning", 1))
    assert scene.client(tlsmend).greeting.code == 220


def test_reload_the_log_goes_where_it_is_told(scene, tlsmend):
    other = tlsmend.directory / "other.json"
    tlsmend.write_config(log={"sinks": [{"kind": "file", "path": other}]})
    tlsmend.reload()
    wait_for("the new file", lambda: other.exists() and '"event":"reload"' in other.read_text(encoding="utf-8"))
    tlsmend.log_path = other
    domain = scene.domain()
    scene.hostile(domain)
    assert send(scene, tlsmend, domain).code == 250
    assert tlsmend.result()["status"] == "delivered"


def test_override_that_has_expired_ends_loudly(scene):
    """The default holds again: a bad MX is refused, a good one is served, and every attempt says why."""
    bad, good, other = scene.domain(), scene.domain(), scene.domain()
    mx = scene.hostile(bad, kind="self-signed")
    scene.hostile(good)
    scene.hostile(other, kind="self-signed")
    tlsmend = scene.tlsmend(destinations=[
        {"match": bad.name, "level": "may", "expires": "2020-01-01", "reason": "ticket 4711"},
        {"match": good.name, "level": "none", "expires": "2020-01-01"},
        {"match": other.name, "level": "may", "expires": "2099-01-01", "reason": "ticket 4712"}])
    assert str(send(scene, tlsmend, bad))[:9] == "451 4.7.5"
    assert not mx.saw("MAIL")
    attempt = tlsmend.attempts(recipient_domain=bad.name)[0]
    assert (attempt["policy_expired"], attempt["demand"], attempt["reason"]) == (bad.name, "verify", "self-signed")
    assert send(scene, tlsmend, good).code == 250
    attempt = tlsmend.attempt(recipient_domain=good.name)
    assert (attempt["severity"], attempt["policy_expired"]) == ("warning", good.name)
    assert (attempt["demand"], attempt["tls"]) == ("verify", "TLSv1.3")
    assert send(scene, tlsmend, other).code == 250
    attempt = tlsmend.attempt(recipient_domain=other.name)
    assert (attempt["policy_note"], attempt["policy_id"]) == ("ticket 4712", other.name)
    assert attempt["policy_expires"].startswith("2099-01-01")
    assert "policy_expired" not in attempt
    assert any("has expired" in w["detail"] and "2020-01-01" in w["detail"] for w in tlsmend.records("warning"))


def test_reloads_under_load_lose_nothing(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain)
    codes = []

    def client():
        with scene.client(tlsmend) as c:
            c.ehlo()
            for _ in range(5):
                codes.append(mail(c, domain).code)
        with scene.client(tlsmend) as c:
            c.ehlo()
            codes.extend(mail(c, domain).code for _ in range(5))

    threads = [threading.Thread(target=client) for _ in range(5)]
    for t in threads:
        t.start()
    for i in range(20):
        tlsmend.write_config(listeners=[listener(port=2525), listener("second", 2530 + i % 2)])
        hup(tlsmend)
    for t in threads:
        t.join()
    assert codes == [250] * 50
    assert len(mx.mails) == 50 and len(tlsmend.results(50, status="delivered")) == 50
    assert not tlsmend.records("reload-failed")
