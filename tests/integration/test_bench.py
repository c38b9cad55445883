# SPDX-License-Identifier: Apache-2.0
"""The bench's load generator and sink (bench/README.md) with tlsmend between them, in small: every message is
delivered once.  Counts are asserted, never times."""

import sys
import threading

import pytest

from lab.tlsmend import ROOT, program

sys.path.insert(0, str(ROOT / "bench"))

from measure import Load, Sink, lost_and_twice  # noqa: E402  # after the path is set

DOMAINS = 20


class Bench:
    """A sink that is the MX of d0.NAME, d1.NAME, ..., and loads for a daemon."""

    def __init__(self, scene, **settings):
        beside = program().resolve().parent / "bench"
        self._programs = beside if (beside / "load").exists() else ROOT / "build/release/bench"
        self._scene = scene
        address = scene.net.new_host()[0]
        self._domain = scene.domain()
        host = self._domain.host("mx", address)
        for n in range(DOMAINS):
            self._domain.add("MX", f"10 {host}.", label=f"d{n}")
        self.sink = scene.add("sink", Sink(self._programs, scene.net.internet, scene.pki.chain("good", host),
                                           address=address))
        self.tlsmend = scene.tlsmend(**settings)
        self.results, self._first = [], 0

    def load(self, total, **options):
        address, port = self.tlsmend.listener
        load = Load(self._programs, self._scene.net.client, to=address, port=port, domain=self._domain.name,
                    domains=DOMAINS, first=self._first, total=total, timeout=60, **options)
        self._first += total
        return load

    def finished(self, load):
        """Its result; everything that was handed in is settled."""
        result = load.wait()
        self.results.append(result)
        assert result["unsettled"] == result["broken"] == result["unknown"] == 0, result
        return result

    def judged(self, delivered):
        """The sink has these messages and no other, each once, whole, over TLS."""
        counts = self.sink.counts()
        assert lost_and_twice(self.results, counts) == (0, 0)
        assert counts["messages"] == delivered
        for what in ("twice", "strange", "damaged", "cut", "clear", "wrong", "tls_failures"):
            assert counts[what] == 0, (what, counts)
        return counts


def delivered_all(result):
    return result["delivered"] == result["messages"] and result["refused"] == {}


@pytest.mark.parametrize("each", [1, 20])
def test_closed_loop_delivers_everything_once(scene, each):
    bench = Bench(scene)
    assert delivered_all(bench.finished(bench.load(600, clients=20, each=each)))
    assert delivered_all(bench.finished(bench.load(100, clients=5, each=each, step=True, size=100_000)))
    bench.judged(700)


def test_open_loop_delivers_everything_once(scene):
    bench = Bench(scene)
    assert delivered_all(bench.finished(bench.load(200, rate=200, clients=100)))
    bench.judged(200)


def test_standing_sessions_deliver_and_the_next_hears_why(scene):
    bench = Bench(scene, limits={"sessions": 100})
    load = bench.load(100, park=True)
    assert load.parked() == 100
    turned_away = bench.finished(bench.load(5, clients=1))
    assert turned_away["delivered"] == 0 and set(turned_away["refused"]) <= {"451", "421"}
    load.release()
    assert delivered_all(bench.finished(load))
    assert bench.judged(100)["most_open"] >= 100


def test_a_crowd_that_gets_on_keeps_nobody_out(scene):
    """200 clients who say NOOP without a pause are more than a worker takes up at a time; whoever comes meanwhile, and
    they all, are greeted all the same (docs/performance.md, "The pace")."""
    tlsmend = scene.tlsmend(workers=1)
    over, crowd = threading.Event(), []

    def chatter(part):
        while not over.is_set():
            for sock in part:
                try:
                    sock.send(b"NOOP\r\n")
                    sock.recv(65536)
                except (BlockingIOError, OSError):
                    pass

    try:
        for _ in range(200):
            crowd.append(scene.client(tlsmend))
            crowd[-1].sock.setblocking(False)
        threads = [threading.Thread(target=chatter, args=([c.sock for c in crowd],))]
        for thread in threads:
            thread.start()
        for _ in range(20):
            with scene.client(tlsmend, timeout=10) as c:
                assert c.ehlo().code == 250
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for c in crowd:
            c.close()
