# SPDX-License-Identifier: Apache-2.0
"""x509: chains through judge-chain, the catalogue of bad sites as real handshakes through play-session."""

import base64
import json
import re
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.x509.oid import SignatureAlgorithmOID

from .common import BUILD

# See "Decisions" in ../README.md.
DSA = "DSA keys and signatures: BoringSSL has none, no public CA issues them; REJECT"
WEAK = "SHA-1, MD5 and RSA below 2048 bits in the path: REJECT, whatever the rest of the chain says"

_DSA_SIGNATURES = {SignatureAlgorithmOID.DSA_WITH_SHA1, SignatureAlgorithmOID.DSA_WITH_SHA224,
                   SignatureAlgorithmOID.DSA_WITH_SHA256}
_WEAK_HASHES = {"sha1", "md5"}


# -- chains ---------------------------------------------------------------------------------------------


def _load(der):
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None   # judge-chain has to cope with it by itself


def decision(case, ders):
    """The decision that covers this chain (anchor first), and the verdict that it gives."""
    certs = [c for c in map(_load, ders) if c is not None]
    for cert in certs:
        try:
            is_dsa = isinstance(cert.public_key(), dsa.DSAPublicKey)
        except ValueError:
            is_dsa = True   # DSA without parameters: they are inherited from the issuer
        except x509.UnsupportedGeneralNameType:
            is_dsa = False
        if is_dsa or cert.signature_algorithm_oid in _DSA_SIGNATURES:
            return DSA, "REJECT"
    for cert in certs[1:]:
        if cert.signature_hash_algorithm is not None and \
                cert.signature_hash_algorithm.name in _WEAK_HASHES:
            return WEAK, "REJECT"
    for cert in certs:
        size = getattr(cert.public_key(), "key_size", 4096)
        if type(cert.public_key()).__name__.lower().find("rsa") >= 0 and size < 2048:
            return WEAK, "REJECT"
    return None, None


def run_chains(chain_cases, ders, results):
    """All chains in one run of judge-chain."""
    requests = []
    for case in chain_cases:
        chain = [ders[name] for name in case["chain_anchor_first"]]
        requests.append({"id": case["id"], "anchors": [_b64(chain[0])],
                         "chain": [_b64(der) for der in reversed(chain[1:])] or [_b64(chain[0])],
                         "host": case.get("host"), "time": case["validation_time"]})
    run = subprocess.run([BUILD / "tests/judge-chain"], capture_output=True, text=True, check=False,
                         input="".join(json.dumps(r) + "\n" for r in requests), timeout=120)
    answers = {}
    for line in run.stdout.split("\n"):
        if line.strip():
            answer = json.loads(line)
            answers[answer.get("id")] = answer
    for case in chain_cases:
        got = answers.get(case["id"])
        if got is None:
            results.report(case, f"judge-chain gave no answer (exit code {run.returncode})")
            continue
        due = case["expect"].split()[0].strip(":;,").upper()
        if due not in ("ACCEPT", "REJECT"):
            results.report(case, f"expectation not understood: {case['expect']!r}")
            continue
        used = None
        if got["verdict"] != due:
            used, decided = decision(case, [ders[n] for n in case["chain_anchor_first"]])
            due = decided or due
        results.report(case, None if got["verdict"] == due else
                       f"{due} is due, it is {got['verdict']} ({got.get('reason')}: "
                       f"{got.get('detail')}); {case.get('title', '')}", used)


def _b64(der):
    return base64.b64encode(der).decode()


# -- sites ----------------------------------------------------------------------------------------------

# Suites that the OpenSSL of Debian no longer has are chosen by hand, by their number.
_SUITES = {"rc4-md5": 0x0004, "rc4": 0x0005, "3des": 0x000A, "des": 0x0009, "export": 0x0003}
_OLD = {"versions": ["1.2", "1.2"]}
_RSA = {"key": "rsa2048"}

# First match wins: pattern of `site` (one of its variants) or, behind "what:", of `what`;
# then what the MX is like.
_SITES = [(re.compile(pattern, re.I), spec) for pattern, spec in [
    (r"expired", {"certificate": "expired"}),
    (r"not-?yet-?valid", {"certificate": "not-yet-valid"}),
    (r"wrong\.host|name not in", {"certificate": "name-mismatch"}),
    (r"self-signed", {"certificate": "self-signed"}),
    (r"untrusted-root|unknown root|publicly known private key|superfish|edellroot|dsdtestprovider",
     {"certificate": "untrusted-root"}),
    (r"revoked", {"certificate": "stapled-revoked"}),
    (r"no-common-name|no-subject|no cn|empty subject", {"certificate": {"common": ""}}),
    (r"no-san|cn only", {"certificate": "cn-only"}),
    (r"incomplete-chain", {"certificate": "incomplete-chain"}),
    (r"reversed-chain", {"certificate": "wrong-order"}),
    (r"sha-?1-intermediate", {"certificate": "sha1-intermediate"}),
    (r"sha-?1\b|sha-?1-20", {"certificate": "sha1"}),
    (r"\bmd5 \(|^md5|md5 signed", {"certificate": "md5"}),
    (r"sha(?P<hash>256|384|512)", {"certificate": {"hash": "SHA{hash}"}}),
    (r"^10000-sans", {"certificate": "san-10000"}),
    (r"^1000-sans", {"certificate": "san-1000"}),
    (r"rsa(?P<bits>\d{3,5})", {"certificate": {"key": "rsa{bits}"}, **_OLD}),
    (r"^ec+c?(?P<bits>256|384|521)", {"certificate": {"key": "ecc{bits}"}}),
    (r"^(dh|dhe)\b|^dh|small-subgroup|composite|finite-field",
     {"certificate": _RSA, "ciphers": "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0", **_OLD}),
    (r"static-rsa", {"certificate": _RSA, "ciphers": "AES128-GCM-SHA256:@SECLEVEL=0", **_OLD}),
    (r"^(?P<suite>rc4-md5|rc4|3des|des|export)", {"certificate": _RSA, "suite": "{suite}", **_OLD}),
    (r"^null", {"certificate": _RSA, "ciphers": "ECDHE-RSA-NULL-SHA:@SECLEVEL=0", **_OLD}),
    (r"^cbc", {"certificate": _RSA, "ciphers": "ECDHE-RSA-AES128-SHA:@SECLEVEL=0", **_OLD}),
    (r"tls-v1-(?P<minor>[0-3])", {"versions": ["1.{minor}", "1.{minor}"]}),
    (r"client-cert|asks for a client certificate",
     {"certificate": "good", "asks_client_certificate": True}),
    (r"^xn--", {"certificate": "good"}),
    (r"sct|pinning|hsts|mozilla|extended-validation|subdomain|^good|long-", {"certificate": "good"}),
]]


