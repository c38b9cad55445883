# SPDX-License-Identifier: Apache-2.0
"""A real nginx on port 443, in which every policy host is a name of its own.

A host is three things in files: its certificate (chosen by SNI, read at each handshake), its policy and
the way to answer.  All of them change at once and without a reload.  The addresses differ by what TLS
they speak; a policy host's A record chooses.
"""

import dataclasses
import gzip
import os

from .process import Process, wait_for, wait_for_port
from .tree import CACHE

# TLS versions -> addresses
ADDRESSES = {("1.2", "1.3"): ("203.0.113.251", "2001:db8:1::443"),
             ("1.2", "1.2"): ("203.0.113.252", "2001:db8:1::444"),
             ("1.0", "1.1"): ("203.0.113.253", "2001:db8:1::445"),
             ("1.3", "1.3"): ("203.0.113.254", "2001:db8:1::446")}
_TYPES = {"plain": "text/plain", "html": "text/html", "json": "application/json",
          "octet-stream": "application/octet-stream", "untyped": '""',
          "charset": '"text/plain; charset=utf-8"', "upper-case-type": "TEXT/PLAIN",
          "plain-like": "text/plainer", "gzip": "text/plain"}
_CODES = ("204", "304", "400", "401", "403", "404", "410", "429", "500", "502", "503")
_REDIRECTS = ("301", "302", "303", "307", "308")
ANSWERS = (*_TYPES, *_CODES, *_REDIRECTS)
PATH = "/.well-known/mta-sts.txt"
_FIELDS = ("msec", "host", "request_uri", "status", "request_method", "server_protocol", "ssl_protocol",
           "ssl_server_name", "http_user_agent", "http_accept_encoding", "body_bytes_sent")


@dataclasses.dataclass
class Request:
    """A line of the access log."""
    time: float        # of its end (time.time())
    host: str
    path: str
    status: int
    method: str
    protocol: str
    tls: str
    sni: str
    agent: str
    accept_encoding: str
    sent: int          # bytes of the body


class Nginx:
    """One nginx, started when it is made."""

    def __init__(self, lab, directory):
        self._ns, self.directory = lab.net.internet, directory
        self._process = None
        for part in ("", "cert", "www", "temp"):
            (directory / part).mkdir(exist_ok=True)
        (directory / "nginx.conf").write_text(self._config(), encoding="ascii")
        self.start()

    def start(self):
        self._process = Process(
            "nginx", [str(CACHE / "nginx/usr/sbin/nginx"), "-p", str(self.directory), "-c", "nginx.conf",
                      "-e", "error.log"], self.directory / "server.log", ns=self._ns)
        for address in ADDRESSES.values():
            wait_for_port(self._ns, address[0], 443, self._process)

    def stop(self):
        """Nothing listens any more; start() brings it back, with the same hosts."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    # -- hosts --------------------------------------------------------------------------------

    def certificate(self, host, chain):
        for suffix, source in ((".pem", chain.path), (".key", chain.key_path)):
            _replace(self.directory / f"cert/{host}{suffix}", source.read_bytes())

    def policy(self, host, data):
        (self.directory / f"www/{host}").mkdir(exist_ok=True)
        _replace(self.directory / f"www/{host}/policy.gz", gzip.compress(data))
        _replace(self.directory / f"www/{host}/policy", data)

    def answer(self, host, name):
        if name not in ANSWERS:
            raise ValueError(f"nginx has no answer {name!r}; there are {', '.join(ANSWERS)}")
        (self.directory / f"www/{host}").mkdir(exist_ok=True)
        for old in (self.directory / f"www/{host}").glob("is.*"):
            if old.name != f"is.{name}":
                old.unlink()
        (self.directory / f"www/{host}/is.{name}").touch()

    def remove(self, host):
        """As if it was never here: a handshake for it fails."""
        for suffix in (".pem", ".key"):
            (self.directory / f"cert/{host}{suffix}").unlink(missing_ok=True)

    # -- what happened ------------------------------------------------------------------------

    def requests(self, host=None):
        """The requests that were answered, oldest first."""
        try:
            lines = (self.directory / "access.log").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            value = line.split("\t")
            found.append(Request(float(value[0]), value[1], value[2], int(value[3]), *value[4:-1], int(value[-1])))
        return [r for r in found if host is None or r.host == host]

    def wait_requests(self, count, host=None, timeout=10):
        """At least so many."""
        wait_for(lambda: f"{count} requests for {host}; there are {self.requests()}\n{self.tail()}",
                 lambda: len(self.requests(host)) >= count, timeout)
        return self.requests(host)

    def tail(self, lines=30):
        out = []
        for name in ("server.log", "error.log", "access.log"):
            if (self.directory / name).exists():
                text = (self.directory / name).read_text(encoding="utf-8", errors="backslashreplace")
                out += [f"-- {name}", *text.splitlines()[-lines:]]
        return "\n".join(out)

    # -- configuration ------------------------------------------------------------------------

    def _config(self):
        top = self.directory
        form = "\\t".join("$" + f for f in _FIELDS)
        chosen = "".join(f"if (-f {top}/www/$host/is.{n}) {{ rewrite ^ /is/{n} last; }}\n" for n in _TYPES)
        chosen += "".join(f"if (-f {top}/www/$host/is.{n}) {{ return {n}; }}\n" for n in _CODES)
        chosen += "".join(f"if (-f {top}/www/$host/is.{n}) {{ return {n} https://$host/moved.txt; }}\n"
                          for n in _REDIRECTS)
        typed = "".join(
            f"location = /is/{name} {{ internal; types {{ }} default_type {kind}; alias {top}/www/$host/policy;"
            + (" gzip_static always;" if name == "gzip" else "") + " }\n" for name, kind in _TYPES.items())
        servers = "".join(f"""
server {{
    listen {v4}:443 ssl http2;
    listen [{v6}]:443 ssl http2;
    ssl_protocols {" ".join(_nginx_versions(versions))};
    location = {PATH} {{
{chosen}    }}
    location = /moved.txt {{ types {{ }} default_type text/plain; alias {top}/www/$host/policy; }}
{typed}    location / {{ return 404; }}
}}
""" for versions, (v4, v6) in ADDRESSES.items())
        temporary = "".join(f"{n}_temp_path {top}/temp;\n"
                            for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"""
user root;
daemon off;
pid nginx.pid;
worker_processes 1;
error_log {top}/error.log info;
events {{ worker_connections 512; }}
http {{
{temporary}
log_format lab escape=none "{form}";
access_log {top}/access.log lab;
ssl_certificate {top}/cert/$ssl_server_name.pem;
ssl_certificate_key {top}/cert/$ssl_server_name.key;
ssl_ciphers ALL:@SECLEVEL=0;
ssl_session_cache off;
{servers}
}}
"""


def _nginx_versions(versions):
    names = {"1.0": "TLSv1", "1.1": "TLSv1.1", "1.2": "TLSv1.2", "1.3": "TLSv1.3"}
    return [n for v, n in names.items() if versions[0] <= v <= versions[1]]


def _replace(path, data):
    """The whole file at once: nginx reads it at any time."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    os.replace(new, path)
