# SPDX-License-Identifier: Apache-2.0
"""tlsmend mta-sts, tlsmend dane and what tlsmend check says of both: what would be decided, without mail."""

import json
import re
import subprocess

import pytest

from lab import smtpc
from lab.helpers import prepared
from lab.tlsmend import ROOT, program

MAN = set(re.findall(r"\w+", (ROOT / "docs/man/tlsmend.8").read_text(encoding="utf-8")))
OK, USAGE, NO_HOST, TEMPFAIL, FORBIDDEN, CONFIG = 0, 64, 68, 75, 77, 78


def ask(scene, tlsmend, *words, code=OK):
    """Standard output of `tlsmend WORDS -c (this daemon's file)`."""
    argv = [str(program()), words[0], "-c", str(tlsmend.config_path), *map(str, words[1:])]
    done = subprocess.run(scene.net.client.command(argv), capture_output=True, text=True, timeout=90,
                          check=False)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def members(value):
    if isinstance(value, dict):
        yield from value
    for inside in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from members(inside)


def both(scene, tlsmend, command, domain, code=OK):
    """(lines of the text with single blanks, the JSON object) of the same question."""
    text = ask(scene, tlsmend, command, domain, code=code).stdout
    answer = json.loads(ask(scene, tlsmend, command, "--json", domain, code=code).stdout)
    assert set(members(answer)) <= MAN   # each is documented
    return [" ".join(line.split()) for line in text.splitlines()], answer


def deliver(scene, tlsmend, domain):
    with scene.client(tlsmend) as c:
        c.ehlo()
        return c.deliver("a@client.lab.example", domain.address(), smtpc.message())


@pytest.fixture
def quiet(lab):
    """A configuration without a daemon."""
    return prepared(lab)


# -- mta-sts ----------------------------------------------------------------------------------


def test_a_domain_without_mta_sts(scene, quiet):
    domain = scene.domain()
    mx = scene.hostile(domain)
    lines, answer = both(scene, quiet, "mta-sts", domain)
    assert "in the cache nothing" in lines and "demand verify (default), needs tls, chain, name" in lines
    assert lines[-1] == (f"mail to {domain} would be sent to {mx.host} first, over TLS, if the certificate "
                         "holds (needs tls, chain, name)")
    assert "cache" not in answer and "policy" not in answer and "sts_trouble" not in answer
    assert (answer["domain"], answer["policy_domain"], answer["sts_enabled"]) == (
        domain.name, domain.name, True)
    (host,) = answer["hosts"]
    assert (host["mx"], host["preference"], host["usable"]) == (mx.host, 10, True)
    assert set(host["addresses"]) == set(mx.addresses)
    assert (answer["status"], answer["verdict"]) == ("deliverable", lines[-1])
    assert mx.records == []   # nobody connected


def test_c_sts_11_an_mx_that_is_not_listed_is_told_host_by_host(scene, quiet):
    domain = scene.domain()
    listed = scene.hostile(domain, label="mx1")
    scene.hostile(domain, label="mx2", preference=20)
    domain.sts(mx=[listed.host, "*.elsewhere.example"], id="a1", max_age=86400)
    lines, answer = both(scene, quiet, "mta-sts", domain)
    assert "in force a1, mode enforce" in lines and f"mx {listed.host}" in lines
    assert "MTA-STS listed" in lines and "MTA-STS NOT LISTED" in lines
    assert any(line.startswith("SKIPPED sts-mx-not-listed (mta-sts): ") for line in lines)
    assert lines[-1].endswith("; policy forbids 1 of 2 MX hosts")
    policy = answer["policy"]
    assert (policy["sts_id"], policy["sts_mode"], policy["max_age"], policy["live"]) == (
        "a1", "enforce", 86400, True)
    assert policy["sts_mx"] == [listed.host, "*.elsewhere.example"] and policy["sts_age"] < 60
    first, second = answer["hosts"]
    assert (first["sts_listed"], first["demand"], first["demand_source"]) == (True, "verify", "mta-sts")
    assert first["needs"] == ["tls", "chain", "name", "host"] and first["usable"]
    assert (second["sts_listed"], second["usable"], second["reason"]) == (False, False, "sts-mx-not-listed")
    assert second["hint"] and "*.elsewhere.example" in second["detail"]


