"""Medians, ratios, the table, and its copy in bench/results/."""
import json
import statistics
import time

import rig

# What v2sp may cost at most: so many times the better peer, or so much ("=" in front).
TARGETS = {
    "vless-raw": {"down CPU-s/GB": 0.45, "up CPU-s/GB": 0.7, "CPU-ms/connection": 0.6, "KiB/idle": "=3"},
    "vless-tls": {"down CPU-s/GB": 0.55, "up CPU-s/GB": 0.55, "CPU-ms/connection": 0.8, "KiB/idle": "=3.5"},
    "vless-ws-tls": {"down CPU-s/GB": 0.55, "up CPU-s/GB": 0.4, "CPU-ms/connection": 0.8, "KiB/idle": "=4"},
    "trojan-tls": {"down CPU-s/GB": 0.55, "up CPU-s/GB": 0.55, "CPU-ms/connection": 0.8, "KiB/idle": "=3.5"},
    "ss2022": {"down CPU-s/GB": 0.6, "up CPU-s/GB": 0.6, "CPU-ms/connection": 0.5, "KiB/idle": "=3.5"},
    "ss-aead": {"down CPU-s/GB": 0.5, "up CPU-s/GB": 0.6, "CPU-ms/connection": 0.5, "KiB/idle": "=3.5"},
    "vmess-ws": {"down CPU-s/GB": 0.55, "up CPU-s/GB": 0.4, "CPU-ms/connection": 0.5, "KiB/idle": "=4"},
    **{f"vision-{s}": {"down CPU-s/GB": 0.45, "up CPU-s/GB": 0.5, "up padded CPU-s/GB": 0.5, "CPU-ms/connection": 0.6,
                       "KiB/idle": "=3.5"} for s in ("tls", "reality")},
    "polls": {"CPU-ms/poll unchanged": "=1", "CPU-ms, 10000 changed": "=150"},
    "vmess-polls": {"CPU-ms/poll unchanged": "=1", "CPU-ms, 10000 changed": "=150"},
    "ss-users": {"CPU-ms, 10000 unseen": "=1.5", "CPU-ms, 10000 seen": "=0.1"},
    "vmess-users": {"CPU-ms, 100000 unseen": "=1.2", "CPU-ms, 100000 seen": "=0.12"},
    **{f"udp-{p}": {"CPU-s/1e6 datagrams": 0.5} for p in ("vless", "ss2022", "ss-aead")},
    "stats": {"% more, not listed": "=1", "% more, listed": "=1"},
    "stats-query": {"CPU-ms, 100000 counters": 0.3, "CPU-ms, pattern over 1000000": "=150"},
    "rss": {"MiB at start": "=14", "MiB 100000 users": "=44"},
}


class Results:
    def __init__(self, runs, servers):
        self.runs, self.servers = runs, servers
        self.values = {}            # case -> measurement -> server -> [numbers]
        self.notes = []
        self.machine = rig.machine()
        self.date = time.strftime("%Y-%m-%d")

    def add(self, case, server, what, value):
        self.values.setdefault(case, {}).setdefault(what, {}).setdefault(server, []).append(value)
        print(f"  {case:14} {server:9} {what:18} {value:8.3f}", flush=True)

    def failed(self, case, server, what, why):
        self.notes.append(f"{case}, {server}, {what}: {why}")
        print(f"  {case:14} {server:9} {what:18} {why}", flush=True)

    def median(self, case, what, server):
        numbers = self.values.get(case, {}).get(what, {}).get(server)
        return statistics.median(numbers) if numbers else None

    def columns(self, case):
        """The servers, and what else was measured beside them."""
        others = (s for numbers in self.values.get(case, {}).values() for s in numbers if s not in self.servers)
        return [*self.servers, *dict.fromkeys(others)]

    def rows(self, case):
        """(measurement, median of each column, ratio to the better peer, target, met)"""
        for what in self.values.get(case, {}):
            m = {s: self.median(case, what, s) for s in self.columns(case)}
            peers = [m[s] for s in self.servers if s != "v2sp" and m[s] is not None]
            ours = m.get("v2sp")
            ratio = ours / min(peers) if ours is not None and peers and min(peers) > 0 else None
            target = TARGETS.get(case, {}).get(what.split(" (")[0])
            met = None
            if isinstance(target, str) and ours is not None:
                met = ours <= float(target[1:])
            elif target is not None and ratio is not None:
                met = ratio <= target
            yield what, m, ratio, target, met

    def table(self, case):
        """Markdown, aligned so that it reads as plain text too."""
        columns = self.columns(case)
        head = [f"{case} ({self.runs} runs)", *columns, "ratio", "target", "met"]
        body = [[what, *("-" if m[s] is None else f"{m[s]:.3g}" for s in columns),
                 "-" if ratio is None else f"{ratio:.2f}",
                 "-" if target is None else f"<= {target[1:]}" if isinstance(target, str) else f"{target} x",
                 {None: "-", True: "yes", False: "NO"}[met]] for what, m, ratio, target, met in self.rows(case)]
        widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]

        def line(cells):
            first = cells[0].ljust(widths[0])
            return "| " + " | ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:]))]) + " |"
        rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|"
        return "\n".join([line(head), rule, *map(line, body)]) + "\n"

    def save(self, directory):
        directory.mkdir(exist_ok=True)
        name = f"{self.date}-{'+'.join(self.values)}"
        n, path = 1, directory / f"{name}.md"
        while path.exists():
            n += 1
            path = directory / f"{name}-{n}.md"
        text = [f"# {self.date}\n", *(f"- {k}: {v}" for k, v in self.machine.items()), ""]
        text += [self.table(case) for case in self.values]
        text += [f"- {note}" for note in self.notes]
        path.write_text("\n".join(text) + "\n")
        path.with_suffix(".json").write_text(json.dumps(
            {"date": self.date, "machine": self.machine, "runs": self.runs, "values": self.values,
             "notes": self.notes}, indent=1) + "\n")
        return path
