# SPDX-License-Identifier: Apache-2.0
"""MTA-STS with many sessions and many domains: one fetch for all who ask, a bound for all fetches, and
no herd at a start (C-STS-04, C-STS-09)."""

import concurrent.futures
import contextlib
import sqlite3
import threading
import time

import pytest

from lab import smtpc
from lab.helpers import SENDER
from lab.hostile import Each
from lab.https import ScriptedHttps
from lab.policed import ELSEWHERE, Policed
from lab.process import wait_for
from lab.sts import policy_text

TEXT = policy_text(mx=[ELSEWHERE], max_age=10 * 86400)


class Crowd:
    """One HTTPS server that is the policy host of many domains, and counts how many ask at a time."""

    def __init__(self, scene, mx, count, hold=0.2):
        self.domains = [scene.domain() for _ in range(count)]
        self._lock, self._hold = threading.Lock(), hold
        self._here, self.most = [], 0
        names = [f"mta-sts.{d.name}" for d in self.domains]
        self.server = scene.add("https crowd", ScriptedHttps(
            scene.net, chain=scene.pki.leaf("crowd.example", "good", names=names), policy=lambda: TEXT,
            replies={"connect": self._enter}))
        changes = []
        for domain in self.domains:
            changes += [("add", domain.name, "MX", f"10 {mx.host}."),
                        ("add", f"_mta-sts.{domain.name}", "TXT", '"v=STSv1; id=1;"'),
                        ("add", f"mta-sts.{domain.name}", "A", self.server.addresses[0])]
        scene.dns.update(changes)

    def _enter(self, c):
        with self._lock:
            self._here.append(c)
            # A fetch that was given up is none any more, though we still hold its connection.
            self.most = max(self.most, sum(not one.left() for one in self._here))
        try:
            c.act(self._hold)   # so that those who come together are seen together
        finally:
            with self._lock:
                self._here.remove(c)

    def asked(self):
        """How often each policy host was asked."""
        hosts = [r.host for r in list(self.server.requests)]
        return {d.name: hosts.count(f"mta-sts.{d.name}") for d in self.domains}


def send_all(scene, tlsmend, domains):
    """A mail to each domain, all at the same time; the replies that decide."""
    ready = threading.Barrier(len(domains))

    def one(domain):
        with smtpc.SmtpClient(scene.net.client, *tlsmend.listener) as c:
            c.ehlo()
            ready.wait(20)
            return c.deliver(SENDER, domain.address(), smtpc.message())

    with concurrent.futures.ThreadPoolExecutor(len(domains)) as pool:
        return list(pool.map(one, domains))


@pytest.mark.parametrize("workers", [1, 2])
def test_c_sts_04_thirty_sessions_to_a_new_domain_make_one_fetch(scene, workers):
    """All of them wait for it, and all of them come under the policy."""
    policed = Policed(scene, workers=workers)
    crowd = Crowd(scene, policed.mx, 1)
    replies = send_all(scene, policed.tlsmend, crowd.domains * 30)
    assert [r.code for r in replies] == [451] * 30 and policed.mx.records == []
    assert crowd.asked() == {crowd.domains[0].name: 1}


@pytest.mark.parametrize("workers", [1, 2])
def test_c_sts_04_a_bound_for_all_fetches(scene, workers):
    """Forty new domains at once: each is fetched once, and never more than mta_sts.fetches at a time."""
    policed = Policed(scene, workers=workers, mta_sts={"fetches": 6, "timeout": "60s"})
    crowd = Crowd(scene, policed.mx, 40, hold=0.05)
    replies = send_all(scene, policed.tlsmend, crowd.domains)
    assert [r.code for r in replies] == [451] * 40 and policed.mx.records == []
    assert set(crowd.asked().values()) == {1}
    assert 1 < crowd.most <= 6


def test_c_sts_04_too_many_to_wait_for(scene):
    """A fetch that finds no place in time is a failure like others: told, and mail goes on."""
    policed = Policed(scene, workers=1, mta_sts={"fetches": 1, "timeout": "3s"})
    crowd = Crowd(scene, policed.mx, 6, hold=Each(0.3, 60))   # one is answered, none behind it
    replies = send_all(scene, policed.tlsmend, crowd.domains)
    assert {r.code for r in replies} == {250, 451}
    told = policed.tlsmend.wait_records("sts", outcome="fetch-failed")
    assert any("mta_sts.fetches" in r["detail"] for r in told)
    assert crowd.most == 1


def fill_store(path, domains, age):
    """Policies that were fetched so long ago, in the file of a daemon that is not running."""
    now = int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO policies (domain, id, fetched, used, body) VALUES (?, '1', ?, ?, ?)",
                       [(d, now - age * 1000, now, TEXT) for d in domains])


def test_c_sts_09_no_herd_at_a_start(scene):
    """Sixty domains are due when the daemon starts: they are refreshed without mail, a few at a
    time, and mail does not wait for them."""
    mx = scene.hostile(scene.domain())
    policed = Policed(scene, mta_sts={"fetches": 6, "refresh": "1h", "timeout": "10s"})
    policed.tlsmend.stop()
    crowd = Crowd(scene, mx, 60, hold=0.02)
    plain = scene.domain()
    plain.mx(policed.mx.host)
    fill_store(policed.tlsmend.store_path, [d.name for d in crowd.domains], 3 * 86400)
    policed.tlsmend.start()
    assert policed.send(plain).code == 250
    wait_for(lambda: f"some refreshes: {crowd.asked()}", lambda: sum(crowd.asked().values()) >= 4)
    assert crowd.most <= 2 and max(crowd.asked().values()) == 1
    assert policed.send(plain).code == 250
    assert {r["occasion"] for r in policed.tlsmend.records("sts")} == {"refresh"}
    capture = scene.capture()
    assert policed.send(crowd.domains[-1]).code == 451   # in force from the store, whether refreshed or not
    assert capture.flows(25) == []
