# SPDX-License-Identifier: Apache-2.0
"""MTA-STS: the fetch of a policy, from a real nginx and from a server that does what nginx never would
(C-STS-04), and what follows when a policy is cached (C-STS-06) and when none is (C-STS-08)."""

import concurrent.futures

import pytest

from lab.hostile import NOTIFY
from lab.https import http_answer, http_chunked
from lab.nginx import ADDRESSES, PATH
from lab.policed import ELSEWHERE, Policed
from lab.sts import policy_text
from lab.sts_failures import CERTIFICATE, FETCH_FAILURES

TEXT = policy_text(mx=[ELSEWHERE])


@pytest.mark.parametrize("name", FETCH_FAILURES)
def test_c_sts_04_06_and_08_a_fetch_that_fails(scene, name):
    """Nothing is cached: the mail goes out as if there were no policy.  A policy is cached: it stays in
    force, whatever the failure.  And it is told why."""
    failure = FETCH_FAILURES[name]
    policed = Policed(scene)
    kept, fresh = policed.domain(**failure.options), policed.domain(**failure.options)
    assert policed.in_force(kept)
    for domain in (kept, fresh):
        failure.of(domain.policy)
        domain.policy.txt("v=STSv1; id=2;")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:   # a stall takes its time once
        assert list(pool.map(policed.in_force, (kept, fresh))) == [True, False]
    attempt = policed.attempt(fresh)
    assert attempt["sts_trouble"] == failure.reason and "sts_id" not in attempt
    assert failure.words in attempt["sts_trouble_detail"], attempt["sts_trouble_detail"]
    assert policed.sts(fresh)["detail"] == attempt["sts_trouble_detail"]
    skip = policed.tlsmend.records("skip", recipient_domain=kept.name)[-1]
    assert (skip["sts_trouble"], skip["sts_id"]) == (failure.reason, "1")
    for domain in (kept, fresh):
        told = policed.sts(domain, outcome="fetch-failed")
        assert (told["severity"], told["in_force"], told["txt_id"]) == ("warning", domain is kept, "2")
        assert told["reason"] == failure.reason and failure.words in told["detail"] and told["hint"]
        assert domain.policy.host in told["detail"] or "mta_sts.timeout" in told["detail"]
    paths = [r.path for r in fresh.policy.requests()]
    if failure.reason == CERTIFICATE:
        assert paths == []          # nothing is asked of a host that is not who it should be
    assert set(paths) <= {PATH}     # no redirect is followed


def test_c_sts_04_no_connection_to_a_refused_address(scene):
    """The policy host points to a service of the very machine that tlsmend runs on."""
    policed = Policed(scene)
    domain = policed.domain(ns=scene.net.client, addresses=["127.0.0.1"])
    assert not policed.in_force(domain)
    assert "loopback" in policed.sts(domain)["detail"]
    assert domain.policy.server.connections == []


@pytest.mark.parametrize("answer, untyped", [("plain", None), ("charset", None), ("upper-case-type", None),
                                             ("untyped", True)])
def test_c_sts_04_types_that_are_taken(scene, answer, untyped):
    """A missing type is accepted, and logged."""
    policed = Policed(scene)
    domain = policed.domain(answer=answer)
    assert policed.in_force(domain)
    told = policed.sts(domain)
    assert (told["outcome"], told.get("untyped")) == ("new-policy", untyped)
    (request,) = policed.fetched(domain, 1)
    assert (request.method, request.path, request.sni, request.status) == ("GET", PATH, domain.policy.host, 200)


@pytest.mark.parametrize("versions", [("1.2", "1.2"), ("1.3", "1.3"), ("1.2", "1.3")])
def test_c_sts_04_tls_versions(scene, versions):
    policed = Policed(scene)
    domain = policed.domain(versions=versions)
    assert policed.in_force(domain)
    assert policed.fetched(domain, 1)[0].tls == f"TLSv{versions[1]}"


@pytest.mark.parametrize("kind", ["rsa", "wildcard", "several-names"])
def test_c_sts_04_certificates_that_hold(scene, kind):
    policed = Policed(scene)
    chain = kind
    if kind == "several-names":
        domain = policed.domain()
        chain = scene.pki.leaf(domain.policy.host, "good", names=["a.example", domain.policy.host])
        domain.policy.certificate(chain)
    else:
        domain = policed.domain(kind=kind)
    assert policed.in_force(domain)


@pytest.mark.parametrize("response", [
    http_chunked(TEXT), [http_answer(TEXT, length=False), NOTIFY],
    http_answer(TEXT, headers=["Cache-Control: max-age=9999", "Set-Cookie: a=b", "X-A: b"]),
    [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", http_answer(TEXT)],
    [http_answer(TEXT)[:30], 0.1, http_answer(TEXT)[30:]]],
    ids=["chunked", "until-close", "more-header", "early-hints", "two-pieces"])
def test_c_sts_04_answers_that_are_taken(scene, response):
    policed = Policed(scene)
    domain = policed.domain(replies={"response": response})
    assert policed.in_force(domain)
    (request,) = policed.fetched(domain, 1)
    assert request.method == "GET" and request.headers["host"] == domain.policy.host
    assert "if-none-match" not in request.headers and "cookie" not in request.headers


@pytest.mark.parametrize("size, holds", [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_c_sts_04_64_kib_and_not_a_byte_more(scene, size, holds):
    lines = b"x-note: " + b"y" * 990 + b"\r\n"
    text = TEXT + lines * 64
    text += b"x-end: " + b"z" * (size - len(text) - 9) + b"\r\n"
    assert len(text) == size
    policed = Policed(scene)
    domain = policed.domain(text=text)
    assert policed.in_force(domain) == holds


def test_c_sts_04_the_next_address_of_the_policy_host(scene):
    """Nothing listens at the first ones; one is forbidden; IPv6 only is fine too."""
    policed = Policed(scene)
    several, six = policed.domain(), policed.domain()
    dead, _ = scene.net.new_host()
    several.policy.host_addresses("127.0.0.1", dead, ADDRESSES["1.2", "1.3"][0])
    six.policy.host_addresses(ADDRESSES["1.2", "1.3"][1])
    assert policed.in_force(several) and policed.in_force(six)


def test_c_sts_04_slow_but_within_the_time(scene):
    """mta_sts.timeout is for the whole of a fetch: one that takes half of it holds."""
    policed = Policed(scene, mta_sts={"timeout": "20s"})
    answer = http_answer(TEXT)
    third = len(answer) // 3
    domain = policed.domain(replies={"response": [answer[:third], 0.2, answer[third:-9], 0.2, answer[-9:]]})
    assert policed.in_force(domain)
    assert 350 <= policed.sts(domain)["took"] < 20000


def test_c_sts_04_switched_off(scene):
    policed = Policed(scene, mta_sts={"enabled": False})
    domain = policed.domain()
    capture = scene.capture()
    assert not policed.in_force(domain)
    assert capture.queries(rdtype="TXT") == []
    policed.fetched(domain, 0)
