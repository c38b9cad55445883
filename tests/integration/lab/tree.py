# SPDX-License-Identifier: Apache-2.0
"""An unpacked Debian package run as if it were installed, beside any number of others.

tests/install unpacks the mail servers into tests/.cache/.  A Tree is one instance: in a mount
namespace of its own the package's /usr lies over the host's, and /etc and /var are the host's
below a layer that belongs to the instance alone.  So every hard-coded path is right, two
instances never meet, and the host is not changed.
"""

import os
import pathlib
import shutil
import subprocess
import time

from .netns import DNS_IP4
from .process import Process

CACHE = pathlib.Path(__file__).resolve().parents[2] / ".cache"

# The packages' users, with numbers that only the instances know.
_FIRST_ID = 61184
_USERS = ["Debian-exim", "opensmtpd", "opensmtpq", "smmta", "smmsp", "postfix", "postdrop", "labmail"]
UID = {name: _FIRST_ID + i for i, name in enumerate(_USERS)}


class Tree:
    """One instance of a package: its files, the commands inside it, its main process."""

    def __init__(self, package, directory, ns, hostname, syslog=None):
        """syslog: a directory with a datagram socket "log" that becomes the instance's /dev/log."""
        self.source, self.directory, self._ns, self._syslog = CACHE / package, directory, ns, syslog
        if not (self.source / ".complete").exists():
            raise AssertionError(f"{package} is not unpacked: run tests/install")
        self.process = None
        for part in ("etc", "var"):
            (directory / part).mkdir(parents=True)
            (directory / f"{part}.work").mkdir()
            shipped = self.source / part
            if shipped.exists():
                shutil.copytree(shipped, directory / part, dirs_exist_ok=True, symlinks=True)
        directory.chmod(0o755)
        self._write_host_files(hostname)

    def _write_host_files(self, hostname):
        own = {name: (f"{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n", f"{name}:x:{uid}:\n")
               for name, uid in UID.items()}
        for index, path in enumerate(("etc/passwd", "etc/group")):
            host = pathlib.Path("/", path).read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in host if line.split(":")[0] not in UID]
            self.write("/" + path, "".join(kept) + "".join(lines[index] for lines in own.values()))
        self.write("/etc/resolv.conf", f"nameserver {DNS_IP4}\n")
        self.write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n")
        self.write("/etc/mailname", hostname + "\n")
        self.write("/etc/aliases", "")

    # -- files --------------------------------------------------------------------------------

    def path(self, inside):
        """Where a file of the instance's /etc or /var is, seen from the test."""
        return self.directory / inside.lstrip("/")

    def write(self, inside, content, mode=0o644, owner=None):
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        if owner is not None:
            os.chown(path, UID[owner], UID[owner])
        # Postfix waits for seconds when its configuration is younger than that.
        os.utime(path, (time.time() - 60,) * 2)

    def mkdir(self, inside, owner=None, group=None, mode=0o755):
        path = self.path(inside)
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        os.chown(path, UID.get(owner, 0), UID.get(group or owner, 0))

    # -- processes ----------------------------------------------------------------------------

    def _argv(self, argv):
        def overlay(part, upper):
            lower = f"{self.source}/{part}:/{part}" if not upper else f"/{part}"
            own = f",upperdir={self.directory}/{part},workdir={self.directory}/{part}.work" if upper else ""
            return f"mount -t overlay lab -o 'lowerdir={lower}{own}' /{part} && "
        # Old servers close every possible descriptor at their start, so a high limit costs seconds.
        script = overlay("usr", False) + overlay("etc", True) + overlay("var", True) \
            + f'mount -t tmpfs lab /run && {self._device_script()} ulimit -n 4096 && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *argv]

    def _device_script(self):
        """A /dev of its own, where there is a syslog socket."""
        if self._syslog is None:
            return ""
        return (f"mkdir /run/dev && mount -t tmpfs lab /run/dev && mkdir /run/dev/lab && mount --bind {self._syslog} "
                "/run/dev/lab && ln -s lab/log /run/dev/log && cp -a /dev/null /dev/zero /dev/random /dev/urandom /run/dev "
                "&& mount --move /run/dev /dev &&")

    def start(self, argv, env=None):
        """The main process; its output goes to server.log."""
        self.process = Process(self.source.name, self._argv(argv), self.directory / "server.log",
                               ns=self._ns, env=env)
        return self.process

    def run_before(self, argv, check=True, **options):
        """A command in the same files, in a mount namespace of its own, while nothing runs yet."""
        return subprocess.run(self._ns.command(self._argv(argv)), check=check, timeout=30,
                              capture_output=True, **options)

    def run(self, argv, check=True, timeout=30, **options):
        """A command beside the running main process: what an administrator would type."""
        done = subprocess.run(["nsenter", f"--target={self.process.pid}", "--mount", "--net", "--root", "--wd=/", *argv],
                              check=False, timeout=timeout, capture_output=True, text=True, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{argv}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def stop(self):
        if self.process is not None:
            self.process.stop()
