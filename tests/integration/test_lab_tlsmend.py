# SPDX-License-Identifier: Apache-2.0
"""How the lab starts the daemon, and what it looks for at its end."""

import pytest

from lab.helpers import prepared

BLOCKED = "tlsmend: loop blocked for 63 ms in stream.c:work (deferred)"


def say(daemon, line):
    with open(daemon.directory / "stderr.log", "a", encoding="utf-8") as log:
        log.write(f"something else\n{line}\n")


@pytest.mark.parametrize("end", ["stop", "kill", "restart", "crash", "wait_end", "behind the end"])
def test_a_blocked_loop_fails_the_test(lab, end):
    """Once for each time that it was blocked, and with the words of the watchdog."""
    daemon = prepared(lab).start()
    ends = {"wait_end": lambda: (daemon.send(15), daemon.wait_end(10)), "behind the end": daemon.stop}
    if end == "behind the end":
        daemon.stop()
    say(daemon, BLOCKED)
    with pytest.raises(AssertionError, match=r"loop blocked for 63 ms in stream\.c:work"):
        ends.get(end, lambda: getattr(daemon, end)())()
    assert not daemon.running()
    daemon.stop()


def test_a_turned_clock_is_no_blocked_loop(scene):
    daemon = scene.tlsmend(clock="both")
    say(daemon, BLOCKED.replace("63", "90000000"))
    daemon.stop()
    say(daemon, BLOCKED)
    with pytest.raises(AssertionError, match="loop blocked for 63 ms"):
        daemon.stop()


def test_other_words_on_stderr_fail_nothing(lab):
    daemon = prepared(lab).start()
    say(daemon, "said: tlsmend: loop blocked for 63 ms")
    daemon.stop()


def test_a_start_is_over_when_the_daemon_serves(lab, scene):
    """The store is there, and the first client is greeted at once; nobody was there before it."""
    daemon = scene.add("tlsmend", prepared(lab).start())
    assert daemon.manager.said == ["READY=1"] and daemon.store_path.exists()
    with scene.client(daemon) as c:
        c.ehlo()
        assert c.cmd("QUIT").code == 221
    assert len(daemon.wait_records("session")) == 1


def test_a_daemon_that_does_not_start_is_shown(lab):
    daemon = prepared(lab, tls={"level": "verfy"})
    with pytest.raises(AssertionError, match=r"(?s)tlsmend ended early:.*verfy"):
        daemon.start()
    assert not daemon.running()