def test_c_sts_11_nobody_listed_is_77_and_the_reply_of_a_mail(scene, lab):
    domain = scene.domain()
    mx = scene.hostile(domain)
    domain.sts(mx=["mx.elsewhere.example"])
    daemon = scene.tlsmend()
    lines, answer = both(scene, daemon, "mta-sts", domain, code=FORBIDDEN)
    assert (answer["status"], answer["code"], answer["reason"]) == ("deferred", 451, "sts-mx-not-listed")
    assert any(line.startswith("second look") for line in lines)
    reply = deliver(scene, daemon, domain)
    assert (reply.code, mx.saw("MAIL")) == (451, False)
    assert "[sts-mx-not-listed]" in reply.text and lines[-1].endswith("[sts-mx-not-listed]")


def test_c_sts_12_testing_and_none_bind_nobody(scene, quiet):
    domain = scene.domain()
    scene.hostile(domain)
    sts = domain.sts(mx=["mx.elsewhere.example"], mode="testing")
    lines, answer = both(scene, quiet, "mta-sts", domain)
    assert "MTA-STS NOT LISTED; the mode is testing: it is recorded only" in lines
    assert answer["hosts"][0]["usable"] and answer["hosts"][0]["demand_source"] == "default"
    sts.publish(id="2", mode="none", mx=[])
    lines, answer = both(scene, quiet, "mta-sts", domain)
    assert answer["policy"]["sts_mode"] == "none" and "sts_listed" not in answer["hosts"][0]
    assert "MTA-STS no policy in force" in lines


def test_c_sts_08_a_policy_that_cannot_be_had_has_a_reason_and_a_mend(scene, quiet):
    domain = scene.domain()
    scene.hostile(domain)
    domain.sts(mx=["mx.elsewhere.example"], kind="expired")
    lines, answer = both(scene, quiet, "mta-sts", domain)
    assert any(line.startswith("trouble sts-webpki-invalid: ") and "expired" in line for line in lines)
    assert "in force none: mail goes as if there were no MTA-STS" in lines
    assert answer["sts_trouble"] == "sts-webpki-invalid" and answer["sts_trouble_hint"]
    assert "expired" in answer["sts_trouble_detail"] and answer["why"]


def test_c_sts_06_the_cache_of_a_running_daemon_is_shown_and_not_written(scene):
    domain = scene.domain()
    mx = scene.hostile(domain)
    sts = domain.sts(mx=[mx], id="first", max_age=86400)
    daemon = scene.tlsmend()
    assert deliver(scene, daemon, domain).code == 250
    daemon.wait_records("sts", outcome="new-policy")
    daemon.restart()   # what it kept is on disk now
    sts.publish(id="second", max_age=3600)
    lines, answer = both(scene, daemon, "mta-sts", domain)
    assert "in the cache first, mode enforce" in lines and "in force second, mode enforce" in lines
    assert answer["cache"]["sts_id"] == "first" and answer["cache"]["live"]
    assert answer["cache"]["fetched"] < answer["cache"]["refresh"] < answer["cache"]["expires"]
    assert answer["policy"]["sts_id"] == "second"
    sts.txt_fails("servfail")
    _, answer = both(scene, daemon, "mta-sts", domain)
    assert answer["policy"]["sts_id"] == "first" and answer["sts_trouble"] == "sts-discovery-failed"


def test_c_sts_05_with_a_route_the_policy_is_that_of_the_route(scene, lab):
    domain, smarthost = scene.domain(), scene.domain()
    scene.hostile(smarthost, label="x")
    mx = scene.hostile(chain=scene.pki.chain("good", smarthost.name))
    smarthost.add_addresses(smarthost.name, mx.addresses)
    smarthost.sts(mx=[smarthost.name])
    route = {"host": smarthost.name, "port": 25}
    quiet = prepared(lab, destinations=[{"match": domain.name, "route": route}])
    lines, answer = both(scene, quiet, "mta-sts", domain)
    assert f"policy domain {smarthost} (the host of the route)" in lines
    assert (answer["policy_domain"], answer["route"], answer["nexthop"]) == (
        smarthost.name, "config", smarthost.name)
    assert answer["hosts"][0]["sts_listed"]
    quiet = prepared(lab, destinations=[
        {"match": domain.name, "route": {"host": mx.addresses[0], "port": 25}}])
    lines, answer = both(scene, quiet, "mta-sts", domain)
    assert "policy domain none: the host of the route is an address" in lines
    assert "policy_domain" not in answer


