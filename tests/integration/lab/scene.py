# SPDX-License-Identifier: Apache-2.0
"""The Lab (once per run) and the Scene (once per test): what a test takes its parts from."""

import itertools
import os
import pathlib
import shutil
import tempfile

from . import clock as clocks
from . import sts
from .capture import Capture
from .dns import Knot
from .finger import Finger
from .hostile import HostileMx
from .netns import Network
from .nginx import Nginx
from .pki import Pki
from .smtpc import SmtpClient
from .tlsmend import Tlsmend
from .unbound import Unbound

_PREFIX = "tlsmend-lab-"


def _remove_stale_directories(base):
    """Those of runs that were killed; LAB_KEEP=1 leaves them all."""
    for path in pathlib.Path(base or tempfile.gettempdir()).glob(_PREFIX + "*-*"):
        pid = path.name[len(_PREFIX):].partition("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}") and not os.environ.get("LAB_KEEP"):
            shutil.rmtree(path, ignore_errors=True)


class Lab:
    """Network, DNS and certificates; and real servers that several tests share."""

    def __init__(self):
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        _remove_stale_directories(base)
        clocks.remove_stale()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
        self.directory.chmod(0o755)
        self._count = itertools.count(1)
        self.shared = {}
        self.net = self.dns = None
        try:
            self.net = Network()
            self.dns = Knot(self.net, self.directory / "dns")
            self.dns.start()
            self.pki = Pki(self.directory / "pki")
        except BaseException:
            self.close()
            raise

    def new_directory(self, name):
        """A path that does not exist yet, short enough for UNIX sockets in it."""
        return self.directory / f"{next(self._count)}-{name}"

    def share(self, name, make):
        """The server of that name, made by make() on first use and stopped at the end of the run."""
        if name not in self.shared:
            self.shared[name] = make()
        return self.shared[name]

    def close(self):
        for server in reversed(list(self.shared.values())):
            server.stop()
        if self.dns is not None:
            self.dns.stop()
        if self.net is not None:
            self.net.close()
        if not os.environ.get("LAB_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)


class Scene:
    """One test's domains, servers and clients; all ended with the test."""

    def __init__(self, lab):
        self.lab, self.net, self.dns, self.pki = lab, lab.net, lab.dns, lab.pki
        self._parts = []   # (name, thing with stop() and perhaps tail())
        self._nginx = None

    def add(self, name, part):
        self._parts.append((name, part))
        return part

    def domain(self, signed=False, zone=None):
        """A fresh recipient domain; zone: one of those in lab/dns.py."""
        made = self.dns.domain(signed, zone=zone)
        made.scene = self
        return made

    def sts_domains(self, count, mx, **fields):
        """Many domains with one MX and one policy (lab/sts.py)."""
        return sts.many(self, count, mx, **fields)

    @property
    def nginx(self):
        """The web server of the policy hosts, started on first use."""
        if self._nginx is None:
            self._nginx = self.add("nginx", Nginx(self.lab, self.lab.new_directory("nginx")))
        return self._nginx

    def hostile(self, domain=None, *, label="mx", kind="good", preference=10, chain=None, tls=True,
                at=None, **options):
        """A HostileMx.  With a domain it becomes that domain's MX `label`.domain, with a certificate
        of that kind; tls=False: none, and STARTTLS is not offered.  at: another domain in which the
        host is."""
        if domain is None:
            return self.add("hostile", HostileMx(self.net, chain=chain, **options))
        home = at or domain
        host = f"{label}.{home.name}"
        if chain is None and tls:
            chain = self.pki.chain(kind, host)
        options.setdefault("name", host)
        mx = self.add(f"hostile {host}", HostileMx(self.net, chain=chain, **options))
        home.add_addresses(host, mx.addresses)
        domain.mx(host, preference)
        mx.host = host
        return mx

    def tlsmend(self, *, clock=None, **settings):
        """A running daemon; settings are merged over the lab's defaults (see lab/tlsmend.py).
        clock: "wall" or "both" for one that can be turned (lab/clock.py)."""
        return self.add("tlsmend", Tlsmend(self.lab, self.lab.new_directory("tlsmend"), settings, clock=clock))

    def client(self, tlsmend, listener=None, **options):
        """A raw SMTP client to it, greeted; listener: (address, port) of another one than the first."""
        address, port = listener or tlsmend.listener
        client = SmtpClient(self.net.client, address, port, **options)
        self._parts.append(("client", _Stoppable(client.close)))
        return client

    def server(self, factory, **options):
        """A real server for this test alone, e.g. scene.server(PostfixMx, chain=...)."""
        return self.add(factory.__name__, factory(self.lab, **options))

    def capture(self):
        """The packets between the client host and the internet from now on (lab/capture.py)."""
        return self.add("capture", Capture(self.net))

    @property
    def unbound(self):
        """A validating resolver that sets the AD bit, one for the run."""
        return self.lab.share("unbound", lambda: Unbound(self.lab, self.lab.new_directory("unbound")))

    def posttls_finger(self, domain, level="dane", **options):
        """What Postfix thinks of this destination (lab/finger.py)."""
        finger = self.lab.share("posttls-finger", lambda: Finger(self.lab, self.unbound))
        return finger.ask(getattr(domain, "name", domain), level, **options)

    def report(self):
        """What every part has to say after a failure: (title, text) pairs."""
        shared = list(self.lab.shared.items())
        for name, part in self._parts + shared:
            if hasattr(part, "tail"):
                yield name, part.tail()
            elif isinstance(part, HostileMx):
                yield name, "\n".join(map(repr, part.records))[-6000:]

    def close(self):
        errors = []
        for name, part in reversed(self._parts):
            try:
                part.stop()
            except AssertionError as e:
                errors.append(f"{name}: {e}")
        scripts = [r.error for _, part in self._parts if isinstance(part, HostileMx)
                   for r in part.records if r.error.startswith("script failed")]
        if errors or scripts:
            raise AssertionError("\n".join(errors + scripts))


class _Stoppable:
    def __init__(self, stop):
        self.stop = stop
