# SPDX-License-Identifier: Apache-2.0
"""Where cases of mta-sts and dane are run for real: domains, servers and daemons of the integration lab.

Nothing here knows words; an Outcome is what one mail showed.
"""

import contextlib
import itertools

from lab import smtpc
from lab.nginx import Nginx
from lab.process import Timeout, wait_for
from lab.scene import Scene
from lab.tlsmend import Tlsmend

SENDER = "sender@client.lab.example"
# What is meant to fail fails soon; nothing else in the lab takes long.  Each mail makes a connection of its own:
# what a case says of the handshake is seen at the MX then.
QUICK = {"mta_sts": {"timeout": "3s"}, "resolver": {"timeout": "3s"}, "pool": {"idle_time": "0s"}}


class Outcome:
    """What one mail showed: reply, servers, records.  Only what is new since the mail began."""

    def __init__(self, reply, mxs, records, domain):
        self.reply, self.mxs, self.domain = reply, mxs, domain   # mxs: [(mx, its connections)]
        self._records = records

    def of(self, event):
        return [r for r in self._records if r["event"] == event]

    @property
    def code(self):
        return self.reply.code

    @property
    def heard(self):
        return str(self.reply)

    @property
    def takers(self):
        """(host, in TLS) of each complete mail."""
        return [(mx.host, m.in_tls) for mx, seen in self.mxs for r in seen for m in r.mails if m.complete]

    @property
    def delivered(self):
        return self.code == 250 and len(self.takers) == 1

    @property
    def in_tls(self):
        return bool(self.takers) and all(tls for _, tls in self.takers)

    def saw(self, verb, in_tls=None):
        return any(verb in r.verbs(in_tls) for _, seen in self.mxs for r in seen)

    def connected(self, host):
        return any(seen for mx, seen in self.mxs if mx.host == host)

    @property
    def tried(self):
        """Attempts and skips: hosts that were looked at."""
        return self.of("attempt") + self.of("skip")

    def field(self, name):
        """Of the last attempt or skip that has it."""
        return next((r[name] for r in reversed(self.tried) if name in r), None)

    @property
    def reasons(self):
        return [r.get("reason") for r in self.tried]

    def untruth(self):
        """What must hold whatever is expected."""
        if self.code == 250 and not self.takers:
            return "reported as delivered, and no MX took it"
        if self.code != 250 and self.takers:
            return f"an MX took it, and the client heard {self.heard!r}"
        if self.code == 421:
            return f"the client heard {self.heard!r}: it takes that for the relayhost's death"
        if len(self.of("result")) != 1:
            return f"{len(self.of('result'))} result records for one recipient"
        return None

    def told(self):
        """For complaints."""
        return f"the client heard {self.heard[:460]!r}, mails {self.takers}, reasons {self.reasons}"


class Stage:
    """Daemons by name, started when they are first needed; one nginx and one MX that is always good."""

    _shared = []   # MXs of several cases

    def __init__(self, lab, tool, making):
        self.lab, self.tool = lab, tool
        self.making = making   # held while parts of the lab are made
        self._daemons, self._ports = {}, itertools.count(2700)

    # -- parts --------------------------------------------------------------------------------

    def new_daemon(self, name, *, clock=None, **settings):
        with self.making:
            listener = {"name": name, "protocol": "smtp", "address": "127.0.0.1", "port": next(self._ports)}
            return Tlsmend(self.lab, self.lab.new_directory(name),
                           {**QUICK, "listeners": [listener], **settings}, clock=clock)

    def daemon(self, name, **settings):
        """The daemon of that name; the settings are those of its first use."""
        with self.making:
            if name not in self._daemons:
                self._daemons[name] = self.new_daemon(name, **settings)
            return self._daemons[name]

    @contextlib.contextmanager
    def scene(self):
        """A scene of the lab, with the web server that all share."""
        scene = Scene(self.lab)
        with self.making:
            scene._nginx = self.lab.share(   # pylint: disable=protected-access
                "nginx", lambda: Nginx(self.lab, self.lab.new_directory("nginx")))
        try:
            yield scene
        finally:
            scene.close()

    @staticmethod
    def hostile(scene, *domain, **options):
        """An MX of the lab on an address that no other case had: IPv4 addresses come around again, and tlsmend
        remembers addresses."""
        return scene.hostile(*domain, **{"addresses": scene.net.new_host()[1:], **options})

    def good_mx(self):
        """An MX that takes everything, for cases that are about something else."""
        with self.making:
            def make():
                scene = Scene(self.lab)
                mx = self.hostile(scene, scene.domain())
                Stage._shared.append(mx)
                return mx
            return self.lab.share("good mx", make)

    def close(self):
        self.tool.close()
        for daemon in self._daemons.values():
            daemon.stop(timeout=60)

    # -- one mail -----------------------------------------------------------------------------

    @staticmethod
    def send(scene, daemon, domain, mxs):
        """A mail to the domain; its Outcome."""
        before = [len(mx.records) for mx in mxs]
        old = len(Stage.records(daemon, domain))
        results = sum(r["event"] == "result" for r in Stage.records(daemon, domain))
        with scene.client(daemon, timeout=60) as client:
            client.ehlo()
            reply = client.deliver(SENDER, domain.address(), smtpc.message(subject="vectors"))
            client.cmd("QUIT")
        with contextlib.suppress(Timeout):   # the outcome shows how many there are
            wait_for("the result record", lambda: sum(
                r["event"] == "result" for r in Stage.records(daemon, domain)) > results, 5)
        seen = [(mx, [r for r in list(mx.records)[n:] if Stage._for(r, domain, mx in Stage._shared)])
                for mx, n in zip(mxs, before)]
        return Outcome(reply, seen, Stage.records(daemon, domain)[old:], domain)

    @staticmethod
    def _for(record, domain, shared):
        """Connections to a shared MX belong to other cases too, and may not have said to which yet: those that
        brought this domain, or no envelope at a server of this case alone."""
        lines = [line for verb, line, _ in record.commands if verb == "RCPT"]
        return any(domain.name.encode() in line for line in lines) or not (lines or shared)

    @staticmethod
    def records(daemon, domain):
        name = domain.name
        return [r for r in daemon.records() if name in (r.get("recipient_domain"), r.get("policy_domain"))]
