# SPDX-License-Identifier: Apache-2.0
"""SIGUSR2: the record "status" tells what is held just now, by kind."""

import signal

from lab.helpers import SLOW, open_transaction
from lab.process import wait_for
from lab.warm import deliver, peer

KINDS = ("bytes_sessions", "bytes_transactions", "bytes_connections", "bytes_destinations")

SANITIZED = SLOW > 1   # then the allocator is another one, of which the C library knows nothing


def ask(daemon):
    """(of the process, sums over the workers)"""
    before = len(daemon.records("status"))
    daemon.send(signal.SIGUSR2)
    wait_for("a record of the process and of each worker",
             lambda: len(daemon.records("status")) == before + 3, 20)
    fresh = daemon.records("status")[before:]
    (process,) = [r for r in fresh if r["scope"] == "process"]
    workers = [r for r in fresh if r["scope"] == "worker"]
    assert sorted(w["worker"] for w in workers) == [0, 1]
    return process, {k: sum(w[k] for w in workers) for k in workers[0] if isinstance(workers[0][k], int)}


def test_status(scene, tlsmend):
    domain = scene.domain()
    peer(scene, domain)
    process, empty = ask(tlsmend)
    assert (process["workers"], process["sessions"], process["tls_sessions"]) == (2, 0, 0)
    assert not any(empty[k] for k in (*KINDS[:3], "connections", "destinations"))
    assert process["bytes_resident"] > process["bytes_heap"] and process["descriptors"] > 10
    assert process["bytes_heap"] > 0 or SANITIZED

    deliver(scene, tlsmend, domain)
    process, warm = ask(tlsmend)
    assert (warm["connections"], warm["connections_idle"], warm["destinations"]) == (1, 1, 1)
    assert process["tls_sessions"] > 0 and process["bytes_tls_sessions"] > 0
    assert warm["bytes_connections"] > 0 and warm["bytes_destinations"] > empty["bytes_destinations"]
    assert not warm["bytes_transactions"]

    with open_transaction(scene, tlsmend, domain):
        process, parked = ask(tlsmend)
        assert process["sessions"] == parked["sessions"] == 1
        assert parked["connections_idle"] == parked["connections"] - 1
        assert all(parked[k] > 0 for k in KINDS), parked
        assert sum(parked[k] for k in KINDS) < process["bytes_heap"] or SANITIZED
        assert parked["connections_reused"] + parked["connections_opened"] == 2
