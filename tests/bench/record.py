"""Figures as the benches write them, and as they are kept in this folder.

A bench writes lines: VERSION NAME TEXT, COUNT ROW WHO NUMBER, EMPTY ROW WHO REASON (no figure of that one). A record is
the same as JSON, with the reasons why a row of ours is behind, and remarks on rows that were not measured as they would be
today; those go when the record is made anew.
"""
import json

OURS = "minivmm"
# What a figure is measured against, which is no peer: it does less.
MEASURES = ("bare", "bare+chips", "loop", "floor", "fio", "without")
TIE = 0.005  # where figures of the same code differ from run to run, neither is ahead


def behind(ours, peers, sign):
    """Whether a peer's figure is better than ours by more than TIE; sign: +1 where more is better, else -1."""
    return any(sign * (ours - v) < -TIE * v for v in peers.values())


def number(text):
    return float(text) if "." in text else int(text)


def read_lines(*paths):
    now = {"versions": {}, "rows": {}, "empty": []}
    for line in (line for path in paths for line in open(path, encoding="utf-8")):
        kind, name, *rest = line.split(maxsplit=2)
        if kind == "VERSION":
            now["versions"][name] = rest[0].strip()
        elif kind == "COUNT":
            who, n = rest[0].split()
            now["rows"].setdefault(name, {})[who] = number(n)
        elif kind == "EMPTY":
            now["empty"].append((name, *rest[0].strip().split(maxsplit=1)))
    return now


def read(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def write(path, now, reasons):
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"versions": now["versions"], "rows": now["rows"], "reasons": reasons}, f, indent="\t", ensure_ascii=False)
        f.write("\n")
