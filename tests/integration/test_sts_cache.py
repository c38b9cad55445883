# SPDX-License-Identifier: Apache-2.0
"""MTA-STS: what is cached stays in force through failures, a restart and a crash; when it is fetched anew,
and when it ends (C-STS-06, 07, 09).  The failures of a fetch are in test_sts_fetch.py."""

import pytest

from lab.helpers import hup
from lab.policed import ELSEWHERE, Policed
from lab.process import wait_for
from lab.sts_failures import TXT_FAILURES

DAY, YEAR = 86400, 31557600


def skip(policed, domain):
    """The last record of a host that was passed over."""
    return policed.tlsmend.wait_records("skip", recipient_domain=domain.name)[-1]


@pytest.mark.parametrize("name", TXT_FAILURES)
def test_c_sts_01_and_06_a_record_that_fails_or_goes_ends_no_policy(scene, name):
    """Whoever can make the look-up fail must not switch the policy off."""
    failure = TXT_FAILURES[name]
    policed = Policed(scene, resolver={"timeout": "2s"})
    domain = policed.domain()
    assert policed.in_force(domain)
    failure.of(domain.policy)
    assert policed.in_force(domain)
    assert skip(policed, domain).get("sts_trouble") == failure.reason
    if failure.reason:
        told = policed.sts(domain, outcome="discovery-failed")
        assert (told["severity"], told["in_force"]) == ("warning", True) and failure.words in told["detail"]
    policed.fetched(domain, 1)


def test_c_sts_06_a_live_policy_does_not_wait_long_for_its_record(scene):
    """The name server is silent: the mail goes on under the policy, long before the resolver gives up."""
    policed = Policed(scene, resolver={"timeout": "60s"})
    domain = policed.domain(mx=[policed.mx.host])
    assert policed.send(domain).code == 250
    domain.policy.txt_fails("timeout")
    assert policed.send(domain).code == 250
    attempt = policed.attempt(domain)
    assert attempt["t_dns"] < 60000 and "no answer so far" in attempt["sts_trouble_detail"]
    assert (attempt["sts_id"], attempt["sts_outcome"]) == ("1", "ok")


def test_c_sts_06_testing_and_none_are_kept_too(scene):
    policed = Policed(scene)
    domain = policed.domain(mode="testing")
    assert policed.send(domain).code == 250
    domain.policy.no_txt()
    scene.nginx.stop()
    assert policed.send(domain).code == 250
    assert policed.attempt(domain)["sts_mode"] == "testing"


# -- ids (C-STS-07) -------------------------------------------------------------------------------

def test_c_sts_07_a_new_id_is_fetched_before_use(scene):
    """Both ways, with the first mail after the change."""
    policed = Policed(scene)
    domain = policed.domain()
    assert policed.in_force(domain)
    domain.policy.publish(id="2", mx=[policed.mx.host])
    assert policed.send(domain).code == 250 and policed.attempt(domain)["sts_id"] == "2"
    domain.policy.publish(id="3", mx=[ELSEWHERE])
    assert policed.in_force(domain)
    domain.policy.publish(id="1", mx=[policed.mx.host])   # an id is only another one, not a later one
    assert policed.send(domain).code == 250 and policed.attempt(domain)["sts_id"] == "1"
    policed.fetched(domain, 4)


def test_c_sts_07_the_same_id_is_not_fetched_again(scene):
    policed = Policed(scene)
    domain = policed.domain()
    for _ in range(3):
        assert policed.in_force(domain)
    domain.policy.publish(mx=[policed.mx.host])           # without a new id nobody has to see it
    assert policed.in_force(domain)
    policed.fetched(domain, 1)


