# SPDX-License-Identifier: Apache-2.0
"""A real unbound that validates under the lab's root, for programs that need a resolver with the AD bit."""

from .netns import DNS_IP4
from .process import Process, wait_for_port
from .tree import CACHE


class Unbound:
    """In the internet namespace, on an address pair of its own.  It keeps no answer."""

    address, address6 = "203.0.113.248", "2001:db8:1::55"

    def __init__(self, lab, directory):
        directory.mkdir()
        self.resolv_conf = (f"nameserver {self.address}\n"
                            "options trust-ad edns0 timeout:5 attempts:1\n")
        (directory / "unbound.conf").write_text(f"""
server:
    directory: "{directory}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: {self.address}
    interface: {self.address6}
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    num-threads: 1
    trust-anchor-file: "{lab.dns.trust_anchor}"
    val-log-level: 2
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    qname-minimisation: no
    aggressive-nsec: no
remote-control:
    control-enable: no
stub-zone:
    name: "."
    stub-addr: {DNS_IP4}
""", encoding="ascii")
        self._process = Process(
            "unbound", [str(CACHE / "unbound/usr/sbin/unbound"), "-d", "-c", str(directory / "unbound.conf")],
            directory / "server.log", ns=lab.net.internet)
        wait_for_port(lab.net.internet, self.address, 53, self._process)

    def stop(self):
        self._process.stop()

    def tail(self):
        return self._process.tail()
