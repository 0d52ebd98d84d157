"""A seeded random schedule of everything that happens to a node, and what its panels must know in the end.

    World(directory, seed, pace).run(steps)       a step each `pace` seconds on average; raises Wrong with the seed, the steps taken and what does not add up

Every step draws from a generator of its own, made of the seed and the step's number: the same seed takes the same steps,
whatever the machine's pace. What is forwarded is measured at both ends of the schedule's own flows (flows.py).
"""
import itertools
import os
import random
import signal
import sys
import threading
import time
import traceback

from . import books, clock, disk, flows, muxcool, panel, paths, process, sites, tally, upgrades, v2sp

SHAPES = (flows.RAW, flows.RAW, flows.TLS, flows.WS)
LIVE_MAX = 12                       # sessions at a time
SPOOL_MAX = 6 << 20                 # node.db and its journal, which is written back from 4 MB on
PUSH_FAILURES = {"500": lambda _: panel.status(500), "503": lambda _: panel.status(503), "html": lambda _: panel.html,
                 "413": lambda _: panel.too_large, "401": lambda _: panel.status(401),
                 "drop-before": lambda _: panel.drop_before, "drop-after": lambda _: panel.drop_after_apply,
                 "half": lambda _: panel.half, "half-unapplied": lambda _: panel.half_unapplied,
                 "slow": lambda e: panel.slow(e), "slow-unapplied": lambda e: panel.slow(e, False)}
# Whether the panel has booked such a push cannot be known: it is delivered again, and a panel without keys books it twice.
BOOKED = {"drop-after", "half", "slow"}
UNKNOWN = BOOKED | {"500", "html", "drop-before", "half-unapplied", "slow-unapplied"}
PULL_FAILURES = {"500": panel.status(500), "html": panel.html, "half": panel.half, "drop": panel.drop_before}


class Wrong(AssertionError):
    """What a panel has booked is not what was forwarded."""


