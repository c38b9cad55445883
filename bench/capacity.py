# SPDX-License-Identifier: Apache-2.0
"""The scenarios about much at one time: S6, sessions that stand still; Growth, cost against numbers."""

import time

from measure import PARALLEL, cpu_of, files_of, lost_and_twice, pss_of, quiet
from scenarios import KIB, Goal, Scenario, fixed

WATCHED_SECONDS = 2


class S6(Scenario):
    name = "s6"
    title = "sessions that stand behind the answer to RCPT, one upstream TLS connection each; then all deliver"
    peers = ("tlsmend", "stunnel", "pump")
    sessions = {"tlsmend": 9000, "pump": 9000, "stunnel": 2000}   # stunnel: a thread for each
    tlsmend_settings = {"limits": {"sessions": 9000}, "pool": {"idle_time": "3s"}}   # given back soon
    columns = (("held", "held", 0), ("each", "KiB each", 1), ("spin", "CPU-s in 2 s of standing", 2),
               ("turned_away", "the next 20: 421 or 451", 0), ("delivered", "then delivered", 0),
               ("memory_left", "KiB each left behind", 1), ("files_left", "descriptors left", 0))
    goals = (
        Goal("sessions held in one process", lambda m: m["tlsmend"]["held"], fixed(9000), True),
        Goal("KiB of memory each", lambda m: m["tlsmend"]["each"], fixed(24)),
        Goal("all of them deliver", lambda m: m["tlsmend"]["delivered"], lambda m: m["tlsmend"]["held"], True),
        Goal("the next 20 hear 421 or 451", lambda m: m["tlsmend"]["turned_away"], fixed(20), True),
        Goal("no spin: CPU-s in 2 s of standing", lambda m: m["tlsmend"]["spin"], fixed(0.1)),
        Goal("KiB each left behind", lambda m: m["tlsmend"]["memory_left"], fixed(1)),
        Goal("descriptors left behind", lambda m: m["tlsmend"]["files_left"], fixed(0)),
    )

    def measure(self, name):
        """A fresh process each time: memory that an earlier round left would be counted as base."""
        self.running[name].stop()
        self.running[name] = peer = self.make(name)
        self.warm(name)
        self._until_idle(peer, 0)
        count, before = self.sessions[name], self.sink.counts()
        base, files = pss_of(peer.pids()), files_of(peer.pids())
        load = self.start(name, count, park=True)
        parked = load.parked()
        quiet(peer.pids)
        held = pss_of(peer.pids()) - base
        turned_away = self._next_ones(name)
        cpu = cpu_of(peer.pids())
        time.sleep(WATCHED_SECONDS)
        spin = cpu_of(peer.pids()) - cpu
        load.release()
        result = load.wait()
        self._until_idle(peer, files)
        after = self.sink.counts()
        lost, twice = lost_and_twice([result], after)
        if result["delivered"] != count or lost or twice:
            self.bench.warn(f"s6 {name}: {result['delivered']} of {count} delivered, {result['refused']} "
                            f"{result['refusal']!r}, {result['broken']} broken, {lost} lost, {twice} twice")
        return {"held": parked, "each": held / KIB / max(parked, 1), "spin": spin, "turned_away": turned_away,
                "delivered": result["delivered"], "errors": count - result["delivered"], "lost": lost, "twice": twice,
                "memory_left": max(pss_of(peer.pids()) - base, 0) / KIB / max(parked, 1),
                "files_left": max(files_of(peer.pids()) - files, 0), "open": before["open"]}

    def _next_ones(self, name):
        """tlsmend's limit is reached: how many of 20 more clients hear so."""
        if name != "tlsmend":
            return None
        result = self.start(name, 20, clients=1, timeout=30).wait()
        return sum(result["refused"].get(code, 0) for code in ("421", "451"))

    @staticmethod
    def _until_idle(peer, files):
        """Until its idle connections are closed, and nothing goes on."""
        deadline, fewest = time.monotonic() + 15, files_of(peer.pids())
        while time.monotonic() < deadline and fewest > files:
            time.sleep(4)
            now = files_of(peer.pids())
            if now >= fewest:
                break
            fewest = now
        quiet(peer.pids)


class Growth(Scenario):
    name = "growth"
    title = "S1 with more destinations (an MX and an address of its own each), and with more parallel sessions"
    peers = ("tlsmend", "ceiling")
    tlsmend_settings = {"pool": {"idle_per_host": 5000, "idle": 5000}}   # as many as there are sessions
    notes = ("![growth](plots/growth.svg)", "",
             "The line of the ceiling is what load and sink cost together when they speak to each other in clear, without a "
             "relay: two sockets for each session and hardly any memory, so what the kernel's own work grows by.", "")
    destinations, sessions = (1, 10, 100, 1000), (10, 100, 1000, 5000)
    columns = (*((f"d{n}", f"{n} destinations", 4) for n in destinations), *((f"s{n}", f"{n} sessions", 4) for n in sessions))
    goals = (
        Goal("CPU-s per 1,000, 1 to 1,000 destinations: the farthest from their mean, %",
             lambda m: 100 * off_mean(m["tlsmend"], "d", Growth.destinations), fixed(20)),
        Goal("CPU-s per 1,000, 10 to 5,000 sessions: the farthest from their mean, %",
             lambda m: 100 * off_mean(m["tlsmend"], "s", Growth.sessions), fixed(20)),
        # The same goal, read more strictly; beside it, what the kernel alone makes of it.
        Goal("most against least, 1 to 1,000 destinations",
             lambda m: spread(m["tlsmend"], "d", Growth.destinations), fixed(1.2)),
        Goal("most against least, 10 to 5,000 sessions",
             lambda m: spread(m["tlsmend"], "s", Growth.sessions), fixed(1.2)),
        Goal("most against least, 10 to 5,000 sessions, of the ceiling", lambda m: spread(m["ceiling"], "s", Growth.sessions),
             fixed(1.2)),
    )

    def open(self, only):
        self.bench.many_hosts(max(self.destinations))
        super().open(only)

    def options(self, name):
        return {"clients": self.clients, "size": 4096}

    clients = PARALLEL

    def warm(self, name):
        """Each point warms itself."""

    def measure(self, name):
        figures = {"errors": 0, "lost": 0, "twice": 0}
        for n in self.destinations if name == "tlsmend" else ():
            self.domain, self.domains, self.clients = self.bench.hosts_domain, n, PARALLEL
            self._point(name, f"d{n}", 10 * n, figures)
        for n in self.sessions:
            self.domain, self.domains, self.clients = self.bench.mx_domain, None, n
            self._point(name, f"s{n}", 3 * n, figures)
        return figures

    def _point(self, name, key, warm, figures):
        """A fresh daemon each time, so that no point inherits the connections of another."""
        self.running[name].stop()
        self.running[name] = self.make(name)
        for _ in range(2):
            self.run(name, max(warm, 1000))
        result = self.run(name, max(self.total(name), 3 * self.clients))
        figures[key] = result["cpu"] if name == "tlsmend" else result["harness"]
        self.bench.say(f"    {name} {key}: {result['messages']} messages, {result['rate']:.0f}/s, CPU-s {figures[key]:.4f}, "
                       f"{result['full'] + result['resumed']} handshakes")
        for what in ("errors", "lost", "twice"):
            figures[what] += result[what]


def off_mean(figures, letter, numbers):
    values = [figures[f"{letter}{n}"] for n in numbers]
    mean = sum(values) / len(values)
    return max(abs(v - mean) for v in values) / mean


def spread(figures, letter, numbers):
    values = [figures[f"{letter}{n}"] for n in numbers]
    return max(values) / min(values)
