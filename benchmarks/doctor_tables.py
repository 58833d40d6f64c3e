"""The tables of `doctor.py`: counts with Wilson's intervals, by source, group and family, beside published figures."""

from collections.abc import Callable, Iterable, Sequence
from statistics import mean, median
from typing import Any

from thalweg.evaluate.intervals import wilson

Record = dict[str, Any]
EARLY = 200  # steps
# Published by the authors; on their own programs, which differ, and by their own definitions.
PEERS = """| tool | flags faulty | flags healthy | cause | source |
|---|---|---|---|---|
| DeepLocalize | 188/200 | 133/186 | | logs of Wardat et al., ICSE 2022 |
| DeepDiagnosis | 135/200 | 68/188 | | the same |
| AutoTrainer | repairs 98 % by its own definition, at 2.4 times the training | | | Zhang et al., ICSE 2021 |
| DeepFD | | | 27/52 | Cao et al., ICSE 2022 |
| DEFault | | | 33/52 | Jahan et al., ICSE 2025 |
| TrainCheck | 15 to 18 of 20 silent errors, given a right run | | | Jiang et al., OSDI 2025 |"""


def alarms(record: Record) -> list[dict[str, Any]]:
    return record.get("alarms", [])  # type: ignore[no-any-return]


def is_detected(record: Record) -> bool:
    return bool(alarms(record))


def is_false_alarm(record: Record) -> bool:
    """An alarm on a healthy program; to refuse it, or to break on it, is no better."""
    return bool(alarms(record)) or record["status"] in ("refused", "broken")


def right(record: Record, among: int) -> bool:
    """Whether one of the first `among` distinct causes of the alarms is one of the program's."""
    causes = list(dict.fromkeys(f["cause"] for f in alarms(record)))[:among]
    return bool(set(causes) & set(record["families"]))


def first_step(record: Record) -> int | None:
    """The step of the earliest alarm; None before the first step."""
    steps = [f["step"] for f in alarms(record)]
    return None if None in steps else min(steps)


def counted(hits: int, total: int) -> str:
    """`12/40 = 30 % (18..45)`."""
    if not total:
        return ""
    low, high = wilson(hits, total)
    return f"{hits}/{total} = {100 * hits / total:.0f} % ({100 * low:.0f}..{100 * high:.0f})"


def share(records: Sequence[Record], is_hit: Callable[[Record], bool]) -> str:
    return counted(sum(map(is_hit, records)), len(records))


def macro(records: Sequence[Record], is_hit: Callable[[Record], bool]) -> str:
    """The mean over groups of the share within each."""
    groups: dict[str, list[bool]] = {}
    for record in records:
        groups.setdefault(record["group"], []).append(is_hit(record))
    return f"{100 * mean(mean(map(float, hits)) for hits in groups.values()):.0f} %" if groups else ""


def total_table(failed: Sequence[Record], fine: Sequence[Record]) -> Iterable[str]:
    rows: list[tuple[str, Sequence[Record], Callable[[Record], bool]]] = [
        ("failed programs detected", failed, is_detected),
        ("right cause first, of failed", failed, lambda r: right(r, 1)),
        ("right cause among the first three, of failed", failed, lambda r: right(r, 3)),
    ]
    found = [record for record in failed if is_detected(record)]
    before = [record for record in found if first_step(record) is None]
    early = [record for record in found if (first_step(record) or 0) < EARLY]
    rows += [
        ("right cause first, of detected", found, lambda r: right(r, 1)),
        ("began before the first step, of detected", found, lambda r: r in before),
        (f"began before step {EARLY}, of detected", found, lambda r: r in early),
        ("told before the first step, of detected", found, lambda r: bool(r.get("told_before"))),
        ("told by `check`, of detected", found, lambda r: bool(r.get("checked"))),
        ("false alarms on healthy fine programs", fine, is_false_alarm),
        ("suspicions on healthy fine programs", fine, lambda r: bool(r.get("suspicions"))),
        ("suspicions on failed programs without an alarm", failed, lambda r: not alarms(r) and bool(r["suspicions"])),
    ]
    yield "| all | programs, 95 % interval | mean over groups |\n|---|---|---|"
    for name, records, is_hit in rows:
        if records:
            safe = [r if "suspicions" in r else {**r, "suspicions": []} for r in records]
            yield f"| {name} | {share(safe, is_hit)} | {macro(safe, is_hit)} |"