def test_mta_sts_that_is_switched_off(scene, lab):
    domain = scene.domain()
    scene.hostile(domain)
    sts = domain.sts(mx=["mx.elsewhere.example"])
    lines, answer = both(scene, prepared(lab, mta_sts={"enabled": False}), "mta-sts", domain)
    assert "MTA-STS OFF: mta_sts.enabled = false" in lines and answer["sts_enabled"] is False
    assert sts.requests() == []


# -- observe and overrides --------------------------------------------------------------------


def test_observe_shows_what_enforcing_would_do(scene, lab):
    domain = scene.domain()
    scene.hostile(domain)
    domain.sts(mx=["mx.elsewhere.example"], id="5")
    quiet = prepared(lab, tls={"observe": "all"})
    lines, answer = both(scene, quiet, "mta-sts", domain)
    (host,) = answer["hosts"]
    assert (host["observe"], host["demand"], host["usable"]) == ("global", "may", True)
    assert (host["would_demand_source"], host["would_defer"]) == ("mta-sts", "sts-mx-not-listed")
    assert host["would_hint"] and "would_needs" in host
    assert any(line.startswith("would skip sts-mx-not-listed (mta-sts): ") for line in lines)
    assert "ONLY OBSERVED by tls.observe" in lines
    assert lines[-1].endswith("else in CLEAR TEXT; policies are ONLY OBSERVED for 1 of 1")


def test_an_override_is_named_with_its_end_and_its_note(scene, lab):
    domain = scene.domain()
    scene.hostile(domain)
    domain.sts(mx=["mx.elsewhere.example"])
    quiet = prepared(lab, destinations=[{
        "match": domain.name, "level": "may", "override_policy": True, "expires": "2037-01-31",
        "reason": "ticket 4711"}])
    lines, answer = both(scene, quiet, "mta-sts", domain)
    (host,) = answer["hosts"]
    assert (host["policy_id"], host["policy_note"], host["policy_overruled"]) == (
        domain.name, "ticket 4711", "mta-sts")
    assert host["policy_expires"].startswith("2037-01-31")
    assert "OVERRULED mta-sts asks for more, override_policy lets it pass" in lines
    assert any(line.startswith(f'destinations match "{domain}"') and "ticket 4711" in line for line in lines)


# -- dane -------------------------------------------------------------------------------------


def test_dane_shows_every_record_and_which_count(scene, quiet):
    domain = scene.domain(signed=True)
    chain = scene.pki.chain("good", f"mx.{domain}")
    mx = scene.hostile(domain, chain=chain)
    domain.tlsa(mx.host, 3, 1, 1, chain)
    domain.tlsa(mx.host, 1, 0, 1, chain)
    lines, answer = both(scene, quiet, "dane", domain)
    assert "DNSSEC on" in lines and "MX record signed" in lines and "addresses signed" in lines
    assert f"TLSA base _25._tcp.{mx.host}" in lines
    assert sum(line.startswith("TLSA 3 1 1 ") and line.endswith("usable") for line in lines) == 1
    assert sum(line.startswith("TLSA 1 0 1 ") and "not used: " in line for line in lines) == 1
    assert lines[-1].endswith("(needs tls, tlsa)")
    (host,) = answer["hosts"]
    assert (host["dane"], host["tlsa_base"], host["dnssec"]) == ("usable", mx.host, True)
    assert (host["tlsa_records"], host["tlsa_usable"]) == (2, 1)
    assert (host["demand"], host["demand_source"], host["needs"]) == ("dane", "dane", ["tls", "tlsa"])
    used = {(t["usage"], t["selector"], t["matching"]): t for t in host["tlsa"]}
    assert used[3, 1, 1]["usable"] and len(used[3, 1, 1]["data"]) == 64
    assert not used[1, 0, 1]["usable"] and used[1, 0, 1]["why"]
    assert answer["dnssec_state"] == "on" and mx.records == []


