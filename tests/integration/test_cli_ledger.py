# SPDX-License-Identifier: Apache-2.0
"""tlsmend ledger: who has a message and who has not, beside the daemon or without one (C-RCPT-04)."""

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import time

import pytest

from lab import smtpc
from lab.helpers import SENDER, prepared
from lab.process import wait_for
from lab.tlsmend import ROOT, program

MAN = set(re.findall(r"\w+", (ROOT / "docs/man/tlsmend.8").read_text(encoding="utf-8")))
OK, USAGE, SYSTEM, CONFIG = 0, 64, 71, 78
DAY = 86400 * 1000


def ask(daemon, *words, code=OK, user=None):
    argv = [str(program()), "ledger", "-c", str(daemon.config_path), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, user=user)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def entries(daemon, *words):
    """The list of the JSON object; each member is documented."""
    answer = json.loads(ask(daemon, "--json", *words).stdout)
    assert set(answer) == {"store", "entries", "count"} and answer["store"] == str(daemon.store_path)
    assert answer["count"] == len(answer["entries"])
    for entry in answer["entries"]:
        assert set(entry) <= MAN and set(entry) >= {"happened", "client_heard", "next", "advice"}
    return answer["entries"]


def written(daemon, *rows):
    """The file that a daemon has made, without the daemon, and with these rows in it."""
    daemon.start()
    daemon.stop()
    now = int(time.time() * 1000)
    row = {"sender": "a@client.example", "recipient": "b@d.example", "digest": hashlib.sha256(b"x").digest(),
           "outcome": "delivered", "code": 250, "ours": 0, "untold": 0, "size": -1, "at": now - 60000,
           "until": now + DAY, "reply": "2.0.0 Ok", "mx": "mx.d.example", "address": "192.0.2.7",
           "transaction_id": "t1-1", "queue_id": "9F31C0", "client": "127.0.0.1", "helo": "old.example",
           "ident": ""}
    with contextlib.closing(sqlite3.connect(daemon.store_path)) as connection, connection:
        for one in rows:
            values = row | one
            connection.execute(f"INSERT INTO ledger ({', '.join(values)}) VALUES "
                               f"({', '.join('?' * len(values))})", tuple(values.values()))
    return daemon


@pytest.fixture
def quiet(lab):
    """A configuration without a daemon."""
    return prepared(lab)


def mixed(scene, daemon, recipients, message):
    """A mail to all of them; the final reply."""
    with scene.client(daemon) as c:
        c.ehlo()
        assert {r.code for r in c.envelope(SENDER, recipients)} == {250}
        return c.data(message)


# -- with a daemon --------------------------------------------------------------------------------


def test_c_rcpt_04_a_mixed_result_is_listed_and_explained(scene):
    took, refused = scene.domain(), scene.domain()
    mx = scene.hostile(took)
    scene.hostile(refused).replies["final"] = "554 5.7.1 looks like spam\r\nof the worst kind"
    daemon = scene.tlsmend()
    assert "clients were told everything" in ask(daemon).stdout and entries(daemon) == []
    message = smtpc.message()
    reply = mixed(scene, daemon, [took.address(), refused.address()], message)
    assert reply.code == 451
    daemon.wait_records("ledger", state="kept")
    lines = ask(daemon).stdout.splitlines()          # beside the running daemon
    assert lines[-1] == "2 entries" and len(lines) == 3
    assert all(f"a@{SENDER.split('@')[1]} -> " in line for line in lines[:-1])
    found = {e["recipient"]: e for e in entries(daemon)}
    good, bad = found[took.address()], found[refused.address()]
    assert (good["outcome"], good["code"], good["mx"]) == ("delivered", 250, mx.host)
    assert good["address"] in mx.addresses and not good["untold"] and good["client"] == "127.0.0.1"
    assert (bad["outcome"], bad["code"]) == ("refused", 554) and "looks like spam" in bad["reply"]
    assert good["transaction"] == bad["transaction"] == daemon.result(recipient=took.address())["transaction"]
    assert good["digest"] == bad["digest"] and good["at"] < good["expires"]
    for word in (took.address(), took.name, took.name.upper(), f"<{took.address()}>"):
        assert [e["recipient"] for e in entries(daemon, word)] == [took.address()]
        text = ask(daemon, word).stdout
        assert f"{mx.host} (" in text and "took the message: 250 " in text
        assert "client heard    451 (Sendmail: 452) for the whole message" in text and "not delivered a second time" in text
    assert len(entries(daemon, good["transaction"])) == len(entries(daemon, SENDER)) == 2
    assert "refused the message for good: 554 5.7.1 looks like spam" in ask(daemon, refused.name).stdout
    assert ask(daemon, "elsewhere.example").stdout.startswith("no entry for this: ")
    done = subprocess.run([str(program()), "check", "-c", str(daemon.config_path)], capture_output=True,
                          text=True, timeout=60, check=False)
    assert "kept, 2 entries in the ledger\n" in done.stdout


def test_c_rcpt_04_the_same_again_empties_it(scene):
    """What the explanation promises: the delivered one is not sent a second time."""
    took, later = scene.domain(), scene.domain()
    mx, slow = scene.hostile(took), scene.hostile(later)
    slow.replies["final"] = "451 4.3.0 later"
    daemon = scene.tlsmend()
    message, recipients = smtpc.message(), [took.address(), later.address()]
    assert mixed(scene, daemon, recipients, message).code == 451
    assert {e["outcome"] for e in entries(daemon)} == {"delivered", "deferred"}
    assert "as if nothing had been tried" in ask(daemon, later.name).stdout
    del slow.replies["final"]
    assert mixed(scene, daemon, recipients, message).code == 250
    assert [m.complete for r in mx.records for m in r.mails] == [True, False]   # without the dot: held
    assert "clients were told everything" in ask(daemon).stdout


