# SPDX-License-Identifier: Apache-2.0
"""The scenarios of bench/run.  Each is a class: `peers` it is made for, `open()` and `close()` around all rounds,
`measure(peer)` for one figure set of one peer in one round, and `goals` over the medians.
"""

from measure import PARALLEL, Load, PeakMemory, Sink, cpu_of, lost_and_twice, pss_of, quiet
from peers import PEERS

KIB = 1024
SECONDS = 2          # a run lasts about so long


class Goal:
    """text: as in the table; reached(medians by peer) is a bool, or None where a peer is missing."""

    def __init__(self, text, figure, bound, at_least=False):
        self.text, self._figure, self._bound, self._at_least = text, figure, bound, at_least

    def judge(self, m):
        try:
            figure, bound = self._figure(m), self._bound(m)
        except (KeyError, TypeError, ZeroDivisionError):
            return None
        reached = figure >= bound if self._at_least else figure <= bound
        return {"goal": self.text, "figure": figure, "bound": bound, "reached": reached}


def fixed(value):
    return lambda _m: value


class Scenario:
    name = title = ""
    peers = ("tlsmend", "postfix", "stunnel", "pump", "direct", "ceiling")
    notes = ()   # further lines of RESULTS.md
    delay = 0
    columns = (("rate", "delivered/s", 0), ("cpu", "CPU-s per 1,000", 3), ("p50", "p50 ms", 2), ("p99", "p99 ms", 2),
               ("full", "full handshakes", 0), ("resumed", "resumed", 0), ("harness", "CPU-s of load and sink", 3))
    goals = ()

    def __init__(self, bench):
        self.bench = bench
        self.running, self.rates = {}, {}
        self.sink = None
        self.domain, self.domains = bench.mx_domain, None

    # -- life ---------------------------------------------------------------------------------

    def open(self, only):
        self.sink = Sink(self.bench.programs, self.bench.lab.net.internet, self.bench.chain, delay=self.delay)
        for name in self.peers:
            if only is None or name in only:
                self.running[name] = self.make(name)
        for name in self.running:
            self.warm(name)

    tlsmend_settings = {}   # beyond what it comes with

    def make(self, name):
        return PEERS[name](self.bench, **(self.tlsmend_settings if name == "tlsmend" else {}))

    def close(self):
        for peer in self.running.values():
            peer.stop()
        if self.sink is not None:
            self.sink.stop()
        self.running, self.sink = {}, None

    # -- one run ------------------------------------------------------------------------------

    def options(self, name):
        """Of the load, but for its total."""
        return {"clients": PARALLEL, "size": 4096}

    def start(self, name, total, **more):
        peer = self.running[name]
        return Load(self.bench.programs, self.bench.lab.net.client, to=peer.to, port=peer.port, domain=self.domain,
                    domains=self.domains, first=self.bench.ids.take(total), total=total,
                    **{**self.options(name), **(peer.secure or {}), **more})

    def run(self, name, total, **more):
        """One load through one peer: what it gave, what it cost, what was lost."""
        peer = self.running[name]
        quiet(peer.pids)
        before, cpu, sink_cpu = self.sink.counts(), cpu_of(peer.pids()), cpu_of([self.sink.pid])
        result = self.start(name, total, **more).wait()
        if peer.queues and result["delivered"]:
            self.sink.wait_messages(before["messages"] + result["delivered"], 300)
        after = self.sink.counts()
        cpu = cpu_of(peer.pids()) - cpu
        harness = cpu_of([self.sink.pid]) - sink_cpu + result["cpu"]
        lost, twice = lost_and_twice([result], after)
        seconds = (max(after["last_ns"], result["last_ns"]) - result["begun_ns"]) / 1e9
        count = result["delivered"]
        self.rates[name] = count / seconds if seconds > 0 else 0
        errors = result["messages"] - count
        if lost or twice or errors or after["damaged"] != before["damaged"]:
            self.bench.warn(f"{self.name} {name}: {errors} not delivered {result['refused']} {result['refusal']!r}, "
                            f"{lost} lost, {twice} twice, {after['damaged'] - before['damaged']} damaged")
        return {"messages": count, "errors": errors, "lost": lost, "twice": twice, "seconds": seconds,
                "rate": self.rates[name], "cpu": cpu / count * 1000 if peer.pids() and count else None,
                "harness": harness / count * 1000 if count else None,
                **({} if peer.queues else result["latency_ms"]),
                "handshakes": after["full"] - before["full"] + after["resumed"] - before["resumed"],
                "full": after["full"] - before["full"], "resumed": after["resumed"] - before["resumed"],
                "one_flight": after["one_flight"] - before["one_flight"]}

    first_total, most = 400, 100_000

    def warm(self, name):
        """Everybody's first connections, policies and tickets are not counted."""
        self.run(name, self.first_total)
        self.run(name, self.first_total)

    def total(self, name):
        """So many messages as take about SECONDS; the same in each round, as the peers' speeds differ."""
        clients = self.options(name)["clients"]
        wanted = int(self.rates[name] * SECONDS)
        return max(min(wanted, self.most), 2 * clients, 20)

    def measure(self, name):
        return self.run(name, self.total(name))


# -- the scenarios ------------------------------------------------------------------------------


