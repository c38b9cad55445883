# SPDX-License-Identifier: Apache-2.0
"""What a hostile reading of the many-legs code found: each was wrong once."""

from lab import faults, smtpc
from lab.hostile import Each
from lab.legacy import Legacy


def test_c_rcpt_03_no_more_recipients_than_the_ledger_has_room_for(scene):
    """Also of a destination that is open already."""
    farm, tlsmend = faults.prepared(scene, ledger={"entries": 100})
    good, bad = farm.sinks(2)
    bad.fault({"final": Each("451 4.3.0 later")})
    recipients = [bad.domain.address(), *(good.domain.address(f"u{i}") for i in range(120))]
    client = Legacy(tlsmend, scene.net.client, recipients, smtpc.message(subject=good.host), pipelining=True)
    client.turn()
    assert not [r for r in tlsmend.records("ledger") if r.get("state") == "full"]
    bad.heal()
    client.run(12)
    assert not client.left and not client.bounced and not client.complaints
    assert {good.count(r) for r in recipients[1:]} == {1} and bad.count(recipients[0]) == 1
