# SPDX-License-Identifier: Apache-2.0
"""tlsmend ends in the middle (C-OPS-01, C-OPS-02, C-RCPT-05): kill -9 at chosen and at random moments, SIGTERM;
started again on the same store.

What may go out twice then is bounded: a message that an MX has taken, when tlsmend was killed less than a second
later, before the client was told and before the entry was on the disk. Nobody can close that window (RFC 1047).
"""

import concurrent.futures
import random
import threading
import time

import pytest

from lab import faults, smtpc
from lab.helpers import SLOW
from lab.hostile import Each
from lab.legacy import Legacy
from lab.process import wait_for

EARLY = 1.0   # an MX has said 250 and another is silent: after so long the entry is written


def prepared(scene, legs, **settings):
    farm, tlsmend = faults.prepared(scene, **settings)
    sinks = farm.sinks(legs)
    client = Legacy(tlsmend, scene.net.client, [s.domain.address() for s in sinks],
                    smtpc.message(subject=sinks[0].host, body=b"x" * 600 + b"\r\n"))
    return tlsmend, sinks, client


def delivered_on_disk(tlsmend):
    if not tlsmend.store_path.exists():
        return set()   # a moment after the start
    return {r for (r,) in tlsmend.sql("SELECT recipient FROM ledger WHERE outcome = 'delivered'")}


def in_background(client):
    thread = threading.Thread(target=client.turn, daemon=True)
    thread.start()
    return thread


def each_got_one(sinks, client):
    client.run()
    assert set(client.delivered) == {s.domain.address() for s in sinks}, client.rounds
    assert [len(s.taken) for s in sinks] == [1] * len(sinks)


@pytest.mark.parametrize("others", [1, 2])
def test_c_ops_01_kill_while_one_mx_has_the_message_and_another_is_silent(scene, others):
    tlsmend, sinks, client = prepared(scene, 1 + others, timeouts={"final": "30s"})
    sinks[-1].fault({"final": Each(None, sinks[-1].replies_honestly)})
    thread = in_background(client)
    due = {s.domain.address() for s in sinks[:-1]}
    wait_for(lambda: f"the entries of {due}\n{tlsmend.tail()}", lambda: delivered_on_disk(tlsmend) == due)
    tlsmend.crash()
    thread.join()
    each_got_one(sinks, client)


def test_c_ops_01_kill_at_the_moment_of_the_451(scene):
    """The client has the 451 in its hands: from then on the entries have to be there."""
    tlsmend, (good, bad), client = prepared(scene, 2)
    bad.fault({"final": Each("451 4.7.1 later", bad.replies_honestly)})
    client.turn()
    tlsmend.kill()
    assert delivered_on_disk(tlsmend) == {good.domain.address()}
    tlsmend.start()
    each_got_one((good, bad), client)


MOMENTS = ("mail", "rcpt", "data", "body")


@pytest.mark.parametrize("legs", [1, 3])
def test_c_ops_01_kill_before_the_dot(scene, legs):
    """One after the other on one daemon: an MX holds still there, and tlsmend is killed."""
    farm, tlsmend = faults.prepared(scene)
    for moment in MOMENTS:
        sinks = farm.sinks(legs)
        client = Legacy(tlsmend, scene.net.client, [s.domain.address() for s in sinks],
                        smtpc.message(subject=sinks[0].host))
        killed = threading.Event()
        if moment == "body":
            client.in_body = lambda _, killed=killed: killed.wait(10)
        else:
            sinks[-1].fault({moment: None})
        thread = in_background(client)
        wait_for(moment, lambda sinks=sinks, moment=moment: moment == "body" and all(s.saw("DATA") for s in sinks)
                 or sinks[-1].fired)
        tlsmend.kill()
        killed.set()
        sinks[-1].heal()
        tlsmend.start()
        thread.join()
        assert not any(s.taken for s in sinks), moment
        each_got_one(sinks, client)


