# SPDX-License-Identifier: Apache-2.0
"""The packet filter rules of deploy/nftables/, loaded in the client namespace; and a container behind it."""

import itertools
import os
import pwd
import re
import subprocess

from .netns import Namespace
from .tlsmend import ROOT, Tlsmend, program

FILES = ROOT / "deploy/nftables"
USER = "nobody"   # in the place of `tlsmend`, whom a test machine does not have
BOX_IP4, BOX_IP6 = "10.88.0.2", "fd00:88::2"
GATE_IP4, GATE_IP6 = "10.88.0.1", "fd00:88::1"
_count = itertools.count(1)


def run(ns, *argv):
    """A command inside the namespace; what it says."""
    done = subprocess.run(ns.command(list(argv)), check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


class Rules:
    """One file, loaded as it is but for the names in `changes`, each of which has to be there."""

    def __init__(self, ns, file, directory, changes):
        self._ns, self._path = ns, directory / file
        text = (FILES / file).read_text(encoding="utf-8")
        self.table = re.search(r"^table (inet \w+) \{", text, re.M)[1]
        for old, new in changes.items():
            assert old in text, f"{file} has no {old!r}"
            text = text.replace(old, new)
        self._path.write_text(text, encoding="utf-8")
        self.load()

    def load(self):
        run(self._ns, "nft", "-f", str(self._path))

    def stop(self):
        """The one command of the file's header."""
        run(self._ns, "nft", "delete", "table", *self.table.split())
        assert self.table not in run(self._ns, "nft", "list", "tables")


def rules(scene, file, **changes):
    """Until the end of the test.  changes: user, interface; guard=False takes the loop guard out."""
    words = {}
    if file == "redirect-local.nft":
        guard = 'meta skuid "tlsmend" accept'
        words[guard] = guard.replace("tlsmend", USER) if changes.pop("guard", True) else ""
    if "interface" in changes:
        words[f'define clients = "{changes.pop("default")}"'] = f'define clients = "{changes.pop("interface")}"'
    assert not changes, changes
    directory = scene.lab.new_directory("rules")
    directory.mkdir()
    return scene.add(file, Rules(scene.net.client, file, directory, words))


def daemon(scene, listeners, **settings):
    """A tlsmend that starts as root and goes on as another user."""
    tlsmend = Tlsmend(scene.lab, scene.lab.new_directory("tlsmend"),
                      {"user": USER, "listeners": listeners, **settings}, start=False)
    user = pwd.getpwnam(USER)
    os.chown(tlsmend.directory, user.pw_uid, user.pw_gid)
    scene.add("tlsmend", tlsmend)
    tlsmend.start()
    return tlsmend


class Box:
    """A namespace whose only way out is through the client namespace: a container behind a bridge."""

    def __init__(self, scene):
        self._gate, self._routed = scene.net.client, False
        self.interface = f"box{next(_count)}"
        self.ns = Namespace(self.interface)
        try:
            self._build()
        except BaseException:
            self.stop()
            raise

    def _build(self):
        gate = self._gate
        self.ns.ip("link", "add", "eth0", "type", "veth", "peer", "name", self.interface,
                   "netns", gate.name)
        for ns, device, ip4, ip6 in ((self.ns, "eth0", BOX_IP4, BOX_IP6),
                                     (gate, self.interface, GATE_IP4, GATE_IP6)):
            ns.ip("addr", "add", f"{ip4}/24", "dev", device)
            ns.ip("addr", "add", f"{ip6}/64", "dev", device, "nodad")
            ns.ip("link", "set", device, "up")
        self.ns.ip("route", "add", "default", "via", GATE_IP4)
        self.ns.ip("-6", "route", "add", "default", "via", GATE_IP6)
        gate.sysctl("net.ipv4.ip_forward", 1)
        gate.sysctl("net.ipv6.conf.all.forwarding", 1)

    def routes(self):
        """tproxy-routes up, and down at the end."""
        run(self._gate, str(FILES / "tproxy-routes"), "up")
        self._routed = True

    def stop(self):
        gate = self._gate
        if self._routed:
            run(gate, str(FILES / "tproxy-routes"), "down")
            assert "1925" not in run(gate, "ip", "rule") + run(gate, "ip", "-6", "rule")
        self.ns.close()
        gate.sysctl("net.ipv4.ip_forward", 0)
        gate.sysctl("net.ipv6.conf.all.forwarding", 0)


def as_user(ns, tlsmend):
    """`tlsmend run` started as USER; how it ended."""
    user = pwd.getpwnam(USER)
    os.chown(tlsmend.directory, user.pw_uid, user.pw_gid)
    argv = ["setpriv", f"--reuid={USER}", f"--regid={user.pw_gid}", "--clear-groups", "--inh-caps=-all",
            str(program()), "run", "-c", str(tlsmend.config_path)]
    return subprocess.run(ns.command(argv), check=False, capture_output=True, text=True, timeout=20)
