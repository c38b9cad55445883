# SPDX-License-Identifier: Apache-2.0
"""The ledger and its disk (C-RCPT-03, C-OPS-03): without it a transaction has one destination, and never a guess."""

import contextlib
import os
import shutil
import sqlite3
import threading
import time

import pytest

from lab import faults, smtpc
from lab.hostile import Each
from lab.legacy import Legacy
from lab.mixed import GREY, Mixed, a
from lab.process import wait_for


@contextlib.contextmanager
def locked(path, reading=False):
    """Another program writes to the file and does not end; `reading`: nobody can read it either."""
    connection = sqlite3.connect(path, timeout=20, isolation_level=None)
    try:
        if reading:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


@contextlib.contextmanager
def deleted(path):
    """The directory is gone, and nothing can be made there."""
    aside = path.parent.with_name(path.parent.name + "-aside")
    aside.mkdir()
    for file in path.parent.glob(path.name + "*"):
        file.unlink()
    path.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(path)
        aside.rmdir()


def one_destination(m, client):
    """The second domain hears ledger-unavailable, and all are delivered in the end."""
    turn = client.turn()
    codes = [turn.rcpt[r].code for r in turn.recipients]
    assert codes == [250] + [451] * (len(codes) - 1), str(turn)
    assert turn.rcpt[turn.recipients[1]].text.startswith("4.3.2")
    assert m.tlsmend.results(recipient=turn.recipients[1], reason="ledger-unavailable")
    client.run()
    assert not client.left


def works_again(m):
    """A transaction with two legs that differ; tried again while the store finds its way back."""
    good, later = m.farm.sinks(2)
    later.fault({"final": Each(GREY, later.replies_honestly)})
    for _ in range(40):
        client = Legacy(m.tlsmend, m.scene.net.client, [a(good), a(later)], smtpc.message(subject=later.host))
        if client.turn().rcpt[a(later)].code == 250:
            break
        time.sleep(0.25)   # a try to write is due every second or so
    assert client.rounds[0].final[a(later)].code == 451
    assert m.entries()[a(good)] == "delivered"
    client.run()
    assert not client.left


def healthy(scene, tlsmend, farm, count=2):
    sinks = farm.sinks(count)
    return sinks, Legacy(tlsmend, scene.net.client, [a(s) for s in sinks], smtpc.message(subject=sinks[0].host))


def test_c_rcpt_03_without_a_store_a_transaction_has_one_destination(scene):
    farm, tlsmend = faults.prepared(scene, store={"path": ""})
    sinks, client = healthy(scene, tlsmend, farm, 3)
    turn = client.turn()
    assert [turn.rcpt[a(s)].code for s in sinks] == [250, 451, 451]
    assert turn.final[a(sinks[0])].text == f"2.0.0 taken by {sinks[0].host}", "one leg is verbatim"
    client.run()
    assert {len(s.taken) for s in sinks} == {1} and not client.left
    assert len(tlsmend.results(3, reason="ledger-unavailable")) == 3


@pytest.mark.parametrize("protocol", ["lmtp", "prdr"])
def test_c_rcpt_02_without_a_store_clients_with_a_reply_for_each_have_all_legs(scene, protocol):
    listeners = [{"name": "l", "protocol": "lmtp" if protocol == "lmtp" else "smtp", "address": "127.0.0.1",
                  "port": 2525}]
    farm, tlsmend = faults.prepared(scene, store={"path": ""}, listeners=listeners)
    sinks = farm.sinks(3)
    client = Legacy(tlsmend, scene.net.client, [a(s) for s in sinks], smtpc.message(), protocol=protocol).run(1)
    assert set(client.delivered) == {a(s) for s in sinks}


def test_c_rcpt_03_the_451_waits_for_the_disk(scene):
    """The file is taken for a moment, which the store waits out: the client waits with it, unless the store gave up."""
    m = Mixed(scene)
    m.tlsmend.wait_records("store", state="open")
    with locked(m.tlsmend.store_path):
        thread = threading.Thread(target=m.client.turn, daemon=True)
        thread.start()
        wait_for("the answers of the MXs", lambda: m.good.taken and all(s.dots() for s in m.sinks))
        time.sleep(0.1)
        told = dict(m.client.rounds[0].final)
    thread.join()
    assert {r.code for r in m.client.rounds[0].final.values()} == {451}
    (record,) = [r for r in m.tlsmend.wait_records("ledger") if r["entries"] == 3]
    assert not told or record["state"] == "failed"
    assert record["state"] == "failed" or record["took"] >= 50 and m.entries() == m.due_entries()


