# SPDX-License-Identifier: Apache-2.0
"""An SMTP server that does exactly what a test tells it: an honest MX, or any kind of broken one.

    mx = HostileMx(net, chain=pki.good("mx.d1.plain.example"),
                   replies={"rcpt": lambda c: "550 5.1.1 no" if b"bad@" in c.line else "250 ok",
                            "final": Each("451 4.3.0 later", "250 2.0.0 taken")})

`replies` maps a phase to an action.  Phases, in the order of a session:
    greeting ehlo helo starttls handshake after-handshake ehlo-tls mail rcpt data body final
    rset noop quit other
Actions:
    "250 ok"             the text and CRLF                 b"250 ok\\r\\n"   exactly these bytes
    0.5                  wait                              None             never answer, keep reading
    CLOSE, RESET         FIN, RST                          NOTIFY           close_notify, then FIN
    [a, b, ...]          one after the other, a segment each
    Each(a, b, ...)      the first time a, then b, ...; the last one for ever
    f                    f(c) acts on the Connection itself, or returns an action
    TLS                  the honest handshake, among others in "handshake": Each(RESET, TLS)
    WhenHello(...)       in "handshake": by what the ClientHello says (lab/script.py)
    alert("decode_error")   a TLS alert in clear
The honest reply stands for every phase that is not in the map.  What was sent decides how it goes on:
354 to DATA reads a message, 220 to STARTTLS begins TLS.  "handshake" acts in place of the TLS
handshake once the client's whole hello is there (record.hello; f(c) may read its bytes with c.raw_recv()),
"after-handshake" inside TLS before any command, "body" once after the first bytes of the message
have come.  `behave(c)` takes the whole connection instead.
"""

import contextlib
import functools
import selectors
import socket
import threading

from OpenSSL import SSL

from . import tlspeer
from .hello import alert
from .process import wait_for
from .script import CLOSE, NOTIFY, RESET, TLS, Connection, Each, Gone, Mail, Record, WhenHello

__all__ = ["CLOSE", "NOTIFY", "RESET", "TLS", "Connection", "Each", "Gone", "HostileMx", "Mail", "Record",
           "WhenHello", "alert"]


class Acceptor:
    """The thread that takes connections, for one server or for many (lab/farm.py)."""

    def __init__(self):
        self._selector, self._stopping = selectors.DefaultSelector(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, listener, take):
        """take(sock, peer) is called for each connection, and must not block."""
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, take)

    def remove(self, listener):
        self._selector.unregister(listener)
        listener.close()

    def _run(self):
        while not self._stopping.is_set():
            for key, _ in self._selector.select(0.05):
                with contextlib.suppress(OSError):
                    key.data(*key.fileobj.accept())

    def stop(self):
        self._stopping.set()
        self._thread.join(5)
        self._selector.close()


class HostileMx:
    """Listens on an address pair of its own, port 25, until stop()."""

    capabilities = ("PIPELINING", "SIZE 104857600", "STARTTLS", "8BITMIME", "ENHANCEDSTATUSCODES")

    def __init__(self, net, *, ns=None, addresses=None, port=25, name="mx.lab.example", chain=None, replies=None,
                 behave=None, capabilities=None, read_rate=0, receive_buffer=0, acceptor=None, **tls):
        self._ns, self.receive_buffer = ns or net.internet, receive_buffer
        self.addresses = tuple(addresses or net.new_host())
        self.port, self.name, self.chain, self.replies = port, name, chain, dict(replies or {})
        unknown = set(tls) - {"versions", "ciphers", "client_cert", "setup"}
        if unknown:
            raise TypeError(f"HostileMx knows no {unknown}")
        self.read_rate, self._behave, self._tls = read_rate, behave or Connection.converse, tls
        if capabilities is not None:
            self.capabilities = tuple(capabilities)
        self.records, self._contexts, self._lock = [], {}, threading.Lock()
        self._stopping, self._sockets, self._threads = threading.Event(), set(), []
        self._own_acceptor = Acceptor() if acceptor is None else None
        self._acceptor, self._listeners = acceptor or self._own_acceptor, []
        self.listen()

    def listen(self):
        """Take connections; again after shut()."""
        if self._listeners:
            return
        for address in self.addresses:
            listener = self._ns.listen(address, self.port)
            if self.receive_buffer:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
            self._listeners.append(listener)
            self._acceptor.add(listener, functools.partial(self._take, address))

    def shut(self):
        """Connections are refused from now on; those that are there go on."""
        while self._listeners:
            self._acceptor.remove(self._listeners.pop())

    # -- what happened ------------------------------------------------------------------------

    @property
    def mails(self):
        """All complete messages, in order of their connections."""
        return [m for r in list(self.records) for m in r.mails if m.complete]

    def saw(self, verb):
        """Whether any connection brought this command, in clear or inside TLS."""
        return any(verb in r.verbs() for r in list(self.records))

    def saw_in_clear(self, text):
        return any(text in bytes(r.clear) for r in list(self.records))

    @property
    def hellos(self):
        """The ClientHellos, one for each connection that came so far, in order."""
        return [r.hello for r in list(self.records) if r.hello is not None]

    def wait_mails(self, count=1, timeout=20):
        wait_for(lambda: f"{count} mails at {self.name}; records: {self.records}",
                 lambda: len(self.mails) >= count, timeout)
        return self.mails

    def wait_closed(self, timeout=20):
        """Until every connection so far is over."""
        wait_for(lambda: f"the end of the connections to {self.name}: {self.records}",
                 lambda: self.records and not any(r.open for r in list(self.records)), timeout)
        return self.records

    # -- life ---------------------------------------------------------------------------------

    def context(self, **options):
        key = repr(sorted(options.items()))
        with self._lock:
            if key not in self._contexts:
                self._contexts[key] = tlspeer.context(options.pop("chain", self.chain),
                                                      **{**self._tls, **options})
            return self._contexts[key]

    def forget_keys(self, chain=None):
        """From the next handshake on no ticket of before is known; chain: and this certificate is shown."""
        self.chain = chain or self.chain
        with self._lock:
            self._contexts.clear()

    def sleep(self, seconds):
        if self._stopping.wait(seconds):
            raise Gone("the server was stopped")

    def _take(self, address, sock, peer):
        sock.settimeout(120)
        # Real servers answer in one segment; ours would wait 40 ms for a delayed ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        record = Record(peer[:2], address)
        with self._lock:
            record.number = len(self.records) + 1
            self.records.append(record)
            self._sockets.add(sock)
        thread = threading.Thread(target=self._serve, args=(sock, record), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, sock, record):
        connection = Connection(self, sock, record)
        try:
            self._behave(connection)
        except (Gone, EOFError) as e:
            record.error = str(e)
        except SSL.Error as e:
            record.error = f"TLS: {e}"
        except Exception as e:   # pylint: disable=broad-except  # a script's own mistake: shown by the lab
            record.error = f"script failed: {e!r}"
        finally:
            with contextlib.suppress(OSError):
                sock.close()
            with self._lock:
                self._sockets.discard(sock)
            record.open = False

    def stop(self):
        if self._stopping.is_set():
            return
        self._stopping.set()
        self.shut()
        if self._own_acceptor is not None:
            self._own_acceptor.stop()
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