@pytest.mark.parametrize("legs", [1, 2, 3])
def test_c_ops_02_sigterm_while_an_mx_is_silent(scene, legs):
    """The grace is over before it answers: what the others took is in the ledger, and the doubt in the log."""
    tlsmend, sinks, client = prepared(scene, legs, timeouts={"final": "30s", "shutdown_grace": "500ms"})
    sinks[-1].fault({"final": Each([lambda c: sinks[-1].take(c, "cut"), None], sinks[-1].replies_honestly)})
    thread = in_background(client)
    for sink in sinks:
        sink.wait_taken()
    time.sleep(0.1 * SLOW)   # the 250 of the others is on its way
    tlsmend.stop()
    thread.join()
    assert delivered_on_disk(tlsmend) == {s.domain.address() for s in sinks[:-1]}
    (doubt,) = tlsmend.records("result", status="maybe-delivered")
    assert doubt["recipient"] == sinks[-1].domain.address()
    tlsmend.start()
    client.run()
    assert [len(s.taken) for s in sinks] == [1] * (legs - 1) + [2]
    assert len(client.delivered) == legs


def test_c_ops_02_sigterm_lets_a_transaction_end(scene):
    tlsmend, sinks, client = prepared(scene, 2, timeouts={"shutdown_grace": "20s"})
    for sink in sinks:
        sink.fault({"final": [0.7, sink.replies_honestly]})
    thread = in_background(client)
    wait_for("the dots", lambda: all(s.fired for s in sinks))
    tlsmend.stop()
    thread.join()
    assert len(client.delivered) == 2 and not client.left
    assert not delivered_on_disk(tlsmend)


class Killer:
    """Kills and starts the daemon at random; what was on the disk each time."""

    def __init__(self, tlsmend, seed, count, apart):
        self._tlsmend, self._random, self._count, self._apart = tlsmend, random.Random(seed), count, apart
        self.serves, self.kills = threading.Event(), []   # (time, recipients on the disk)
        self.serves.set()

    def run(self):
        for _ in range(self._count):
            time.sleep(self._random.uniform(*self._apart))
            self.serves.clear()
            try:
                self._tlsmend.kill()
                self.kills.append((time.time(), delivered_on_disk(self._tlsmend)))
                self._tlsmend.start()
            finally:
                self.serves.set()

    def excuses(self, recipient, taken):
        """Whether a kill explains that they got the message again after this one."""
        return any(0 <= at - taken.time <= (EARLY + 1) * SLOW and recipient not in disk for at, disk in self.kills)


def habits(sink, n, seed):
    """How an MX of the random run answers the dot the first times."""
    honest, rng = sink.replies_honestly, random.Random(seed * 1000 + n)
    later = f"451 4.7.1 {sink.host} later"
    return {"final": [[honest], [Each([rng.uniform(0, 0.4), honest])],
                      [Each(later, [rng.uniform(0, 1.6), honest], honest)],
                      [Each([1.3, later], [0.2, later], honest)]][n % 4]}


@pytest.mark.parametrize("seed", [1, 2])
def test_c_ops_01_kill_at_random_moments(scene, seed):
    farm, tlsmend = faults.prepared(scene)
    killer = Killer(tlsmend, seed, 6, (0.2, 1.6 * SLOW))
    cases = []
    for n in range(14):
        sinks = farm.sinks(1 + n % 3)
        for i, sink in enumerate(sinks):
            sink.fault(habits(sink, n // 3 + i, seed))
        cases.append((sinks, Legacy(tlsmend, scene.net.client, [s.domain.address() for s in sinks],
                                    smtpc.message(subject=sinks[0].host),
                                    before=lambda _: killer.serves.wait(30), ident=f"R{n}" if n % 2 else None)))
    with concurrent.futures.ThreadPoolExecutor(25) as pool:
        kills = pool.submit(killer.run)
        turns = [pool.submit(client.run, 60) for _, client in cases]
        for future in [*turns, kills]:
            future.result()
    wrong = [w for sinks, client in cases for sink in sinks for w in judge(sink, client, killer)]
    assert not wrong, "\n".join(wrong)
    assert len(killer.kills) == 6


def judge(sink, client, killer):
    recipient = sink.domain.address()
    if recipient not in client.delivered or not sink.taken:
        yield f"lost: {recipient}; {client.rounds[-1]}"
    for first, again in zip(sink.taken, sink.taken[1:]):
        if not killer.excuses(recipient, first):
            kills = [at for at, _ in killer.kills]
            yield f"twice: {recipient} at {first.time:.3f} and {again.time:.3f}, kills at {kills}"
