# SPDX-License-Identifier: Apache-2.0
"""A real HAProxy in front of tlsmend, in the client namespace."""

from .netns import CLIENT_IP4, CLIENT_IP6
from .process import Process, wait_for_port
from .tree import CACHE


class HaProxy:
    """One port for each way to send the header: ways = {port: words of its `server` line}."""

    def __init__(self, lab, directory, target, ways):
        directory.mkdir()
        proxies = "".join(f"""
listen way{port}
    bind {CLIENT_IP4}:{port}
    bind [{CLIENT_IP6}]:{port}
    server tlsmend {target} source 127.0.0.1 {words}
""" for port, words in ways.items())
        (directory / "haproxy.cfg").write_text(f"""
global
    maxconn 200
defaults
    mode tcp
    unique-id-format %ci-%cp-%Ts
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 5s
{proxies}""", encoding="ascii")
        self._process = Process(
            "haproxy", [str(CACHE / "haproxy/usr/sbin/haproxy"), "-db", "-f", str(directory / "haproxy.cfg")],
            directory / "server.log", ns=lab.net.client,
            env={"LD_LIBRARY_PATH": str(CACHE / "haproxy/usr/lib/x86_64-linux-gnu")})
        wait_for_port(lab.net.client, CLIENT_IP4, max(ways), self._process)

    def stop(self):
        self._process.stop()

    def tail(self):
        return self._process.tail()