class World:
    def __init__(self, directory, seed, pace=0.35, workers=2):
        self.directory, self.seed, self.pace = str(directory), seed, pace
        self.rng = random.Random(f"{seed}")
        self.target = tally.Target()
        self.flows, self.steps, self.processes = [], [], []
        self.begun = time.monotonic()
        self.release = threading.Event()
        self.clock = clock.JumpingClock(self.directory)
        try:
            self.disk = disk.SmallDisk(os.path.join(self.directory, "state"), "24m")
        except disk.NoDisk:
            self.disk = None
        self.sites = self._make_sites()
        self.top = {"DrainTimeout": 1, "Workers": workers}
        self.config = None
        self.process, self.earlier, self.left_behind = None, [], []     # the latter two: see upgrades.py
        self.restarts = itertools.count()
        self.write_config()

    def _make_sites(self):
        shape = lambda: self.rng.choice(SHAPES)     # noqa: E731
        with_keys = sites.ScriptedSite("keys", 100, shape())
        made = [with_keys, sites.ScriptedSite("forgetful", 200, shape(), keys=False),
                sites.EmbeddedSite("embedded", shape(), self.directory),
                sites.ScriptedSite("packets", 300, flows.RAW, protocol="shadowsocks", panel=with_keys.panel, node_id=2)]
        for s in made:
            s.options.update(ReportMinTraffic=self.rng.choice((0, 0, 300)), DrainTimeout=self.rng.choice((0, 1, 6)))
            if self.rng.random() < 0.4:
                s.options["ReportPolicy"] = "at-most-once"
        return made

    # -- the process

    def write_config(self):
        self.config = v2sp.write_config(self.directory, [s.entry() for s in self.sites if s.configured], **self.top)

    def start(self):
        self.left_behind += self.earlier
        self.earlier = []
        self.process = v2sp.start(self.directory, self.config, f"v2sp-{next(self.restarts)}", env=self.clock.env,
                                  wrapper=self.disk.enter if self.disk else ())
        self.processes.append(self.process)
        self.process.wait_log("workers, at most", 60)

    def ready(self, timeout=60):
        """Every node listens where its panel wants it."""
        for s in self.sites:
            if s.configured:
                self.process.wait_port(s.endpoints[0][1], timeout=timeout)

    def reload(self):
        seen = self.process.log().count("read again")
        self.write_config()
        self.process.signal(signal.SIGHUP)
        self.process.wait_log("read again", 20, seen + 1)

    def end_process(self, kill=False):
        if kill:
            for f in self.flows:
                f.killed = f.killed or not f.over
            for p in self.earlier:
                p.forsaken = True
            for p in [self.process, *(self.earlier if kill == "all" else ())]:
                p.stopped = True
                p.kill()
        else:
            status = self.process.stop(60)
            if status not in (0, None):      # None: the status is for the process it was started by
                raise Wrong(f"exit status {status}\n{self.process.tail()}")
        if self.disk:
            self.disk.free()             # a start needs room: what happens without is another test's subject

    def state(self):
        """The state directory, from here."""
        return self.disk.seen if self.disk else os.path.join(self.directory, "state")

    def live(self):
        return [f for f in self.flows if not f.over]

    # -- the run

    def run(self, steps):
        try:
            self.start()
            self.ready()
            for number in range(steps):
                self.step(number)
            self.say("quiescence")
            self.finish()
        except Exception as e:
            raise Wrong(f"{e}\n{self.story()}\n{''.join(traceback.format_exception(*sys.exc_info())[-3:])}") from None

    def story(self):
        return (f"seed {self.seed}: V2SP_SEED={self.seed} V2SP_STEPS={len(self.steps)} replays it; state and logs are in "
                f"{self.directory}\n" + "\n".join(self.steps))

    def say(self, text):
        self.steps.append(f"  {time.monotonic() - self.begun:6.2f} {text}")

    def step(self, number):
        rng = random.Random(f"{self.seed}.{number}")
        name = rng.choices(NAMES, WEIGHTS)[0]
        self.steps.append("")
        said = STEPS[name][1](self, rng)
        self.steps[-1] = f"  {time.monotonic() - self.begun:6.2f} #{number} {name} {said or ''}"
        time.sleep(rng.uniform(0, 2 * self.pace))       # the moment of the next one is random, too
        if not self.process.alive():
            raise Wrong(f"v2sp ended\n{self.process.tail()}")
        if number % 4 == 3:
            self.check_not_above()

    def finish(self):
        """All is well again; every identity a node has had gets a last report through."""
        self.release.set()
        if self.disk:
            self.disk.free()
        for s in self.sites:
            s.panel.behave_normally()
            self.open_panel(s)
        for f in self.flows:
            f.quiet()
            f.close()
        self.check_spool()
        self.end_process()
        self.earlier += self.left_behind
        upgrades.wait_all_left(self, 60)
        for variant in (0, 1, 0, 1):     # a second time only for a report that did not make it in its five seconds
            for s in self.sites:
                s.configured, s.variant = True, variant if variant in s.variants else s.variant
            if variant == 0 or any(variant in s.variants for s in self.sites):
                self.write_config()
                self.start()
                self.ready()
                self.end_process()
                self.target.settled()
                if not self.missing():
                    break
        self.check_not_above()
        if self.missing():
            raise Wrong("; ".join(self.missing()))

    def close(self):
        """Ends everything, whatever the state. Sanitizer reports are the caller's to look for in logs()."""
        self.release.set()
        for f in self.live():
            f.over = True
        for p in [self.process, *self.earlier, *self.left_behind]:
            if p:
                p.kill()
        for s in self.sites:
            s.close()
        if self.disk:
            self.disk.stop()
        self.target.stop()

    def logs(self):
        for p in self.processes:
            with open(p.log_path, encoding="utf-8", errors="replace") as f:
                yield p.name, f.read()

    # -- what must be true

    @staticmethod
    def _sum(those):
        """(least, most) of up and of down."""
        total = [[0, 0], [0, 0]]
        for f in those:
            for way, bounds in enumerate(f.bounds()):
                for end in (0, 1):
                    total[way][end] += bounds[end]
        return total

    def check_not_above(self):
        """At no time has a panel booked more than was sent. One that forgets keys may, but only what at-least-once had to
        tell it twice because the first answer was lost."""
        for s in self.sites:
            booked = s.reported()
            if s.repeated():
                if not s.unknown or (s.at_most_once() and not s.replayed):
                    raise Wrong(f"{s.name}: a batch came twice; {'at-most-once' if s.unknown else 'no answer was lost'}")
                if not s.keys:
                    continue
            for p in s.persons:
                mine = [f for f in self.flows if f.owner is p]
                got = [sum(booked.get(uid, (0, 0))[way] for uid in p.uids) for way in (0, 1)]
                for way, (_, most) in enumerate(self._sum(mine)):
                    if got[way] > most:
                        raise Wrong(f"{p}: {('up', 'down')[way]} {got[way]} booked, {most} sent\n"
                                    + "\n".join(map(repr, mine)))
                for uid in p.uids:
                    could = self._sum(f for f in mine if uid in f.uids)
                    for way, (_, most) in enumerate(could):
                        if booked.get(uid, (0, 0))[way] > most:
                            raise Wrong(f"{p} as {uid}: {booked[uid]} booked, at most {could}")
            if getattr(s.panel, "conflicts", None):
                raise Wrong(f"{s.name}: one key, two bodies: {s.panel.conflicts}")

    def missing(self):
        """What was forwarded and is neither booked nor parked, which at-most-once does with what may be booked."""
        found, parked = [], books.parked(self.state())
        for s in self.sites:
            booked = books.add(s.reported(), *(rows for (host, node_id), rows in parked.items()
                                               if (host, node_id) == (s.panel.url, s.node_id)))
            for p in s.persons:
                mine = [f for f in self.flows if f.owner is p]
                for uids in [set(p.uids), *({uid} for uid in p.uids)]:
                    sure = self._sum(f for f in mine if f.uids <= uids)
                    for way, (least, _) in enumerate(sure):
                        got = sum(booked.get(uid, (0, 0))[way] for uid in uids)
                        if got < least:
                            found.append(f"{p} as {uids}: {('up', 'down')[way]} {got} booked, {least} forwarded\n"
                                         + "\n".join(map(repr, mine)))
        return found

    def check_spool(self):
        """However long a panel was away, the database is as small as its users are few."""
        state = self.state()
        size = sum(os.path.getsize(os.path.join(state, name)) for name in os.listdir(state) if name.startswith("node.db"))
        if size > SPOOL_MAX:
            raise Wrong(f"node.db takes {size} bytes")

    # -- panels

    def open_panel(self, site):
        if site.panel.away:
            site.panel.open()
        site.panel.away = False

    # -- steps: what happens to sessions

    def _site(self, rng, **wanted):
        those = [s for s in self.sites if all(getattr(s, k) == v for k, v in wanted.items())]
        return rng.choice(those) if those else None

    def _person(self, rng, site):
        listed = [p for p in site.persons if p.listed]
        return rng.choice(listed if listed and rng.random() < 0.9 else site.persons)

    def connect(self, rng):
        """A new flow; over the newest way in that answers."""
        s = self._site(rng, configured=True)
        p, kind, sizes = self._person(rng, s), rng.choice(("tcp", "tcp", "tcp", "udp", "mux", "xudp")), _sizes(rng)
        if len(self.live()) >= LIVE_MAX:
            return "no more"
        for endpoint in s.endpoints[:3]:
            try:
                made = self._flows(s, p, kind, endpoint)
            except (OSError, AssertionError):
                continue
            for f in made:
                f.uids, f.kind, f.endpoint = frozenset(p.uids), kind, endpoint
                self.flows.append(f)
                f.exchange(*sizes[f.answered is not None])
            return f"{kind} {endpoint} {made}"
        return f"{kind} {s.name}: nobody listens"

    def _flows(self, s, p, kind, endpoint):
        shape, address = endpoint[0], s.address(endpoint)
        if s.protocol == "shadowsocks":
            return [flows.Udp(self.target, p, flows.shadowsocks_udp(address, p.uuid))]
        if kind == "tcp":
            return [flows.Tcp(self.target, p, flows.vless_tcp(shape, address, p.uuid))]
        if kind == "udp":
            return [flows.Udp(self.target, p, flows.vless_udp(shape, address, p.uuid))]
        if kind == "xudp":
            return [flows.Udp(self.target, p, flows.xudp(shape, address, p.uuid))]
        mux = flows.Mux(shape, address, p.uuid)
        return [flows.Tcp(self.target, p, lambda f: mux.stream(muxcool.TCP, self.target.address)),
                flows.Udp(self.target, p, lambda f: mux.stream(muxcool.UDP, self.target.udp_address))]

    def _idle(self, rng):
        those = [f for f in self.live() if not getattr(f, "busy", False)]
        return rng.choice(those) if those else None

    def transfer(self, rng):
        draw, sizes = random.Random(rng.random()), _sizes(rng)
        done = []
        for _ in range(3):
            f = self._idle(draw)
            if f:
                done.append((f, f.exchange(*sizes[f.answered is not None])))
        return done

    def burst(self, rng):
        """Sessions that move bytes all the time, also while the next steps are taken."""
        those = [f for f in self.live() if f.kind == "tcp" and f.answered is None][:rng.randrange(1, 4)]
        for f in those:
            f.busy = True
            f.keep_busy(random.Random(rng.random()))
        return those

    def calm(self, _rng):
        for f in self.flows:
            f.quiet()
            f.busy = False

    def hang_up(self, rng):
        f = self._idle(rng)
        if f:
            f.close()
        return f

    def carry_over(self, rng):
        """An XUDP flow goes on over another carrier."""
        those = [f for f in self.live() if f.kind == "xudp" and isinstance(f.way, flows.XudpWay)]
        if not those:
            return None
        f = rng.choice(those)
        shape, port = f.endpoint
        try:
            old = f.way.move(shape, ("127.0.0.1", port), f.owner.uuid)
        except (OSError, AssertionError):
            return f"{f}: not now"
        f.uids |= f.owner.uids           # the new carrier is a new session
        f.exchange(100, 200)
        old.mux.carrier.close()
        return f

    # -- steps: what panels change

    def limits(self, rng):
        p_of = self._site(rng)
        p = rng.choice(p_of.persons)
        p.limits = {"speed_limit": rng.choice((0, 20, 100, 400)), "device_limit": rng.choice((0, 1, 3)),
                    "conn_limit": rng.choice((0, 1, 2, 5))}
        p_of.tell_person(p)
        return f"{p} {p.limits}"

    def remove_or_return(self, rng):
        s = self._site(rng)
        p = rng.choice(s.persons)
        p.listed = not p.listed
        s.tell_person(p)
        return f"{p} {'returns' if p.listed else 'leaves'}"

    def new_uuid(self, rng):
        s = self._site(rng)
        p = rng.choice(s.persons)
        p.new_uuid(rng.random())
        s.tell_person(p)
        return p

    def new_uid(self, rng):
        s = self._site(rng, uids_change=True)
        p = rng.choice(s.persons)
        s.next_uid += 1
        p.new_uid(s.next_uid)
        for f in self.live():            # native datagrams: each is booked for whom it is sealed for when it comes
            if f.owner is p and s.protocol == "shadowsocks":
                f.uids |= p.uids
        s.tell_person(p)
        return f"{p} is {p.uid} now"

    def move(self, rng):
        s = self._site(rng)
        s.move(flows.RAW if s.protocol == "shadowsocks" else rng.choice(SHAPES))
        return f"{s.name} to {s.endpoints[0]}"

    # -- steps: what the operator changes

    def configure(self, rng):
        """A node goes from config.json, or comes back."""
        gone = [s for s in self.sites if not s.configured]
        s = gone[0] if gone else rng.choice(self.sites)
        s.configured = not s.configured
        self.reload()
        return f"{s.name} {'back' if s.configured else 'removed'}"

    def identity(self, rng):
        """The node is another one to its panel from now on; what the old one has not reported waits for its return."""
        s = self._site(rng)
        s.variant = 1 - s.variant
        s.variants.add(s.variant)
        self.reload()
        return f"{s.name} is {s.variant}"

    def options(self, rng):
        s = self._site(rng)
        s.options["ReportMinTraffic"] = rng.choice((0, 10, 5000))
        self.reload()
        return f"{s.name} {s.options}"

    # -- steps: what goes wrong

    def push_fails(self, rng):
        often = [w for w in PUSH_FAILURES if w in BOOKED for _ in range(3)]
        s, what, times = self._site(rng), rng.choice([*PUSH_FAILURES, *often]), rng.choice((1, 1, 2))
        self.release.set()
        self.release = threading.Event()
        s.panel.behave("push", PUSH_FAILURES[what](self.release), times)
        if what in UNKNOWN:
            for other in self.sites:
                other.unknown |= other.panel is s.panel
        return f"{s.name} {what} x{times}"

    def pull_fails(self, rng):
        s, action, what = self._site(rng), rng.choice(("config", "user", "alivelist")), rng.choice(list(PULL_FAILURES))
        s.panel.behave(action, PULL_FAILURES[what], 1)
        return f"{s.name} {action} {what}"

    def away_or_back(self, rng):
        s = self._site(rng)
        if s.panel.away:
            self.open_panel(s)
            return f"{s.name} back"
        s.panel.away = True
        s.panel.close()
        # A push that was being answered just then was perhaps booked.
        for other in self.sites:
            other.unknown |= other.panel is s.panel
        return f"{s.name} away"

    def panel_killed(self, rng):
        """kill -9 of the embedded panel, and another start."""
        s = next(x for x in self.sites if isinstance(x, sites.EmbeddedSite))
        s.embedded.process.kill()
        s.embedded.serve()

    def kill(self, rng):
        # What was sent and not answered is sent again under its key by the next start.
        for s in self.sites:
            s.unknown = True
        which = rng.choice(("all", "the newest"))
        self.end_process(kill=which)
        self.start()
        return which

    def command(self, *words):
        """v2sp WORDS, for the service that runs: (exit status, what it printed)."""
        return process.run([*(self.disk.enter if self.disk else ()), paths.v2sp(), *words, "-c", self.config], 90)

    def upgrade(self, _rng):
        """Another process takes over; this one ends when its sessions have. It fails where a port moves just then."""
        if self.disk:
            self.disk.free()
        status, text = self.command("upgrade", "--timeout", "5")
        if status == 0:
            upgrades.follow(self, timeout=60)
        return text.strip()

    def report_now(self, rng):
        """v2sp spool replay: what waits of a node is due, with keys also what is parked."""
        s = self._site(rng, configured=True)
        if s.at_most_once() and not s.keys:
            return f"{s.name}: not twice"
        s.replayed = True
        return s.name, self.command("spool", "replay", "--node", s.name)

    def restart(self, _rng):
        for s in self.sites:
            s.unknown = True             # a last report may be cut by the end of its time
        self.end_process()
        self.start()

    def clock_jumps(self, rng):
        if not self.clock.jumps():
            return "no compiler"
        seconds = rng.choice((-86400 * 400, -3600, -1, 0, 1, 601, 86400 * 30))
        self.clock.set(seconds)
        return seconds

    def disk_full_or_not(self, _rng):
        if not self.disk:
            return "no disk"
        if self.disk.full:
            self.disk.free()
            return "room again"
        self.disk.fill()
        return "full"


def _sizes(rng):
    """((up, down) of a stream, (up, down) of a datagram)."""
    most = rng.choice((100, 5000, 200_000, 2_000_000))
    return (rng.randrange(most), rng.randrange(most)), (rng.randrange(20, 500), rng.randrange(20, 1400))


STEPS = {"connect": (26, World.connect), "transfer": (16, World.transfer), "burst": (6, World.burst), "calm": (4, World.calm),
         "hang up": (4, World.hang_up), "carry over": (3, World.carry_over), "limits": (5, World.limits),
         "leaves or returns": (5, World.remove_or_return), "new uuid": (3, World.new_uuid), "new uid": (3, World.new_uid),
         "moves": (4, World.move), "configure": (4, World.configure), "identity": (2, World.identity),
         "options": (4, World.options), "push fails": (12, World.push_fails), "pull fails": (3, World.pull_fails),
         "away": (4, World.away_or_back), "panel killed": (2, World.panel_killed), "kill -9": (3, World.kill), "upgrade": (4, World.upgrade), "report now": (8, World.report_now),
         "restart": (2, World.restart), "clock": (3, World.clock_jumps), "disk": (4, World.disk_full_or_not)}
NAMES, WEIGHTS = list(STEPS), [w for w, _ in STEPS.values()]