class S1(Scenario):
    name = "s1"
    title = "1 message per client connection, 50 parallel, 4 KiB"
    goals = (
        Goal("delivered/s at least 10 × Postfix", lambda m: m["tlsmend"]["rate"], lambda m: 10 * m["postfix"]["rate"], True),
        Goal("delivered/s at least 6 × stunnel", lambda m: m["tlsmend"]["rate"], lambda m: 6 * m["stunnel"]["rate"], True),
        Goal("CPU-s per 1,000 at most 0.15", lambda m: m["tlsmend"]["cpu"], fixed(0.15)),
        Goal("of the handshakes % resumed", lambda m: 100 * m["tlsmend"]["resumed"] / (m["tlsmend"]["full"] + m["tlsmend"]["resumed"]),
             fixed(98), True),
        Goal("CPU-s per 1,000 at most 1/10 of stunnel's", lambda m: m["tlsmend"]["cpu"], lambda m: m["stunnel"]["cpu"] / 10),
    )


class S2(Scenario):
    name = "s2"
    title = "20 messages per client connection, 50 parallel, 4 KiB"
    goals = (
        Goal("delivered/s at least 0.8 of the byte pump, or 10,000", lambda m: m["tlsmend"]["rate"],
             lambda m: min(0.8 * m["pump"]["rate"], 10_000), True),
        Goal("CPU-s per 1,000 at most 0.10", lambda m: m["tlsmend"]["cpu"], fixed(0.10)),
    )
    first_total = 2000

    def options(self, name):
        return {"clients": PARALLEL, "size": 4096, "each": 20}


class S3(Scenario):
    name = "s3"
    title = "10 MiB messages, 4 parallel, 1 per connection"
    columns = (("rate", "delivered/s", 1), ("mib", "MiB/s", 0), ("cpu", "CPU-s per 1,000", 1),
               ("held", "KiB held per transfer", 0))
    goals = (
        Goal("CPU-s per message at most stunnel's", lambda m: m["tlsmend"]["cpu"], lambda m: m["stunnel"]["cpu"]),
        Goal("MiB/s at least stunnel's", lambda m: m["tlsmend"]["mib"], lambda m: m["stunnel"]["mib"], True),
        Goal("at most 256 KiB held per transfer", lambda m: m["tlsmend"]["held"], fixed(256)),
    )
    first_total, most, at_once, mib_each = 8, 2000, 4, 10

    def options(self, name):
        return {"clients": self.at_once, "size": self.mib_each * KIB * KIB}

    def measure(self, name):
        pids = self.running[name].pids
        base = pss_of(pids())
        with PeakMemory(pids) as peak:
            figures = self.run(name, self.total(name))
        held = max(peak.bytes - base, 0) / KIB / self.at_once if pids() else None
        return {**figures, "mib": figures["rate"] * self.mib_each, "held": held}


class S4(Scenario):
    name = "s4"
    title = "200 recipient domains at one MX, 1 recipient each, otherwise as S1"
    peers = ("tlsmend", "postfix", "stunnel")
    goals = (Goal("delivered/s at least 0.7 of S1", lambda m: m["tlsmend"]["rate"],
                  lambda m: 0.7 * m["s1"]["tlsmend"]["rate"], True),)
    first_total = 2000

    def open(self, only):
        self.domain, self.domains = self.bench.many_domains(200), 200
        super().open(only)


class S5(Scenario):
    name = "s5"
    title = "the sink answers each reply after 50 ms, 500 parallel, 1 message per connection"
    peers = ("tlsmend", "stunnel", "direct")
    tlsmend_settings = {"pool": {"idle_per_host": 500}}   # as many as there are clients
    delay = 50
    columns = (("rate", "delivered/s", 0), ("cpu", "CPU-s per 1,000", 3), ("p50", "p50 ms", 1), ("p99", "p99 ms", 1),
               ("flights", "in one flight, %", 1))
    goals = (
        Goal("time per message at most the direct client's and 10 %", lambda m: m["tlsmend"]["p50"],
             lambda m: 1.1 * m["direct"]["p50"]),
        Goal("MAIL, RCPT and DATA in one flight, % of the messages", lambda m: m["tlsmend"]["flights"], fixed(99), True),
    )
    first_total = 1000

    def options(self, name):
        return {"clients": 500, "size": 4096}

    def measure(self, name):
        figures = super().measure(name)
        return {**figures, "flights": 100 * figures["one_flight"] / max(figures["messages"], 1)}


class S7(Scenario):
    name = "s7"
    title = "open loop, 200 messages per second, 1 per connection; latency from the intended send time"
    peers = ("tlsmend", "stunnel", "pump", "direct")
    columns = (("p50", "p50 ms", 3), ("p90", "p90 ms", 3), ("p99", "p99 ms", 3), ("max", "max ms", 2),
               ("cpu", "CPU-s per 1,000", 3))
    goals = (
        Goal("median at most 0.5 ms above the direct client", lambda m: m["tlsmend"]["p50"],
             lambda m: m["direct"]["p50"] + 0.5),
        Goal("p99 at most 5 ms above the direct client", lambda m: m["tlsmend"]["p99"], lambda m: m["direct"]["p99"] + 5),
    )

    def options(self, name):
        return {"clients": 500, "size": 4096, "rate": 200}

    def total(self, name):
        return 200 * 2 * SECONDS
