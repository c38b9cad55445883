# SPDX-License-Identifier: Apache-2.0
"""Fault injection over legs (C-RCPT-05): one, two and three legs, each phase, each fault.

A test is one kind of fault at all phases and positions, run together against one daemon; lab/faults.py
says what has to hold, and names the case that failed.
"""

import pytest

from lab import faults
from lab.faults import Case, Fault
from lab.helpers import listener

ALL = list(faults.faults())
KINDS = sorted({f.kind for f in ALL})
LISTENERS = [listener(), listener("local", 2526, protocol="lmtp")]


def of_kind(kind):
    return [f for f in ALL if f.kind == kind]


def judged(failed):
    if failed:
        pytest.fail(f"{len(failed)} cases failed\n" + "\n".join(failed), pytrace=False)


def other(fault, kind_of_other):
    """A fault for a second leg, of another kind and another phase."""
    at = (ALL.index(fault) + kind_of_other) % len(ALL)
    while ALL[at].phase == fault.phase or ALL[at].kind == fault.kind or ALL[at].kind == "stall":
        at = (at + 1) % len(ALL)
    return ALL[at]


@pytest.mark.parametrize("kind", KINDS)
def test_c_rcpt_05_one_leg(scene, kind):
    farm, tlsmend = faults.prepared(scene)
    judged(faults.run(tlsmend, scene.net.client,
                      [Case(farm, 1, {0: f}, users=2, **faults.variety()) for f in of_kind(kind)]))


@pytest.mark.parametrize("kind", KINDS)
def test_c_rcpt_05_one_of_two_legs(scene, kind):
    farm, tlsmend = faults.prepared(scene)
    cases = [Case(farm, 2, {leg: f}, users=1 + leg, **faults.variety()) for f in of_kind(kind) for leg in (0, 1)]
    judged(faults.run(tlsmend, scene.net.client, cases))


@pytest.mark.parametrize("kind", KINDS)
def test_c_rcpt_05_one_of_three_legs(scene, kind):
    farm, tlsmend = faults.prepared(scene)
    cases = [Case(farm, 3, {leg: f}, users=1 + leg // 2, **faults.variety()) for f in of_kind(kind) for leg in (0, 2)]
    judged(faults.run(tlsmend, scene.net.client, cases))


@pytest.mark.parametrize("kind", KINDS)
def test_c_rcpt_05_two_of_three_legs_with_different_faults(scene, kind):
    farm, tlsmend = faults.prepared(scene)
    cases = [Case(farm, 3, {i % 3: f, (i + 1 + i % 2) % 3: other(f, 7)}, **faults.variety())
             for i, f in enumerate(of_kind(kind))]
    judged(faults.run(tlsmend, scene.net.client, cases))


@pytest.mark.parametrize("legs", [1, 2, 3])
def test_c_rcpt_05_a_lasting_refusal_is_a_bounce_with_the_words_of_the_mx(scene, legs):
    """Nobody is delivered there, nobody is told anything else, and the others get theirs once."""
    farm, tlsmend = faults.prepared(scene)
    lasting = [Fault(phase, "5xx", lasting=True) for phase in ("mail", "rcpt", "data", "final")]
    cases = [Case(farm, legs, {leg: f}, users=2, **faults.variety())
             for f in lasting for leg in {0, legs - 1} for _ in range(4)]
    failed = faults.run(tlsmend, scene.net.client, cases, limit=10)
    for case in cases:
        (leg,) = case.positions
        told = set(case.client.bounced)
        if told != set(case.recipients_of(leg)):
            failed.append(f"{case.name}: bounced are {told}")
    judged(failed)


@pytest.mark.parametrize("legs", [2, 3])
def test_c_rcpt_05_all_legs_fail_in_the_same_way(scene, legs):
    farm, tlsmend = faults.prepared(scene)
    some = [f for f in ALL if f.kind in ("5xx", "421", "close") and f.phase in ("rcpt", "data", "body", "final")]
    judged(faults.run(tlsmend, scene.net.client,
                      [Case(farm, legs, dict.fromkeys(range(legs), f), **faults.variety()) for f in some]))


@pytest.mark.parametrize("protocol", ["lmtp", "prdr"])
def test_c_rcpt_05_clients_that_get_a_reply_for_each_recipient(scene, protocol):
    farm, tlsmend = faults.prepared(scene, listeners=LISTENERS)
    some = [f for f in ALL if f.phase in ("greeting", "rcpt", "data", "body", "final")]
    cases = [Case(farm, 1 + i % 3, {i // 3 % (1 + i % 3): f}, users=2, protocol=protocol)
             for i, f in enumerate(some)]
    cases += [Case(farm, 3, {0: f, 2: other(f, 5)}, protocol=protocol) for f in some if f.phase in ("data", "final")]
    listener = ("127.0.0.1", 2526) if protocol == "lmtp" else None
    judged(faults.run(tlsmend, scene.net.client, cases, listener=listener))