def test_c_dane_02_an_unsigned_domain_has_no_dane(scene, quiet):
    domain = scene.domain()
    mx = scene.hostile(domain)
    domain.tlsa_rdata(mx.host, "3 1 1 " + "ab" * 32)
    lines, answer = both(scene, quiet, "dane", domain)
    assert "MX record not signed" in lines
    assert answer["hosts"][0]["dane"] == "insecure" and answer["hosts"][0]["tlsa"] == []
    assert "tlsa_base" not in answer["hosts"][0]


def test_c_dane_02_a_tlsa_look_up_that_fails_is_75(scene, quiet):
    domain = scene.dns.domain(zone="crafted")
    domain.scene = scene
    mx = scene.hostile(domain)
    domain.fault("TLSA", "servfail", host=mx.host)
    lines, answer = both(scene, quiet, "dane", domain, code=TEMPFAIL)
    assert answer["hosts"][0]["dane"] == "lookup-failed" and answer["reason"] == "tlsa-lookup-failed"
    assert any(line.startswith("SKIPPED tlsa-lookup-failed (dane): ") for line in lines)
    assert "would be deferred: 451 4.7.5 " in lines[-1]


def test_c_dane_04_no_usable_record_owes_tls_alone(scene, quiet):
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain)
    domain.tlsa_rdata(mx.host, "0 0 1 " + "ab" * 32)
    _, answer = both(scene, quiet, "dane", domain)
    assert (answer["hosts"][0]["dane"], answer["hosts"][0]["tlsa_usable"]) == ("unusable", 0)


def test_dane_only_without_records_is_77(scene, lab):
    domain = scene.domain(signed=True)
    scene.hostile(domain)
    quiet = prepared(lab, tls={"level": "dane-only"})
    _, answer = both(scene, quiet, "dane", domain, code=FORBIDDEN)
    assert (answer["hosts"][0]["dane"], answer["reason"]) == ("absent", "dane-required")


def test_c_dane_03_an_alias_is_said(scene, quiet):
    domain = scene.domain(signed=True)
    real = domain.host("real", *scene.net.new_host())
    domain.mx(domain.cname("mx", real))
    domain.tlsa_rdata(real, "3 1 1 " + "ab" * 32)
    lines, answer = both(scene, quiet, "dane", domain)
    assert f"TLSA base _25._tcp.{real} (the MX host is an alias)" in lines
    assert answer["hosts"][0]["tlsa_base"] == real


def test_c_dane_01_dnssec_that_is_off_is_said(scene, lab):
    domain = scene.domain(signed=True)
    scene.hostile(domain)
    lines, answer = both(scene, prepared(lab, resolver={"trust_anchor": ""}), "dane", domain)
    assert "DNSSEC off-no-anchor" in lines and answer["dnssec_hint"]
    assert answer["hosts"][0]["dane"] == "off"


# -- what both do -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["mta-sts", "dane"])
@pytest.mark.parametrize("word, said", [
    ("user@[192.0.2.1]", "is an address"), ("2001:db8::1", "is an address"),
    ("m\u00fcll.example", "is not written in A-labels"), ("a..example", "is no domain"),
    ("user@", "the domain is empty"), ("--jsn", 'unknown option "--jsn"'),
])
def test_words_that_are_no_domain(scene, quiet, command, word, said):
    done = ask(scene, quiet, command, word, code=USAGE)
    assert said in done.stderr and done.stdout == ""


@pytest.mark.parametrize("command", ["mta-sts", "dane"])
def test_wrong_words_and_a_wrong_file(scene, lab, quiet, command):
    assert "which domain?" in ask(scene, quiet, command, code=USAGE).stderr
    assert "one domain at a time" in ask(scene, quiet, command, "a.example", "b.example", code=USAGE).stderr
    wrong = prepared(lab, tls={"level": "verfy"})
    done = ask(scene, wrong, command, "a.example", code=CONFIG)
    assert 'did you mean "verify"' in done.stderr and done.stdout == ""
    done = ask(scene, prepared(lab, tls={"trust_store": wrong.config_path}), command, "a.example",
               code=CONFIG)
    assert "tls.trust_store" in done.stderr


