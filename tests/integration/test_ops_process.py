# SPDX-License-Identifier: Apache-2.0
"""The process: its log, privileges, libraries, sudden death, and load: C-OPS-01, C-OPS-03, C-OPS-04."""

import contextlib
import json
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

from lab import smtpc
from lab.helpers import SENDER, SLOW, hup, listener, mail, prepared, send, settled
from lab.netns import BLACK_HOLE_IP4
from lab.process import wait_for
from lab.tlsmend import program


# -- SIGUSR1 and the sinks --------------------------------------------------------------------------------------------


def test_sigusr1_opens_the_file_anew(scene, tlsmend):
    domain = scene.domain()
    scene.hostile(domain)
    assert send(scene, tlsmend, domain).code == 250
    tlsmend.results()
    moved = tlsmend.directory / "records.1"
    tlsmend.log_path.rename(moved)
    assert send(scene, tlsmend, domain).code == 250
    wait_for("the old file goes on", lambda: moved.read_text(encoding="utf-8").count('"event":"result"') == 2)
    tlsmend.send(signal.SIGUSR1)
    wait_for("the new file", tlsmend.log_path.exists)
    assert send(scene, tlsmend, domain).code == 250
    assert tlsmend.result()["status"] == "delivered"
    assert moved.read_text(encoding="utf-8").count('"event":"result"') == 2
    assert tlsmend.log_path.stat().st_mode & 0o777 == 0o640


def test_sigusr1_where_it_cannot_be_opened(scene, tlsmend):
    """The old file stays in use, and it is said there."""
    moved = tlsmend.directory / "records.1"
    tlsmend.log_path.rename(moved)
    tlsmend.log_path.mkdir()
    tlsmend.send(signal.SIGUSR1)
    wait_for("the word", lambda: '"event":"log-reopen-failed"' in moved.read_text(encoding="utf-8"))
    tlsmend.log_path.rmdir()
    tlsmend.log_path = moved
    domain = scene.domain()
    scene.hostile(domain)
    assert send(scene, tlsmend, domain).code == 250
    assert tlsmend.result()["status"] == "delivered"


