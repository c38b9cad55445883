# SPDX-License-Identifier: Apache-2.0
"""What is measured: tlsmend and its peers, each in its best shape for the same task.

Every peer listens in the client namespace and delivers to the one sink over TLS 1.3 with a verified chain and
host name.  `pids()` are all its processes, `config` is what RESULTS.md shows of its settings.
"""

import os
import pathlib
import shutil
import subprocess

from lab.mta import SUBMIT_PORT
from lab.postfix import PostfixClient
from lab.process import Process, wait_for_port
from lab.tlsmend import Tlsmend, config_text, merged

from measure import MX_PORT, same_mounts

STUNNEL_PORT, PUMP_PORT = 2600, 2601
STUNNEL = "/usr/bin/stunnel4"


class TlsmendPeer:
    name, to, port = "tlsmend", "127.0.0.1", 2525
    secure = None       # the load speaks plain SMTP
    queues = False      # 250 means that the sink has the message

    def __init__(self, bench, **settings):
        self._daemon = Tlsmend(bench.lab, bench.lab.new_directory("tlsmend"), merged({"workers": 0}, settings))
        self.version = version_of("tlsmend", os.environ["TLSMEND_BIN"], "--version")
        self.config = config_text({k: v for k, v in self._daemon.settings.items()
                                   if k not in ("store", "log", "resolver", "helo_name", "user", "listeners")})

    def pids(self):
        return [self._daemon.pid]

    def stop(self):
        self._daemon.stop(timeout=60)


class _TunedPostfix(PostfixClient):
    """Relays to the MX by itself.  Its queue lies in the lab's directory, which is on a tmpfs."""

    mx = host = roots = None

    def configure(self):
        self.tree.write("/etc/postfix/roots.pem", self.roots)
        self.tree.write("/etc/postfix/policy", f"/./ verify match={self.host} protocols=>=TLSv1.3\n")
        self.main = f"""relayhost = [{self.mx}]:{MX_PORT}
smtp_tls_security_level = verify
smtp_tls_policy_maps = regexp:/etc/postfix/policy
smtp_tls_CAfile = /etc/postfix/roots.pem
smtp_tls_connection_reuse = yes
smtp_tls_session_cache_database = btree:/var/lib/postfix/smtp_scache
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = [{self.mx}]:{MX_PORT}
smtp_connection_reuse_count_limit = 0
smtp_connection_reuse_time_limit = 300s
default_destination_concurrency_limit = 100
initial_destination_concurrency = 100
default_process_limit = 200
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 100000
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
smtp_helo_timeout = 60s
message_size_limit = 104857600
mailbox_size_limit = 0
disable_dns_lookups = yes
smtp_host_lookup = native
smtp_dns_support_level = disabled
"""
        self.write_configuration(f"""myhostname = {self.hostname}
mydestination =
mynetworks = 127.0.0.0/8
{self.main}""", [f"127.0.0.1:{SUBMIT_PORT}"])
        master = self.tree.path("/etc/postfix/master.cf")
        self.tree.write("/etc/postfix/master.cf",
                        master.read_text(encoding="ascii") + "tlsproxy unix - - n - 0 tlsproxy\n")


class PostfixPeer:
    name, to, port = "postfix", "127.0.0.1", SUBMIT_PORT
    secure = None
    queues = True

    def __init__(self, bench):
        _TunedPostfix.mx, _TunedPostfix.host = bench.mx_address, bench.mx_host
        _TunedPostfix.roots = bench.lab.pki.trust_store.read_bytes()
        self._server = _TunedPostfix(bench.lab)
        self.version = "Postfix " + self._server.tree.run(["postconf", "-hd", "mail_version"]).strip()
        self.config = self._server.main
        self.stop = self._server.stop

    def pids(self):
        return same_mounts(self._server.pid)


class StunnelPeer:
    name, to, port = "stunnel", "127.0.0.1", STUNNEL_PORT
    secure = None
    queues = False

    def __init__(self, bench):
        path = bench.lab.new_directory("stunnel.conf")
        self.config = f"""foreground = yes
pid =
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[smtp]
client = yes
protocol = smtp
accept = 127.0.0.1:{STUNNEL_PORT}
connect = {bench.mx_address}:{MX_PORT}
CAfile = {bench.lab.pki.trust_store}
verifyChain = yes
checkHost = {bench.mx_host}
sni = {bench.mx_host}
sslVersionMin = TLSv1.3
sessionResume = yes
sessionCacheSize = 100000
"""
        path.write_text(self.config, encoding="ascii")
        self.version = version_of("stunnel", STUNNEL, "-version")
        self._process = Process("stunnel", ["sh", "-c", f"ulimit -n $(ulimit -Hn) && exec {STUNNEL} {path}"],
                                bench.lab.new_directory("stunnel.log"), ns=bench.lab.net.client)
        wait_for_port(bench.lab.net.client, self.to, self.port, self._process)
        self.stop = self._process.stop

    def pids(self):
        return [self._process.pid]


class PumpPeer:
    """The bench's own byte pump: what it costs to do nothing but TLS."""

    name, to, port = "pump", "127.0.0.1", PUMP_PORT
    secure = None
    queues = False
    version, config = "", "bench/pump.c\n"

    def __init__(self, bench):
        argv = [str(bench.programs / "pump"), "--listen-port", str(PUMP_PORT), "--to", bench.mx_address, "--port",
                str(MX_PORT), "--ca", str(bench.lab.pki.trust_store), "--host", bench.mx_host]
        self._process = Process("pump", argv, bench.lab.new_directory("pump.log"), ns=bench.lab.net.client)
        wait_for_port(bench.lab.net.client, self.to, self.port, self._process)
        self.stop = self._process.stop

    def pids(self):
        return [self._process.pid]


class DirectPeer:
    """No relay: the load itself is the MX's TLS client, with session tickets."""

    name, port = "direct", MX_PORT
    queues = False
    version, config = "", "bench/load.c with --ca and --host\n"

    def __init__(self, bench):
        self.to = bench.mx_address
        self.secure = {"ca": bench.lab.pki.trust_store, "host": bench.mx_host}

    def pids(self):
        return []

    def stop(self):
        pass


class CeilingPeer(DirectPeer):
    """No relay and no TLS: what load and sink can do at most."""

    name = "ceiling"
    config = "bench/load.c, in clear to the sink\n"

    def __init__(self, bench):
        super().__init__(bench)
        self.secure = None


PEERS = {p.name: p for p in (TlsmendPeer, PostfixPeer, StunnelPeer, PumpPeer, DirectPeer, CeilingPeer)}


def version_of(word, *command):
    """The line that begins with the word."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return next((line for line in (run.stdout + run.stderr).splitlines() if line.startswith(word)), "")


def copied(program, directory):
    """A copy, so that a build beside the bench does not change what is measured."""
    target = pathlib.Path(directory) / "tlsmend.measured"
    shutil.copy2(program, target)
    return target