@pytest.mark.parametrize("command", ["mta-sts", "dane"])
def test_domains_that_take_no_mail(scene, quiet, command):
    domain = scene.domain()
    domain.null_mx()
    _, answer = both(scene, quiet, command, domain, code=NO_HOST)
    assert (answer["status"], answer["code"], answer["reason"]) == ("rejected", 556, "null-mx")
    _, answer = both(scene, quiet, command, "nowhere." + domain.name, code=NO_HOST)
    assert (answer["code"], answer["hosts"]) == (550, [])
    lines, answer = both(scene, quiet, command, "servfail.example", code=TEMPFAIL)
    assert (answer["status"], answer["reason"]) == ("deferred", "dns-failed")
    assert lines[-1].startswith("mail to servfail.example would be deferred: 451 4.4.3 ")


def test_an_address_and_capitals_are_the_same_domain(scene, quiet):
    domain = scene.domain()
    scene.hostile(domain)
    for word in (f"User@{domain.name.upper()}", f"{domain}."):
        assert json.loads(ask(scene, quiet, "dane", "--json", word).stdout)["domain"] == domain.name


def test_an_implicit_mx(scene, quiet):
    domain = scene.domain()
    domain.add_addresses(domain.name, scene.net.new_host())
    lines, answer = both(scene, quiet, "dane", domain)
    assert answer["route"] == "implicit-mx" and "preference" not in answer["hosts"][0]
    assert "no MX record: the domain is its own MX (RFC 5321 5.1)" in lines


# -- check ------------------------------------------------------------------------------------


def test_c_dane_01_check_says_whether_dane_is_on(scene, lab, quiet):
    done = ask(scene, quiet, "check")
    assert "\n# DANE is on: " in done.stdout and "DANE" not in done.stderr
    done = ask(scene, prepared(lab, resolver={"trust_anchor": ""}), "check")
    assert "DANE is OFF (DNSSEC off-no-anchor)" in done.stderr and "# DANE" not in done.stdout
    hole = [{"zone": ".", "address": scene.net.new_host()[0]}]
    done = ask(scene, prepared(lab, resolver={"stubs": hole}), "check")
    assert "DANE is O" not in done.stderr + done.stdout
    assert "NOBODY KNOWS whether DANE works (DNSSEC unknown" in done.stderr


def test_check_says_whether_the_store_can_be_written(scene, lab, quiet, tmp_path):
    assert f"\n# {quiet.store_path}: will be made\n" in ask(scene, quiet, "check").stdout
    domain = scene.domain()
    domain.sts(mx=[scene.hostile(domain)])
    daemon = scene.tlsmend()
    assert deliver(scene, daemon, domain).code == 250
    daemon.restart()
    assert f"\n# {daemon.store_path}: 1 MTA-STS policies kept, 0 entries in the ledger\n" in ask(scene, daemon, "check").stdout
    for path in ("/nonexistent/x.db", "/dev/null/x.db"):
        done = ask(scene, prepared(lab, store={"path": path}), "check")
        assert "its directory does not exist: make it" in done.stderr and "MEMORY ONLY" in done.stderr
    done = ask(scene, prepared(lab, store={"path": tmp_path}), "check")
    assert "store.path must be the name of a file" in done.stderr
    folder = tmp_path / "roots"
    folder.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    done = ask(scene, prepared(lab, user="nobody", store={"path": folder / "x.db"}), "check")
    assert "cannot write to its directory; " in done.stderr and "MEMORY ONLY" in done.stderr
    (folder / "bad.db").write_bytes(b"no database at all" * 100)
    done = ask(scene, prepared(lab, store={"path": folder / "bad.db"}), "check")
    assert "bad.db: file is not a database" in done.stderr


@pytest.mark.parametrize("settings, said", [
    ({"tls": {"observe": True}}, "ONLY OBSERVED is all mail"),
    ({"tls": {"observe": "all"}}, "NOTHING is enforced, MTA-STS and DANE neither"),
    ({"destinations": [{"match": "a.example", "observe": True}]}, 'ONLY OBSERVED is mail to "a.example"'),
])
def test_check_says_loudly_what_is_only_observed(scene, lab, settings, said):
    assert said in ask(scene, prepared(lab, **settings), "check").stderr