@pytest.mark.parametrize("trouble", [locked, deleted])
def test_c_ops_03_a_store_that_cannot_be_written(scene, trouble):
    m = Mixed(scene, order="good later bad")
    m.tlsmend.wait_records("store", state="open")
    with trouble(m.tlsmend.store_path):
        turn = m.client.turn()   # nobody knows of the trouble before the entries are due
        assert {r.code for r in turn.final.values()} == {451}
        (record,) = m.tlsmend.wait_records("ledger", state="failed")
        assert record["entries"] == 3 and record["hint"]
        assert m.tlsmend.wait_records("store", state="failed")[0]["hint"]
        one_destination(m, healthy(scene, m.tlsmend, m.farm)[1])
        m.later.heal()
        retry = m.legacy(recipients=[a(m.good)]).run(1)
        assert retry.delivered and len(m.good.taken) == 1, "memory still knows"
        m.client.left.remove(a(m.good))
    m.client.run(12)
    assert not m.client.left and len(m.later.taken) == 1
    works_again(m)
    assert m.tlsmend.records("store", state="recovered")


def test_c_ops_03_what_memory_held_is_written_when_the_disk_is_back(scene):
    m = Mixed(scene)
    m.tlsmend.wait_records("store", state="open")
    with locked(m.tlsmend.store_path):
        m.client.turn()
        m.tlsmend.wait_records("ledger", state="failed")
    wait_for(lambda: f"the entries on the disk\n{m.tlsmend.tail()}", lambda: m.entries() == m.due_entries(), 30)
    m.tlsmend.crash()
    m.later.heal()
    m.client.run()
    assert len(m.good.taken) == len(m.later.taken) == 1 and set(m.client.bounced) == {a(m.bad)}


def test_c_ops_03_the_file_is_removed_between_message_and_retry(scene):
    """Memory knows, and the file is made anew from it."""
    m = Mixed(scene)
    m.first()
    for file in m.tlsmend.store_path.parent.glob(m.tlsmend.store_path.name + "*"):
        os.unlink(file)
    m.later.heal()
    m.client.run()
    assert len(m.good.taken) == len(m.later.taken) == 1 and not m.client.left
    works_again(m)


def test_c_rcpt_03_a_full_ledger(scene):
    """limits of the table: one destination, until there is room."""
    m = Mixed(scene, settings={"ledger": {"entries": 100}})
    many = [a(s, f"user{i}") for s in (m.good, m.later) for i in range(50)]
    first = m.legacy(recipients=many)
    assert {r.code for r in first.turn().final.values()} == {451}
    assert len(m.entries()) == 100
    one_destination(m, healthy(scene, m.tlsmend, m.farm)[1])
    m.later.heal()
    first.run()
    assert not first.left and len(m.good.taken) == 1
    m.until_empty()
    works_again(m)


def test_c_ops_03_a_store_that_cannot_be_written_at_the_start_is_read_all_the_same(scene):
    m = Mixed(scene, order="good later bad")
    m.first()
    m.tlsmend.kill()
    with locked(m.tlsmend.store_path):
        m.tlsmend.start()
        turn = m.client.turn()
        assert len(m.good.taken) == 1, str(turn)
    m.later.heal()
    m.client.run(20)
    assert len(m.good.taken) == len(m.later.taken) == 1 and not m.client.left


def test_c_ops_03_a_store_that_cannot_be_read_at_the_start(scene):
    """Nothing is lost, nobody is told a reply of another message, and there is one destination until it was read."""
    m = Mixed(scene, order="later good bad")
    m.first()
    m.tlsmend.kill()
    m.heal()
    with locked(m.tlsmend.store_path, reading=True):
        m.tlsmend.start()
        assert m.tlsmend.wait_records("store", state="memory")[0]["hint"]
        turn = m.client.turn()
        assert [turn.rcpt[a(s)].code for s in m.sinks] == [250, 451, 451], str(turn)
        assert set(m.client.delivered) == {a(m.later)}
    m.tlsmend.wait_records("store", state="recovered", timeout=30)
    m.client.run(20)
    assert set(m.client.delivered) == {a(s) for s in m.sinks}
    assert [len(s.taken) for s in m.sinks] == [1, 1, 1], "the entry was read when it could be"