def test_c_rcpt_04_a_client_that_is_gone_is_said(scene):
    domain = scene.domain()
    scene.hostile(domain).replies["final"] = [0.5, "250 2.0.0 taken"]
    daemon = scene.tlsmend()
    with scene.client(daemon) as c:
        c.ehlo()
        assert {r.code for r in c.envelope(SENDER, [domain.address()])} == {250}
        assert c.cmd("DATA").code == 354
        c.send(smtpc.message() + b".\r\n")
    wait_for("the entry", lambda: entries(daemon))
    (entry,) = entries(daemon, domain.name)
    assert (entry["outcome"], entry["untold"]) == ("delivered", True) and "it was gone" in entry["client_heard"]
    line, number = ask(daemon).stdout.splitlines()
    assert " untold until=" in line and number == "1 entry"


# -- rows in the file -----------------------------------------------------------------------------


def test_all_are_listed_with_the_newest_first(quiet):
    now = int(time.time() * 1000)
    written(quiet, {"recipient": "old@d.example", "at": now - 2000}, {"recipient": "new@d.example", "at": now - 1000},
            {"recipient": "gone@d.example", "until": now - 1}, {"sender": "", "recipient": "bounce@d.example"},
            {"recipient": "late@e.example", "untold": 1, "queue_id": "", "at": now - 500})
    lines = ask(quiet).stdout.splitlines()
    order = [re.search(r"-> (\S+)@", line)[1] for line in lines[:-1]]
    assert order == ["late", "new", "old", "bounce"] and lines[-1] == "4 entries"
    assert " untold until=" in lines[0] and "queue_id=- " in lines[0] and "<> -> " in lines[3]
    assert "  250 2.0.0 Ok  mx=mx.d.example transaction=t1-1 queue_id=9F31C0 until=" in lines[1]
    assert "client heard    nothing: it was gone" in ask(quiet, "e.example").stdout
    assert [e["recipient"] for e in entries(quiet, "<>")] == ["bounce@d.example"]
    assert len(entries(quiet, "9f31c0")) == 3 and entries(quiet, "gone@d.example") == []


@pytest.mark.parametrize("refusals, ident, said", [
    ("envelope", "", "and names another recipient of the same message first; "),
    ("envelope", "9F31C0", "says queue id 9F31C0 by XFORWARD or names another recipient"),
    ("queue-id", "9F31C0", "says queue id 9F31C0 by XFORWARD; "),
    ("queue-id", "", "the client said no queue id by XFORWARD"),
])
def test_c_rcpt_04_what_proves_a_refusal_is_said_as_it_is_set(lab, refusals, ident, said):
    daemon = written(prepared(lab, ledger={"refusals": refusals}),
                     {"outcome": "refused", "code": 550, "reply": "5.1.1 no such user", "ident": ident})
    text = ask(daemon, "d.example").stdout
    assert said in text and "asked in a transaction without others" in text


def test_addresses_are_whole_whatever_the_log_may_say(lab):
    daemon = written(prepared(lab, log={"addresses": False}), {})
    assert "a@client.example -> b@d.example" in ask(daemon).stdout


def test_c_ops_04_bytes_of_a_peer_are_escaped(quiet):
    written(quiet, {"reply": "2.0.0 \x1b]0;x\x07 Ok", "mx": "mx\x9b.example", "sender": '"\x1b[2J"@client.example'})
    for words in ((), ("b@d.example",), ("--json",)):
        assert not re.search(r"[^\n -~]", ask(quiet, *words).stdout)


# -- no ledger ------------------------------------------------------------------------------------


def test_a_store_that_cannot_be_read_is_an_error_with_a_mend(lab, quiet, tmp_path):
    done = ask(quiet, code=SYSTEM)
    assert done.stdout == "" and f"store {quiet.store_path}: No such file" in done.stderr
    assert "nothing was kept so far, or store.path is not the daemon's\n" in done.stderr
    (tmp_path / "bad.db").write_bytes(b"no database at all" * 100)
    done = ask(prepared(lab, store={"path": tmp_path / "bad.db"}), code=SYSTEM)
    assert "file is not a database" in done.stderr and done.stdout == ""
    assert sorted(os.listdir(tmp_path)) == ["bad.db"]     # nothing is put aside, nothing is made
    written(quiet, {})
    quiet.store_path.chmod(0o600)
    quiet.directory.chmod(0o755)
    done = subprocess.run([str(program()), "ledger", "-c", str(quiet.config_path)], capture_output=True,
                          text=True, timeout=60, check=False, user="nobody", group="nogroup", extra_groups=[])
    assert done.returncode in (SYSTEM, CONFIG) and done.stdout == "" and done.stderr


def test_without_a_store_there_is_none(lab):
    done = ask(prepared(lab, store={"path": ""}))
    assert "store.path is empty, so there is no ledger" in done.stderr
    assert done.stdout.startswith("no entry: ")


def test_a_wrong_configuration_is_said(quiet):
    quiet.config_path.write_text("usr = 1;\n", encoding="utf-8")
    assert "unknown key" in ask(quiet, code=CONFIG).stderr


def test_a_full_ledger_is_said_by_check(lab):
    daemon = written(prepared(lab, ledger={"entries": 100}), *({"recipient": f"b{i}@d.example"} for i in range(100)))
    done = subprocess.run([str(program()), "check", "-c", str(daemon.config_path)], capture_output=True,
                          text=True, timeout=60, check=False)
    assert "ledger.entries = 100: the ledger is FULL" in done.stderr
    assert "100 entries in the ledger" in done.stdout and done.returncode == OK
