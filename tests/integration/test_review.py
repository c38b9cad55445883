# SPDX-License-Identifier: Apache-2.0
"""What a hostile reading of the relay found: each test failed once."""


from lab import smtpc

SENDER = "a@client.lab.example"


# -- sessions that wait for nothing ----------------------------------------------------------------------


def test_pipelined_replies_of_exactly_the_output_mark_go_on(scene, tlsmend):
    """Replies that fill the output to the byte where reading pauses: the commands behind are read too."""
    with scene.client(tlsmend) as c:
        c.ehlo()
        size = {line: len(str(c.cmd(line))) + 2 for line in ("NOOP", "HELP", "VRFY x")}
        rest, lines = 32768, []
        while rest % size["NOOP"] and rest > 0:
            lines.append("VRFY x")
            rest -= size["VRFY x"]
            if rest % size["NOOP"] == 0:
                break
        # as many long replies as keep the rest divisible
        while rest >= size["HELP"] * size["NOOP"] and len(lines) + rest // size["NOOP"] > 1500:
            lines += ["HELP"] * size["NOOP"]
            rest -= size["HELP"] * size["NOOP"]
        lines += ["NOOP"] * (rest // size["NOOP"])
        assert sum(size[x] for x in lines) == 32768
        sent = "".join(x + "\r\n" for x in [*lines, "NOOP", "NOOP"]).encode()
        assert len(sent) <= 16384
        c.sock.settimeout(5)
        c.send(sent)
        for _ in range(len(lines) + 2):
            c.reply()


def test_a_client_that_never_reads_its_replies_is_timed_out(scene):
    tlsmend = scene.tlsmend(timeouts={"client_idle": "2s"})
    c = scene.client(tlsmend)
    c.ehlo()
    c.sock.settimeout(1)
    for _ in range(4000):   # until all buffers between us are full
        try:
            c.sock.sendall(b"HELP\r\n" * 500)
        except (TimeoutError, OSError):
            break
    tlsmend.wait_records("session", timeout=15, end="timeout")


def test_the_clients_silence_is_not_timed_while_it_waits_for_us(scene):
    """Design section 7: a slow MX is no reason for a 421, however short client_idle is."""
    tlsmend = scene.tlsmend(timeouts={"client_idle": "2s"})
    domain = scene.domain()
    scene.hostile(domain, replies={"rcpt": [4, "250 2.1.5 ok"]})
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.deliver(SENDER, domain.address(), smtpc.message()).code == 250