def by(name: str, key: Callable[[Record], str], failed: Sequence[Record], fine: Sequence[Record]) -> Iterable[str]:
    keys = sorted({key(record) for record in (*failed, *fine)})
    yield f"| {name} | detected | right cause first | among three | false alarms |\n|---|---|---|---|---|"
    for each in keys:
        bad = [record for record in failed if key(record) == each]
        good = [record for record in fine if key(record) == each]
        cells = [share(bad, is_detected), share(bad, lambda r: right(r, 1)), share(bad, lambda r: right(r, 3))]
        yield f"| {each} | {' | '.join(cells)} | {share(good, is_false_alarm)} |"


def seconds_table(records: Sequence[Record]) -> Iterable[str]:
    """Medians and maxima; what check, race and diagnosis take together against what they may."""
    judged = [record for record in records if "check_seconds" in record]
    if not judged:
        return
    yield "| seconds | median | largest |\n|---|---|---|"
    names = ("check_seconds", "check_cpu_seconds", "race_seconds", "diagnosis_seconds", "train_seconds")
    for name in names:
        values = [record[name] for record in judged]
        yield f"| {name.removesuffix('_seconds').replace('_', ', ')} | {median(values):.2f} | {max(values):.1f} |"
    spent = [r["check_seconds"] + r["race_seconds"] + r["diagnosis_seconds"] for r in judged]
    allowed = [max(5.0, 0.2 * r["train_seconds"]) for r in judged]
    over = sum(s > a for s, a in zip(spent, allowed, strict=True))
    yield f"| all but the training | {median(spent):.2f} | {max(spent):.1f} |"
    yield f"\nMore than max(5 s, 0.2 of the training): {over} of {len(judged)} programs."


def listed(failed: Sequence[Record], fine: Sequence[Record], records: Sequence[Record]) -> Iterable[str]:
    """What is to be read one by one."""
    yield "Missed: " + (", ".join(f"{r['id']} ({r['status']})" for r in failed if not is_detected(r)) or "none")
    wrong = [r for r in failed if is_detected(r) and not right(r, 1)]
    causes = [
        f"{r['id']} (said {', '.join(dict.fromkeys(f['cause'] for f in alarms(r)))}; is {', '.join(r['families'])})"
        for r in wrong
    ]
    yield "\nAnother cause first: " + ("; ".join(causes) or "none")
    named = [
        f"{r['id']}: " + (", ".join(f["code"] for f in alarms(r)) or r["status"]) for r in fine if is_false_alarm(r)
    ]
    yield "\nFalse alarms: " + ("; ".join(named) or "none")
    raised = [f"{r['id']}: {r['error'].splitlines()[0][:160]}" for r in records if r["status"] in ("refused", "broken")]
    yield "\nRefused or broken: " + ("; ".join(raised) or "none")
    proven = [
        f"- {r['id']}: {f['severity']}[{f['code']}] {f['title']}" + (f" ({f['place']})" if f["place"] else "")
        for r in fine
        for f in (*alarms(r), *r.get("notes", ()))
        if f["standing"] == "proven"
    ]
    yield "\nSaid to be proven on healthy fine programs, each to be read:\n"
    yield "\n".join(proven) or "- nothing"


def tables(records: Sequence[Record]) -> str:
    """All tables as markdown."""
    failed = [r for r in records if r["kind"] == "faulty" and r["state"] == "failed"]
    fine = [r for r in records if r["kind"] == "healthy" and r["state"] == "fine"]
    latent = [r for r in records if r["kind"] == "faulty" and r["state"] != "failed"]
    parts = ["\n".join(total_table(failed, fine))]
    parts.append(f"Faulty programs that did not fail: {share(latent, is_detected) or '0'} raise an alarm; not counted.")
    parts.append("\n".join(by("source", lambda r: r["source"], failed, fine)))
    parts.append("\n".join(by("family", lambda r: (r["families"] or ["healthy"])[0], failed, fine)))
    parts.append("\n".join(by("way", lambda r: r["way"], failed, fine)))
    parts.append("\n".join(seconds_table(records)))
    parts.append("\n".join(listed(failed, fine, records)))
    parts.append(PEERS)
    return "\n\n".join(part for part in parts if part)