def test_syslog_sink(scene, lab):
    """A /dev/log of its own, in a mount namespace of its own."""
    daemon = prepared(lab, listeners=[listener(port=2540)], log={"sinks": [{"kind": "syslog"}], "syslog_ident": "mend"})
    dev = daemon.directory / "dev"
    dev.mkdir()
    path = daemon.directory / "log.sock"
    script = ("mount --make-rprivate / && mount -t tmpfs none {d} && for n in null zero random urandom; do touch {d}/$n "
              "&& mount --bind /dev/$n {d}/$n || exit 1; done; mkdir {d}/shm && mount --bind /dev/shm {d}/shm && "
              "ln -s {s} {d}/log && mount --rbind {d} /dev && exec {p} run -c {c}")
    command = script.format(d=dev, s=path, p=program(), c=daemon.config_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        log.settimeout(10)
        process = subprocess.Popen(scene.net.client.command(["unshare", "--mount", "sh", "-c", command]))
        try:
            first = log.recv(65536)
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()
    head, _, record = first.partition(b"{")
    assert re.fullmatch(rb"<22>\w{3} [ \d]\d \d\d:\d\d:\d\d mend\[\d+\]: ", head), head   # mail.info
    assert json.loads(b"{" + record)["event"] == "start"


def test_text_on_a_terminal_json_elsewhere(scene, lab):
    """One run with stderr a terminal and a file beside it: auto decides for each."""
    daemon = prepared(lab, listeners=[listener(port=2541)])
    daemon.write_config(log={"format": "auto", "sinks": [{"kind": "stderr"}, {"kind": "file", "path": daemon.log_path}]})
    ours, theirs = pty.openpty()
    process = subprocess.Popen(scene.net.client.command([program(), "run", "-c", daemon.config_path]),
                               stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        daemon.wait_records("start")
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
    text = b""
    with contextlib.suppress(OSError):
        while data := os.read(ours, 65536):
            text += data
    os.close(ours)
    lines = re.sub(r"\x1b\[[\d;]*m", "", text.decode()).splitlines()
    assert re.match(r"\d\d:\d\d:\d\d start +version=", lines[0]), lines
    assert re.match(r"\d\d:\d\d:\d\d stop", lines[-1]), lines
    assert [r["event"] for r in daemon.records()][0] == "start"


def test_c_ops_03_a_full_disk_stops_no_mail(scene):
    """/dev/full is a disk without room: mail goes on, the other sink says so once."""
    tlsmend = scene.tlsmend()
    tlsmend.write_config(log={"sinks": [{"kind": "file", "path": "/dev/full"}, {"kind": "file", "path": tlsmend.log_path}]})
    tlsmend.reload()
    tlsmend.wait_records("reload")
    domain = scene.domain()
    scene.hostile(domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert [mail(c, domain).code for _ in range(10)] == [250] * 10
    assert len(tlsmend.results(10)) == 10
    assert len(tlsmend.wait_records("log-failed", sink="/dev/full")) == 1


def test_c_ops_03_a_blocked_log_stops_no_mail(scene):
    """A reader that never reads: mail goes on at full speed."""
    tlsmend = scene.tlsmend()
    fifo = tlsmend.directory / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    tlsmend.write_config(log={"sinks": [{"kind": "file", "path": fifo}, {"kind": "file", "path": tlsmend.log_path}]})
    tlsmend.reload()
    tlsmend.wait_records("reload")
    domain = scene.domain()
    scene.hostile(domain)
    with scene.client(tlsmend) as c:   # some 3 KB of records each: beyond the 64 KiB of a pipe
        c.ehlo()
        assert [mail(c, domain).code for _ in range(40)] == [250] * 40
    assert len(tlsmend.results(40)) == 40
    os.close(reader)


# -- the process -----------------------------------------------------------------------------------------------------------


def test_no_second_tls_library(scene, tlsmend):
    """Neither linked nor loaded while it works."""
    domain = scene.domain()
    scene.hostile(domain)
    assert send(scene, tlsmend, domain).code == 250
    with open(f"/proc/{tlsmend.pid}/maps", encoding="ascii") as f:
        loaded = {line.split()[-1] for line in f if ".so" in line}
    linked = subprocess.run(["ldd", program()], capture_output=True, text=True, check=True, timeout=20).stdout
    assert any("libevent" in path for path in loaded) and "libevent" in linked
    for path in [*loaded, *re.findall(r"=> (\S+)", linked)]:
        name = os.path.basename(path)
        assert not re.match(r"lib(gnutls|event_openssl|mbed|wolfssl|nss3)", name), path
        if re.match(r"lib(ssl|crypto)\.", name):
            assert "/android/" in path or "boringssl" in path, path


def test_privileges_are_dropped(scene, lab):
    import pwd
    nobody = pwd.getpwnam("nobody")
    daemon = scene.add("tlsmend", prepared(lab, user="nobody"))
    os.chown(daemon.directory, nobody.pw_uid, nobody.pw_gid)
    daemon.start()
    for task in os.listdir(f"/proc/{daemon.pid}/task"):
        with open(f"/proc/{daemon.pid}/task/{task}/status", encoding="ascii") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        assert status["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert status["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert set(status["Groups"].split()) <= {str(nobody.pw_gid)}
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    domain = scene.domain()
    scene.hostile(domain)
    assert send(scene, daemon, domain).code == 250
    secret = daemon.directory / "secret.pem"   # a good trust store, but root's alone
    secret.write_bytes(scene.pki.trust_store.read_bytes())
    secret.chmod(0o600)
    daemon.write_config(tls={"trust_store": secret})
    assert "Permission denied" in hup(daemon, "reload-failed")[0]["detail"]


@pytest.mark.parametrize("user", ["", "root"])
def test_staying_root_is_said(scene, user):
    daemon = scene.tlsmend(user=user)
    daemon.wait_records("warning", detail="user: tlsmend stays root, which it has no need of: "
                                          "name a user without rights")


def test_sd_notify(tlsmend):
    manager = tlsmend.manager
    assert manager.said == ["READY=1"]
    tlsmend.reload()
    assert manager.wait(3)[1:] == ["RELOADING=1", "READY=1"]
    tlsmend.send(signal.SIGTERM)
    assert manager.wait(4)[3:] == ["STOPPING=1"]
    tlsmend.wait_end(5 * SLOW)


def test_sd_notify_a_manager_that_reads_nothing_stops_nobody(scene, tlsmend):
    domain = scene.domain()
    scene.hostile(domain)
    manager = tlsmend.manager
    with manager.deaf():
        for _ in range(2):
            hup(tlsmend, "reload")
        assert send(scene, tlsmend, domain).code == 250
        assert manager.said == ["READY=1"]
    assert manager.wait(2)[1:] == ["READY=1"]   # what is true when it reads again
    with manager.deaf():
        tlsmend.send(signal.SIGTERM)
        tlsmend.wait_end(5 * SLOW)


# -- C-OPS-01, C-OPS-03 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["idle", "envelope", "body", "final"])
def test_c_ops_01_kill_9_and_a_start_within_a_second(scene, tlsmend, where):
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"final": [1, "250 2.0.0 taken"]} if where == "final" else {})
    c = scene.client(tlsmend)
    c.ehlo()
    if where != "idle":
        c.envelope(SENDER, [domain.address()])
    if where in ("body", "final"):
        assert c.cmd("DATA").code == 354
        c.send(smtpc.message() + (b".\r\n" if where == "final" else b""))
        time.sleep(0.1)
    tlsmend.kill()
    assert c.closed()   # no reply: the client has it still
    start = time.monotonic()
    tlsmend.start()
    with scene.client(tlsmend) as again:
        assert time.monotonic() - start < 1 * SLOW
        again.ehlo()
        assert mail(again, domain).code == 250
    assert len(mx.mails) == (2 if where == "final" else 1)
    assert len(tlsmend.records("start")) == 2


@pytest.mark.parametrize("server", ["refused", "silent"])
def test_c_ops_03_the_dns_server_is_gone(scene, server):
    address = scene.net.new_host()[0] if server == "refused" else BLACK_HOLE_IP4
    tlsmend = scene.tlsmend(resolver={"stubs": [{"zone": ".", "address": address}], "timeout": "700ms"})
    domain = scene.domain()
    scene.hostile(domain)
    start = time.monotonic()
    with scene.client(tlsmend) as c:
        c.ehlo()
        reply = mail(c, domain)
        assert str(reply)[:9] == "451 4.4.3"
        assert c.cmd("NOOP").code == 250
    assert time.monotonic() - start < 4 * SLOW
    assert tlsmend.result()["reason"] in ("dns-timeout", "dns-failed")


def test_c_ops_03_the_dns_server_is_back_after_a_reload(scene, lab):
    tlsmend = scene.tlsmend(resolver={"stubs": [{"zone": ".", "address": scene.net.new_host()[0]}], "timeout": "300ms"})
    domain = scene.domain()
    scene.hostile(domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert mail(c, domain).code == 451
        tlsmend.write_config(resolver={"stubs": [{"zone": ".", "address": lab.dns.address}], "timeout": "10s"})
        hup(tlsmend)
        settled()
        c.cmd("RSET")
        assert mail(c, domain).code == 250


# -- load ------------------------------------------------------------------------------------------------------------------------


def test_both_workers_have_sessions(scene, tlsmend):
    for _ in range(40):
        scene.client(tlsmend).cmd("QUIT")
    sessions = tlsmend.wait_records("session", 40, end="quit")
    assert {s["session"].split("-")[1] for s in sessions} == {"0", "1"}


def test_two_hundred_sessions_at_once(scene, tlsmend):
    """All with a transaction open at the same time; each message reaches its own recipient."""
    domain = scene.domain()
    mx = scene.hostile(domain)
    clients = [scene.client(tlsmend) for _ in range(200)]
    for i, c in enumerate(clients):
        c.send(f"EHLO c{i}\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{domain.address(f'u{i}')}>\r\nDATA\r\n".encode())
    for c in clients:
        assert [c.reply().code for _ in range(4)] == [250, 250, 250, 354]
    for i, c in enumerate(clients):
        c.send(f"Subject: for u{i}\r\n\r\n.\r\n".encode())
    for c in clients:
        assert c.reply().code == 250
    assert {(m.recipients[0], m.data) for m in mx.mails} == {
        (f"<{domain.address(f'u{i}')}>".encode(), f"Subject: for u{i}\r\n\r\n".encode()) for i in range(200)}
    assert len(mx.mails) == 200


def test_memory_does_not_grow(scene):
    """300 mails in many sessions, delivered, refused and failed, behind a warm-up of as many."""
    tlsmend = scene.tlsmend(workers=1)
    fine, refused, failing = scene.domain(), scene.domain(), scene.domain()
    scene.hostile(fine)
    scene.hostile(refused, replies={"final": "550 5.7.1 no"})
    scene.hostile(failing, kind="expired")

    def hundred():
        for i in range(20):
            with scene.client(tlsmend) as c:
                c.ehlo()
                for domain, code in ((fine, 250), (refused, 550), (failing, 451)):
                    assert mail(c, domain).code == code
                for _ in range(2):
                    c.cmd("RSET")
                    assert mail(c, fine).code == 250

    for _ in range(2):
        hundred()
    before, files = tlsmend.rss(), tlsmend.open_files()
    for _ in range(3):
        hundred()
    grown = tlsmend.rss() - before
    # A sanitizer keeps 256 MiB of what was freed.
    assert grown <= (256 * 1024 if SLOW == 1 else 256 * 1024 * 1024), f"{grown} bytes more"
    wait_for("no descriptor to be lost", lambda: tlsmend.open_files() <= files + 2)


def test_the_limit_of_open_files_is_raised_to_what_sessions_need(scene):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (900, before[1]))   # what the daemon inherits
    try:
        tlsmend = scene.tlsmend(limits={"sessions": 400})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    soft, _ = resource.prlimit(tlsmend.pid, resource.RLIMIT_NOFILE)
    assert soft >= 400 * 2 + 256
    assert not any("open files" in w["detail"] for w in tlsmend.records("warning"))
