# SPDX-License-Identifier: Apache-2.0
"""The MTA-STS policy of one domain: TXT record, policy host and policy, all changeable at run time.

    sts = domain.sts(mx=[mx.host], mode="enforce", max_age=86400, id="1")
    sts.publish(id="2", mode="testing")      # policy and TXT, as a well-kept domain does it
    sts.answer("404")                        # only what nginx says
    sts.requests()                           # who asked, and when

The records have TTL 0, so that tlsmend sees each change at once; `ttl` sets another one.
"""

from . import nginx
from .https import ScriptedHttps

# Ways for a name not to be found; each is a CNAME into a zone that is like this.
_BROKEN = {"servfail": "servfail.example.", "timeout": "hole.example.", "bogus": "bogus.example."}


def policy_text(mode="enforce", mx=(), max_age=86400, eol="\r\n", version="STSv1", more=()):
    """A policy; a field that is None is left out, more: lines at its end."""
    lines = [("version", version), ("mode", mode), *(("mx", m) for m in mx), ("max_age", max_age)]
    lines = [f"{k}: {v}" for k, v in lines if v is not None] + list(more)
    return "".join(line + eol for line in lines).encode()


class Sts:
    """Made by Domain.sts()."""

    def __init__(self, scene, domain, *, id="1", kind="good", answer="plain", versions=("1.2", "1.3"),
                 text=None, ttl=0, replies=None, ns=None, addresses=None, **fields):
        self.domain, self.host, self._scene, self.ttl = domain, f"mta-sts.{domain.name}", scene, ttl
        self.fields = fields
        self.text = policy_text(**_plain(fields)) if text is None else text
        self.nginx = self.server = None
        scripted = replies is not None or ns is not None or addresses is not None
        chain = kind if hasattr(kind, "certs") else scene.pki.chain(kind, self.host)
        if scripted:
            self.server = scene.add(f"https {self.host}", ScriptedHttps(
                scene.net, chain=chain, policy=lambda: self.text, replies=replies, ns=ns,
                addresses=addresses, name=self.host, versions=versions))
            self.addresses = self.server.addresses
        else:
            self.nginx = scene.nginx
            self.addresses = nginx.ADDRESSES[tuple(versions)]
            self.certificate(chain)
            self.policy(self.text)
            self.answer(answer)
        self.host_addresses(*self.addresses)
        if id is not None:
            self.txt(f"v=STSv1; id={id};")

    # -- the policy ---------------------------------------------------------------------------

    def publish(self, id=None, **fields):
        """A policy that differs in these fields from the one before; with `id` the TXT record too."""
        self.fields = {**self.fields, **fields}
        self.policy(policy_text(**_plain(self.fields)))
        if id is not None:
            self.txt(f"v=STSv1; id={id};")

    def policy(self, text):
        """Exactly these bytes."""
        self.text = text.encode() if isinstance(text, str) else text
        if self.nginx is not None:
            self.nginx.policy(self.host, self.text)

    def answer(self, name):
        """How nginx answers: one of nginx.ANSWERS ("plain", "html", "untyped", "charset", "gzip",
        "301", "404", "500", ...).  A redirect leads to the policy, on the same host."""
        self.nginx.answer(self.host, name)

    def certificate(self, kind):
        """A kind of lab/pki.py, or a Chain, from the next handshake on."""
        self.nginx.certificate(self.host, kind if hasattr(kind, "certs")
                               else self._scene.pki.chain(kind, self.host))

    # -- the names ----------------------------------------------------------------------------

    def txt(self, *records):
        """These TXT records in place of the present ones; a tuple is one record of several strings."""
        self._set("_mta-sts", "TXT", [" ".join(map(_quoted, (r,) if isinstance(r, str) else r))
                                      for r in records])

    def no_txt(self):
        self._set("_mta-sts", "TXT", [])

    def txt_cname(self, target):
        """_mta-sts is a CNAME, as hosters do it."""
        self._set("_mta-sts", "CNAME", [target.rstrip(".") + "."])

    def txt_fails(self, how):
        """The look-up fails: "servfail", "timeout", "bogus"."""
        self.txt_cname("mta-sts-record." + _BROKEN[how])

    def host_addresses(self, *addresses):
        """Where mta-sts.DOMAIN is; none: NXDOMAIN."""
        v4, v6 = ([a for a in addresses if (":" in a) is six] for six in (False, True))
        self._set("mta-sts", "A", v4)
        if v6:
            self.domain.server.update([("add", self.host, "AAAA", a) for a in v6], self.ttl)

    def host_cname(self, target):
        self._set("mta-sts", "CNAME", [target.rstrip(".") + "."])

    def host_fails(self, how):
        """The look-up fails: "servfail", "timeout", "bogus", or "nxdomain"."""
        if how == "nxdomain":
            self.host_addresses()
        else:
            self.host_cname("mta-sts-host." + _BROKEN[how])

    def _set(self, label, rdtype, rdata):
        name = f"{label}.{self.domain.name}"
        self.domain.server.update(
            [("delete", name, None, None), *(("add", name, rdtype, r) for r in rdata)], self.ttl)

    # -- what happened ------------------------------------------------------------------------

    def requests(self):
        """The requests for this host so far (`time host path`, and more), oldest first."""
        return self.nginx.requests(self.host) if self.nginx else list(self.server.requests)

    def wait_requests(self, count, timeout=10):
        if self.nginx:
            return self.nginx.wait_requests(count, self.host, timeout)
        return self.server.wait_requests(count, timeout)


def many(scene, count, mx, *, id="1", **fields):
    """So many domains with that MX (a server of the lab) and the same policy, in milliseconds each; for
    herds.  Who asked is in scene.nginx.requests()."""
    domains = [scene.domain() for _ in range(count)]
    text = policy_text(**_plain({"mx": [mx], **fields}))
    addresses = nginx.ADDRESSES["1.2", "1.3"]
    for at in range(0, count, 10):   # a certificate and, by UDP, an update for ten
        group = domains[at:at + 10]
        chain = scene.pki.leaf(None, "herd", names=[f"mta-sts.{d.name}" for d in group], common="")
        changes = []
        for d in group:
            host = f"mta-sts.{d.name}"
            scene.nginx.certificate(host, chain)
            scene.nginx.policy(host, text)
            scene.nginx.answer(host, "plain")
            changes += [("add", d.name, "MX", f"10 {mx.host}."), ("add", host, "A", addresses[0]),
                        ("add", f"_mta-sts.{d.name}", "TXT", _quoted(f"v=STSv1; id={id};"))]
        scene.dns.update(changes, 0)
    return domains


def _plain(fields):
    """mx may hold servers (their host) as well as names."""
    return {**fields, "mx": [getattr(m, "host", m) for m in fields["mx"]]} if "mx" in fields else fields


def _quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