def _filled(value, groups):
    """The spec with {name} replaced by what the pattern found."""
    if isinstance(value, dict):
        return {k: _filled(v, groups) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, groups) for v in value]
    if isinstance(value, str):
        return value.format(**groups) if "{" in value else value
    return value


def variants(case):
    """The sites of a case: "rsa3072/4096/8192" are three."""
    site = re.sub(r"\s*\([^)]*\)", "", case["site"]).strip()
    parts = site.split("/")
    stem = re.match(r"[A-Za-z-]*?(?=\d)|[A-Za-z0-9-]*?v1-", parts[0])
    stem = stem.group(0) if stem else ""
    full = [parts[0]]
    for part in parts[1:]:
        if re.fullmatch(r"\d+", part):
            part = stem + part            # rsa3072/4096
        elif re.fullmatch(r"\d-\d", part) and "-v" in parts[0]:
            part = re.sub(r"\d-\d$", part, parts[0])   # tls-v1-0/1-1
        full.append(part)
    return full


def mx_of(site, case):
    """What the MX of a site is like; None where no rule knows."""
    for text in (site, case["what"]):
        for pattern, spec in _SITES:
            match = pattern.search(text)
            if match:
                mx = _filled(spec, {k: v for k, v in match.groupdict().items() if v})
                if "suite" in mx:
                    mx["suite"] = _SUITES[mx["suite"]]
                if re.fullmatch(r"[A-Za-z0-9-]{1,63}", site):
                    mx["label"] = site    # the host's own name, xn-- names above all
                return mx
    return None


def _play(player, mx):
    answer = player.play({"level": "verify", "mx": mx})
    final = answer["transactions"][-1]
    delivered = bool(final["final"] and final["final"].startswith("250") and answer["mails_in_tls"])
    reasons = sorted({a.get("reason", "ok") for a in answer["attempts"]})
    if not answer["session_alive"]:
        return delivered, reasons, "the client's session was dropped"
    if answer["mails"] != answer["mails_in_tls"]:
        return delivered, reasons, "the mail went out in clear"
    if not delivered and answer["mails"]:
        return delivered, reasons, "refused, but the MX has the mail"
    return delivered, reasons, None


def _expect(text):
    """ACCEPT, REJECT or ALIVE, by rule; None: not understood."""
    text = text.lower()
    if re.match(r"policy: revocation", text):
        return "REJECT"   # the lab's server staples; see check_site() for the one that does not
    for pattern, verdict in [(r"accept", "ACCEPT"), (r"proceeds", "ACCEPT"), (r"reject", "REJECT"),
                             (r"handshake fails|refused", "REJECT"), (r"no crash", "ALIVE")]:
        if re.match(pattern, text):
            return verdict
    if text.strip() == "policy":
        return "REJECT"   # ours: docs/policy.md, tls.min_rsa_bits
    return None


def check_site(case, player):
    due = _expect(case["expect"])
    if due is None:
        return f"expectation not understood: {case['expect']!r}"
    for site in variants(case):
        mx = mx_of(site, case)
        if mx is None:
            return f"site not understood: {site!r} ({case['what']})"
        delivered, reasons, complaint = _play(player, mx)
        if complaint:
            return f"{site}: {complaint}"
        if due != "ALIVE" and delivered != (due == "ACCEPT"):
            return f"{site}: {due} is due, {'delivered' if delivered else 'refused'} ({', '.join(reasons)})"
        if not delivered and (not reasons or reasons == ["ok"]):
            return f"{site}: refused without a reason in the record"
        if "unless stapled" in case["expect"]:
            delivered, reasons, complaint = _play(player, {"certificate": "good"})
            if complaint or not delivered:
                return f"{site}: without a staple it is to be accepted ({complaint}, {reasons})"
    return None


def seconds(case):
    """Big keys take their time to be made: they begin first."""
    return 10 if re.search(r"8192|16384", case.get("site", "")) else 0