def test_c_sts_07_not_again_within_five_minutes_of_a_failure(scene):
    """By the policy host's own log; another id, or five minutes later, is another matter."""
    policed = Policed(scene, clock="wall")
    kept, fresh = policed.domain(), policed.domain(answer="404")
    assert policed.in_force(kept)
    kept.policy.answer("500")
    kept.policy.txt("v=STSv1; id=2;")
    for _ in range(3):
        assert policed.in_force(kept) and not policed.in_force(fresh)
        assert policed.attempt(fresh)["sts_trouble"] == "sts-fetch-failed"   # also while nothing is fetched
        assert skip(policed, kept)["sts_trouble"] == "sts-fetch-failed"
    policed.tlsmend.clock.turn("4m")
    assert policed.in_force(kept) and not policed.in_force(fresh)
    assert [r.status for r in policed.fetched(kept, 2)] == [200, 500]
    policed.fetched(fresh, 1)
    kept.policy.txt("v=STSv1; id=3;")
    fresh.policy.txt("v=STSv1; id=3;")
    assert policed.in_force(kept) and not policed.in_force(fresh)
    policed.fetched(kept, 3)
    policed.fetched(fresh, 2)
    policed.tlsmend.clock.turn("10m")
    for domain in (kept, fresh):
        domain.policy.answer("plain")
        assert policed.in_force(domain)
    policed.fetched(kept, 4)
    policed.fetched(fresh, 3)
    assert policed.sts(kept)["sts_id"] == "3"


# -- how long (C-STS-09) --------------------------------------------------------------------------

def test_c_sts_09_max_age_is_the_end(scene):
    policed = Policed(scene, clock="wall")
    domain = policed.domain(max_age=3600)
    assert policed.in_force(domain)
    domain.policy.no_txt()
    policed.tlsmend.clock.turn("59m")
    assert policed.in_force(domain)
    policed.tlsmend.clock.turn("61m")
    assert not policed.in_force(domain)


def test_c_sts_09_an_expired_policy_is_fetched_anew(scene):
    policed = Policed(scene, clock="wall")
    domain = policed.domain(max_age=3600)
    assert policed.in_force(domain)
    policed.tlsmend.clock.turn("2h")
    domain.policy.publish(mx=[policed.mx.host])    # the id did not change
    assert policed.send(domain).code == 250 and policed.attempt(domain)["sts_outcome"] == "ok"
    policed.fetched(domain, 2)


def test_c_sts_09_a_max_age_of_nothing(scene):
    """It is in force for the mail that it was fetched for, and no longer."""
    policed = Policed(scene)
    domain = policed.domain(max_age=0)
    assert policed.in_force(domain) and policed.in_force(domain)
    domain.policy.no_txt()
    assert not policed.in_force(domain)
    assert len(domain.policy.requests()) >= 2


def test_c_sts_09_the_clock_is_set_back(scene):
    """It neither ends a policy nor makes it eternal: fetched anew at once, under the new clock."""
    policed = Policed(scene, clock="wall")
    domain = policed.domain(max_age=DAY)
    assert policed.in_force(domain)
    policed.tlsmend.clock.turn("-2h")
    scene.nginx.stop()
    assert policed.in_force(domain)
    scene.nginx.start()
    policed.tlsmend.clock.turn("-3h")
    assert policed.in_force(domain)
    assert policed.sts(domain)["outcome"] == "unchanged"


@pytest.mark.parametrize("end", ["restart", "crash"])
def test_c_sts_09_policies_survive(scene, end):
    """SIGTERM and kill -9; afterwards the domain's record and policy host are gone."""
    policed = Policed(scene)
    domain, other = policed.domain(), policed.domain(mode="testing", id="x1")
    assert policed.in_force(domain) and policed.send(other).code == 250
    for d in (domain, other):
        policed.stored(d)
        d.policy.no_txt()
    scene.nginx.stop()
    getattr(policed.tlsmend, end)()
    assert policed.in_force(domain)
    assert policed.send(other).code == 250
    attempt = policed.attempt(other)
    assert (attempt["sts_id"], attempt["sts_mode"]) == ("x1", "testing")
    assert 0 <= attempt["sts_age"] < 3600


def test_c_sts_09_a_reload_keeps_them(scene):
    policed = Policed(scene)
    domain = policed.domain()
    assert policed.in_force(domain)
    domain.policy.no_txt()
    scene.nginx.stop()
    policed.tlsmend.write_config(tls={"level": "may"})
    hup(policed.tlsmend)
    assert policed.in_force(domain)


