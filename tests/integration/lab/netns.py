# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces: the `client` host and the whole `internet` on the other side of a wire.

The client namespace holds the legacy MTA and tlsmend.  The internet namespace owns every address of
203.0.113.0/24 and 2001:db8:1::/64 at once, so that each MX gets an address pair of its own and all
of them can listen on port 25.  Nothing else is reachable, and neither namespace reaches the machine.

The addresses are documentation ranges (RFC 5737, RFC 3849): tlsmend classes them as public, as an
MX's address has to be (C-MX-06), and they belong to nobody.

    203.0.113.1..239       MX hosts              2001:db8:1::/64   the same, IPv6
    203.0.113.240..247     unrouted: "no route"  2001:db8:bad::/48
    203.0.113.250          the DNS server        2001:db8:1::53
    203.0.113.248, .249    unbound, the scripted DNS server      ::55, ::54
    203.0.113.251..254     nginx                 2001:db8:1::443 to ::446
    10.99.7.0/24           private, and reachable    fd00:99::/64
    198.51.100.0/24        black hole: packets vanish without an answer; 2001:db8:dead::/48
    192.0.2.1, 192.0.2.2   the wire (internet, client)
"""

import contextlib
import ctypes
import errno
import itertools
import os
import re
import signal
import socket
import subprocess
import threading

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_PREFIX = "tlsmend-lab"

DNS_IP4, DNS_IP6 = "203.0.113.250", "2001:db8:1::53"
CLIENT_IP4, CLIENT_IP6 = "192.0.2.2", "2001:db8:ffff::2"
PRIVATE_IP4, PRIVATE_IP6 = "10.99.7.1", "fd00:99::1"
BLACK_HOLE_IP4, BLACK_HOLE_IP6 = "198.51.100.1", "2001:db8:dead::1"
UNREACHABLE_IP4, UNREACHABLE_IP6 = "203.0.113.241", "2001:db8:bad::1"


def _ip(*args):
    subprocess.run(["ip", *args], check=True, timeout=20)


def _setns(fd):
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """One network namespace.  Its name carries our process id, so that a later run can clear it away."""

    def __init__(self, role):
        self.role = role
        self.name = f"{_PREFIX}-{os.getpid()}-{role}"
        _ip("netns", "add", self.name)
        self.path = f"/run/netns/{self.name}"
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self.ip("link", "set", "lo", "up")

    def ip(self, *args):
        _ip("-n", self.name, *args)

    def sysctl(self, key, value):
        with self.entered(), open("/proc/sys/" + key.replace(".", "/"), "w", encoding="ascii") as f:
            f.write(str(value))

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is inside the namespace; sockets made there stay there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _setns(self._fd)
        try:
            yield
        finally:
            _setns(home)
            os.close(home)

    def listen(self, address, port, backlog=128):
        """A listening TCP socket inside the namespace."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.entered():
            s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, port))
        s.listen(backlog)
        return s

    def connect(self, address, port, timeout=10):
        """A connected TCP socket inside the namespace."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.entered():
            s = socket.socket(family, socket.SOCK_STREAM)
        s.settimeout(timeout)
        try:
            s.connect((address, port))
        except OSError:
            s.close()
            raise
        return s

    def command(self, argv):
        """The command line that runs argv inside; an exec, so that the process id is argv's own."""
        return ["nsenter", f"--net={self.path}", *argv]

    def close(self):
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            subprocess.run(["ip", "netns", "del", self.name], check=False, timeout=20)


class Network:
    """Both namespaces, joined; made once per test run and removed at its end."""

    def __init__(self):
        remove_stale()
        self.internet = self.client = None
        self._next = itertools.count(1)
        self._next_lock = threading.Lock()
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        self.internet, self.client = Namespace("internet"), Namespace("client")
        for ns in (self.internet, self.client):
            for scope in ("all", "default"):
                ns.sysctl(f"net.ipv6.conf.{scope}.accept_dad", 0)
                ns.sysctl(f"net.ipv6.conf.{scope}.accept_ra", 0)
            ns.sysctl("net.ipv6.ip_nonlocal_bind", 1)
            ns.sysctl("net.ipv4.ip_unprivileged_port_start", 0)
        self.internet.ip("link", "add", "wire", "type", "veth", "peer", "name", "wire",
                         "netns", self.client.name)
        self._wire(self.internet, "192.0.2.1", "2001:db8:ffff::1")
        self._wire(self.client, CLIENT_IP4, CLIENT_IP6)
        self.client.ip("route", "add", "default", "via", "192.0.2.1")
        self.client.ip("-6", "route", "add", "default", "via", "2001:db8:ffff::1")
        self.internet.sysctl("net.ipv4.ip_forward", 1)
        self.internet.sysctl("net.ipv6.conf.all.forwarding", 1)
        for family, kind, net in (("-4", "local", "203.0.113.0/24"),
                                  ("-4", "unreachable", "203.0.113.240/29"),
                                  ("-4", "blackhole", "198.51.100.0/24"),
                                  ("-6", "local", "2001:db8:1::/64"),
                                  ("-4", "local", "10.99.7.0/24"),
                                  ("-6", "local", "fd00:99::/64"),
                                  ("-6", "unreachable", "2001:db8:bad::/48"),
                                  ("-6", "blackhole", "2001:db8:dead::/48")):
            # An AnyIP route makes a whole network local without an address for each host.
            dev = ["dev", "lo"] if kind == "local" else []
            table = ["table", "local"]
            self.internet.ip(family, "route", "add", kind, net, *dev, *table)

    @staticmethod
    def _wire(ns, ip4, ip6):
        ns.ip("addr", "add", f"{ip4}/24", "dev", "wire")
        ns.ip("addr", "add", f"{ip6}/64", "dev", "wire", "nodad")
        ns.ip("link", "set", "wire", "up")

    def new_host(self):
        """The next address pair (IPv4, IPv6).  IPv4 comes around again after 239 hosts, but for those that a
        server of several tests still listens on."""
        with self._next_lock:
            for _ in range(239):
                n = next(self._next)
                ip4 = f"203.0.113.{(n - 1) % 239 + 1}"
                if not self._serves(ip4):
                    break
        return ip4, f"2001:db8:1::{n + 0x1000:x}"

    def _serves(self, ip4):
        """Somebody listens on port 25 there."""
        with self.internet.entered():
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)   # TIME_WAIT is nobody
            try:
                probe.bind((ip4, 25))
            except OSError as e:
                return e.errno == errno.EADDRINUSE
        return False

    def close(self):
        for ns in (self.client, self.internet):
            if ns is not None:
                ns.close()


def remove_stale():
    """What runs that were killed left behind: their servers, and the namespaces."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True,
                            timeout=20).stdout
    for m in re.finditer(rf"^({_PREFIX}-(\d+)-\w+)", listed, re.M):
        if not os.path.exists(f"/proc/{m[2]}"):
            inside = subprocess.run(["ip", "netns", "pids", m[1]], check=False, capture_output=True,
                                    text=True, timeout=20).stdout
            for pid in inside.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", m[1]], check=False, timeout=20)
