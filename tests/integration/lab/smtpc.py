# SPDX-License-Identifier: Apache-2.0
"""A raw SMTP client: exact bytes, any segmentation, nothing added."""

import dataclasses
import itertools
import socket
import time


@dataclasses.dataclass
class Reply:
    """One reply: code, its lines without code and separator."""
    code: int
    lines: list

    @property
    def text(self):
        return "\n".join(self.lines)

    def __str__(self):
        return f"{self.code} {self.text}"


class SmtpClient:
    """A connection from the client namespace."""

    def __init__(self, ns, address="127.0.0.1", port=2525, timeout=30, greet=True):
        self.sock = ns.connect(address, port, timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.greeting = self.reply() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self.sock.close()

    # -- bytes --------------------------------------------------------------------------------

    def send(self, data, sizes=None, gap=0.0):
        """Bytes as they are; sizes: cut into segments of these sizes, in turn."""
        if sizes is None:
            self.sock.sendall(data)
            return
        at = 0
        for size in itertools.cycle(sizes):
            if at >= len(data):
                return
            self.sock.sendall(data[at:at + size])
            at += size
            time.sleep(gap)

    def read_line(self):
        while b"\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"connection closed after {self._buffer!r}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        assert line.endswith(b"\r"), f"reply line without CR: {line!r}"
        return line[:-1]

    def closed(self, timeout=5):
        """Whether the server closes now, without another byte."""
        self.sock.settimeout(timeout)
        try:
            return not self._buffer and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    # -- commands -----------------------------------------------------------------------------

    def reply(self):
        lines = []
        while True:
            line = self.read_line().decode("utf-8", "backslashreplace")
            assert len(line) >= 3 and line[:3].isdigit() and line[3:4] in ("", " ", "-"), repr(line)
            lines.append(line[4:])
            if line[3:4] != "-":
                return Reply(int(line[:3]), lines)

    def cmd(self, line):
        """One command, one reply."""
        self.send(line.encode() + b"\r\n" if isinstance(line, str) else line)
        return self.reply()

    def ehlo(self, name="client.lab.example"):
        return self.cmd(f"EHLO {name}")

    def pipeline(self, lines, sizes=None):
        """All commands at once; their replies."""
        self.send(b"".join(line.encode() + b"\r\n" for line in lines), sizes)
        return [self.reply() for _ in lines]

    def envelope(self, sender, recipients, params=""):
        """MAIL and RCPT one by one; the list of their replies."""
        return [self.cmd(f"MAIL FROM:<{sender}>{params}"),
                *(self.cmd(f"RCPT TO:<{r}>") for r in recipients)]

    def data(self, message, sizes=None):
        """DATA with a message (CRLF lines, not yet dot-stuffed); the final reply, or DATA's own."""
        go = self.cmd("DATA")
        if go.code != 354:
            return go
        self.send(stuff(message) + b".\r\n", sizes)
        return self.reply()

    def deliver(self, sender, recipient, message):
        """A whole mail; the first reply that is no success, else the final one."""
        for reply in self.envelope(sender, [recipient]):
            if reply.code != 250:
                return reply
        return self.data(message)


def stuff(message):
    """Dot-stuffing (RFC 5321 4.5.2)."""
    assert message.endswith(b"\r\n")
    return (b"." if message.startswith(b".") else b"") + message.replace(b"\r\n.", b"\r\n..")


def message(subject="test", body=b"Hello\r\n", **headers):
    """A small message with its headers."""
    head = {"From": "<sender@client.lab.example>", "To": "<user@example>", "Subject": subject,
            "Date": "Sat, 22 Nov 2025 12:00:00 +0000", "Message-ID": f"<{subject}@client.lab.example>",
            **{k.replace("_", "-"): v for k, v in headers.items()}}
    return "".join(f"{k}: {v}\r\n" for k, v in head.items()).encode() + b"\r\n" + body