def test_c_sts_09_refreshed_daily_without_mail(scene):
    """And so a policy of two days holds for longer than two days after the last mail."""
    policed = Policed(scene, clock="wall")
    domain = policed.domain(max_age=2 * DAY + 3600)
    assert policed.in_force(domain)
    policed.tlsmend.clock.turn("20h")
    policed.fetched(domain, 1)
    policed.tlsmend.clock.turn("25h")
    told = policed.sts(domain, occasion="refresh")
    assert (told["outcome"], told["in_force"]) == ("unchanged", True)
    policed.fetched(domain, 2)
    domain.policy.no_txt()
    scene.nginx.stop()
    policed.tlsmend.clock.turn("60h")    # 49 hours from the first fetch are over
    assert policed.in_force(domain)
    policed.tlsmend.clock.turn("80h")
    assert not policed.in_force(domain)


def test_c_sts_09_a_refresh_that_fails_is_told_and_ends_nothing(scene):
    policed = Policed(scene, clock="wall")
    domain = policed.domain(max_age=10 * DAY)
    assert policed.in_force(domain)
    domain.policy.certificate("expired")
    policed.tlsmend.clock.turn("25h")
    told = policed.sts(domain, occasion="refresh")
    assert (told["severity"], told["reason"], told["in_force"]) == ("warning", "sts-webpki-invalid", True)
    assert policed.in_force(domain)


def test_c_sts_09_a_refresh_takes_what_changed(scene):
    """Without a new id: a domain that forgot to change it."""
    policed = Policed(scene, clock="wall", mta_sts={"refresh": "1h"})
    domain = policed.domain(max_age=10 * DAY)
    assert policed.in_force(domain)
    domain.policy.publish(mx=[policed.mx.host])
    policed.tlsmend.clock.turn("70m")
    assert policed.sts(domain, occasion="refresh")["outcome"] == "new-policy"
    assert policed.send(domain).code == 250
    policed.fetched(domain, 2)


def test_c_sts_09_a_refresh_without_a_record(scene):
    """A record that cannot be looked up holds up no refresh; a domain that took its record away is left alone, and
    its policy ends with max_age."""
    policed = Policed(scene, clock="wall", resolver={"timeout": "2s"})
    left, lost = policed.domain(max_age=10 * DAY), policed.domain(max_age=10 * DAY)
    assert policed.in_force(left) and policed.in_force(lost)
    left.policy.no_txt()
    lost.policy.txt_fails("servfail")
    capture = scene.capture()
    policed.tlsmend.clock.turn("25h")
    assert policed.sts(lost, occasion="refresh")["in_force"] and len(lost.policy.wait_requests(2)) == 2
    wait_for("the other look-up", lambda: capture.queries(f"_mta-sts.{left.name}", "TXT"))
    assert policed.in_force(left)
    policed.fetched(left, 1)


def test_c_sts_09_unused_for_180_days(scene):
    """Dropped 181 days after the last mail, and not 179 days after it."""
    policed = Policed(scene, clock="wall", mta_sts={"refresh": "168h"})
    old, kept = policed.domain(max_age=YEAR), policed.domain(max_age=YEAR)
    assert policed.in_force(old) and policed.in_force(kept)
    policed.tlsmend.clock.turn("2d")
    assert policed.in_force(kept)
    for domain in (old, kept):
        policed.stored(domain)
        domain.policy.no_txt()               # so that no refresh and no mail renews it
    policed.tlsmend.clock.turn("181d")
    policed.stored(old, False)
    policed.stored(kept)
    assert policed.in_force(kept) and not policed.in_force(old)


# -- the store cannot be written (C-OPS-03) -------------------------------------------------------

@pytest.mark.parametrize("path", ["/proc/tlsmend.db", "/nonexistent/tlsmend.db", "/tmp"])
def test_c_sts_09_a_store_that_cannot_be_written(scene, path):
    """Mail flows, policies hold from memory, and it is said loudly."""
    policed = Policed(scene, store={"path": path})
    (told,) = policed.tlsmend.wait_records("store")
    assert (told["severity"], told["state"]) == ("error", "memory") and told["hint"]
    domain, plain = policed.domain(), scene.domain()
    plain.mx(policed.mx.host)
    assert policed.send(plain).code == 250
    assert policed.in_force(domain)
    domain.policy.no_txt()
    scene.nginx.stop()
    assert policed.in_force(domain)
