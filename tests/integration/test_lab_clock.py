# SPDX-License-Identifier: Apache-2.0
"""The lab's clock that can be turned, and the daemon that is killed and started again."""

import datetime
import pathlib
import subprocess
import time

import pytest

from lab import smtpc
from lab.clock import Clock, seconds

CLOCKS = """
import sys, time
for line in sys.stdin:
    print(time.time(), time.monotonic(), flush=True)
"""


def mail(scene, tlsmend, domain):
    with scene.client(tlsmend) as c:
        c.ehlo()
        return c.deliver("a@client.lab.example", domain.address(), smtpc.message()).code


def when(record):
    """A record's time as a number."""
    return datetime.datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp()


def test_offsets():
    assert [seconds(o) for o in ("+25h", "181d", "-1d", "90s", 5)] == [90000, 181 * 86400, -86400, 90, 5]
    with pytest.raises(ValueError):
        seconds("soon")


@pytest.mark.parametrize("kind", ["wall", "both"])
def test_a_clock_for_any_program(tmp_path, kind):
    clock = Clock(tmp_path, kind)

    def look(p):
        p.stdin.write("now\n")
        p.stdin.flush()
        return map(float, p.stdout.readline().split())

    with subprocess.Popen(["/usr/bin/python3", "-c", CLOCKS], env=clock.environment(), text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        wall, monotonic = look(p)
        assert abs(wall - time.time()) < 5
        clock.turn("+25h")
        wall, later = look(p)
        assert abs(wall - clock.now()) < 5 and abs(clock.now() - time.time() - 90000) < 1
        assert abs(later - monotonic - (90000 if kind == "both" else 0)) < 5
        p.stdin.close()
    clock.clean(p.pid)
    assert not list(pathlib.Path("/dev/shm").glob(f"*faketime_*_{p.pid}"))


@pytest.mark.parametrize("kind", ["wall", "both"])
def test_tlsmend_sees_the_turned_clock(scene, kind):
    """Also DNSSEC and certificates are judged by it: the lab's signatures last, its certificates end."""
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain)
    tlsmend = scene.tlsmend(clock=kind)
    assert mail(scene, tlsmend, domain) == 250
    for count, turn in enumerate(("+25h", "181d"), 2):
        tlsmend.clock.turn(turn)
        assert mail(scene, tlsmend, domain) == 250
        assert abs(when(tlsmend.attempts(count)[-1]) - tlsmend.clock.now()) < 10
    tlsmend.clock.turn("+400d")
    tlsmend.crash()
    assert mail(scene, tlsmend, domain) == 451
    assert tlsmend.attempts(4)[-1]["reason"] == "expired"
    pid = tlsmend.pid
    tlsmend.stop()
    assert not list(pathlib.Path("/dev/shm").glob(f"*faketime_*_{pid}"))


def test_killed_and_started_again(scene):
    domain = scene.domain()
    scene.hostile(domain)
    tlsmend = scene.tlsmend(mta_sts={"refresh": "10m"})
    first = tlsmend.pid
    assert mail(scene, tlsmend, domain) == 250
    assert tlsmend.result()   # what was not written yet is lost with the process
    tlsmend.crash()
    assert tlsmend.pid != first and mail(scene, tlsmend, domain) == 250
    assert len(tlsmend.results(2, status="delivered")) == 2


def test_each_daemon_has_a_store_of_its_own(scene):
    one = scene.tlsmend()
    two = scene.tlsmend(listeners=[{"name": "two", "protocol": "smtp", "address": "127.0.0.1", "port": 2600}])
    assert one.store_path != two.store_path and one.store_path.parent == one.directory
    assert f'path = "{one.store_path}"' in one.config_path.read_text(encoding="utf-8")
