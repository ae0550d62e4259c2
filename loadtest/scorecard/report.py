"""The measurements of all rounds as one document, and the document as Markdown, JSON and a page."""

import collections
import json
import os
import statistics

import ceilings
import goals
from rows import AXES, ENGINES, HERE, HalfLoad, Row
from works import Work

MEDIANS = ["rate", "p50_ms", "p99_ms", "p999_ms", "conflicts", "sections_again", "guard_refused",
           "errors", "batch"]
PROCESSES = {"service": "service", "load": "load tester", "database": "MariaDB", "redis": "Redis",
             "zookeeper": "ZooKeeper", "etcd": "etcd", "probe": "probe"}
ROW_COLUMNS = ("| row | operations/s | of the ceiling | the ceiling | p50 | p99 | p99.9 | conflicts | run again"
               " | lock busy | errors | mean batch | violations | service µs/op | database µs/op"
               " | load tester µs/op | lock server µs/op | processors busy |")
SPREAD_WORDS = {"hot": "one hot SKU", "spread": "1,000 SKUs"}


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def median_cpu(samples):
    names = {name for sample in samples for name in sample["cpu"]}
    return {name: median([s["cpu"].get(name) for s in samples]) for name in PROCESSES if name in names}


def per_operation(samples):
    """CPU microseconds an operation of each process, medians. Steadier than a rate on a busy machine."""
    return median_cpu([{"cpu": {name: 1e6 * cores / s["rate"] for name, cores in s["cpu"].items()}}
                       for s in samples if s["rate"]])


def row_entry(row, samples, failed, rounds):
    """A row that failed in any round has failed, whatever it did in the other rounds. `rounds`: the rates of
    the ceilings in each round."""
    entry = dict(zip(AXES, row.words), name=row.name,
                 lab=row.strategy.lab_only, rounds=len(samples), failed=failed)
    if failed or not samples:
        return entry
    entry.update({name: median([sample[name] for sample in samples]) for name in MEDIANS})
    entry["cpu"], entry["cpu_us"] = median_cpu(samples), per_operation(samples)
    entry["lock_server"] = ceilings.LOCK_SERVERS.get(row.strategy.name)
    entry["violations"] = sum(sample["violations"] for sample in samples)
    entry["broken"] = sorted({slug for sample in samples for slug in sample["broken"]})
    entry["checked"] = sum(sample["ok"] for sample in samples)
    entry["rates"] = [sample["rate"] for sample in samples]
    limits = [ceilings.limit(row, rates) for rates in rounds[:len(samples)]]
    entry["ceiling"] = median([limit for limit, _ in limits])
    entry["ceiling_is"] = limits[0][1] if limits else "not measured"
    entry["ratio"] = goals.ratio(entry["rates"], [limit for limit, _ in limits])
    return entry


def half_load_entry(half, samples, failed):
    entry = {"name": half.row.name, "lab": False, "rounds": len(samples), "failed": failed}
    if failed or not samples:
        return entry
    entry.update({name: median([sample[name] for sample in samples])
                  for name in ("wanted", "rate", "p50_ms", "p99_ms", "p999_ms")})
    bars = collections.Counter()
    for sample in samples:
        bars.update(dict(sample["histogram"]))
    return {**entry, "cpu_us": per_operation(samples), "histogram": sorted(bars.items()),
            "violations": sum(sample["violations"] for sample in samples),
            "broken": sorted({slug for sample in samples for slug in sample["broken"]}),
            "p99_goal_ms": goals.P99_AT_HALF_LOAD_MS}


def work_entry(work, samples, failed, of):
    """`of`: the samples of the row of deducts, measured in the same rounds."""
    entry = {"name": work.name, "word": work.word, "of": work.of, "lab": False, "rounds": len(samples),
             "failed": failed}
    if failed or not samples:
        return entry
    entry.update({name: median([sample[name] for sample in samples])
                  for name in ("rate", "p50_ms", "p99_ms", "p999_ms")})
    rates = [sample["rate"] for sample in samples]
    return {**entry, "rates": rates, "ratio": goals.ratio(rates, [sample["rate"] for sample in of]),
            "cpu": median_cpu(samples), "cpu_us": per_operation(samples),
            "violations": sum(sample["violations"] for sample in samples),
            "broken": sorted({slug for sample in samples for slug in sample["broken"]})}


def ceiling_entry(ceiling, samples, failed):
    rates = [sample["rate"] for sample in samples]
    return {"name": ceiling.name, "what": ceiling.what, "failed": failed,
            "rate": None if failed else median(rates), "rates": rates, "cpu": median_cpu(samples),
            "cpu_us": per_operation(samples)}


def build(facts, rows, table, samples, failures):
    """`rows` (with their half loads, and the other works) and `table` (the ceilings) in order; samples and
    failures by row, half load, work or ceiling."""
    n_rounds = max((len(found) for found in samples.values()), default=0)
    rounds = [{one: samples[one][i]["rate"] for one in table if one not in failures and i < len(samples[one])}
              for i in range(n_rounds)]
    document = dict(facts)
    document["ceilings"] = [ceiling_entry(one, samples[one], failures.get(one))
                            for one in table if samples[one] or one in failures]
    document["rows"] = [row_entry(row, samples[row], failures.get(row), rounds)
                        for row in rows if isinstance(row, Row) and (samples[row] or row in failures)]
    deducts = {row.words: [] if row in failures else samples[row] for row in rows if isinstance(row, Row)}
    document["works"] = [work_entry(work, samples[work], failures.get(work), deducts.get(work.of, []))
                         for work in rows if isinstance(work, Work) and (samples[work] or work in failures)]
    document["half_load"] = [half_load_entry(half, samples[half], failures.get(half)) for half in rows
                             if isinstance(half, HalfLoad) and (samples[half] or half in failures)]
    document["goals"] = goals.reached(document["rows"], document["half_load"], document["works"])
    document["findings"] = findings(document["rows"]) + list(say_wrong(document["half_load"], ", half load")) + list(
        say_wrong(document["works"], ""))
    document["method"] = ceilings.METHOD
    return document


# ---- findings ----------------------------------------------------------------------------


def panels(rows):
    """The rows side by side: same engine, SKUs, instances, mode and route."""
    found = {}
    for row in rows:
        found.setdefault((row["engine"], row["spread"], row["instances"], row["mode"], row["route"]), []).append(row)
    return found


def measured(rows):
    return [row for row in rows if not row["failed"]]


def right(rows):
    return [row for row in measured(rows) if not row["violations"]]


def panel_words(engine, spread, instances, mode, route):
    many = "1 instance" if instances == "1" else f"{instances} instances"
    routed = ", routed" if route == "routed" else ""
    return f"{ENGINES[engine]}, {SPREAD_WORDS[spread]}, {many}, {mode}{routed}"


def say_fastest(rows):
    for key, panel in panels(rows).items():
        fine = right(panel)
        if len(fine) < 2:
            continue
        best, worst = max(fine, key=lambda r: r["rate"]), min(fine, key=lambda r: r["rate"])
        calm = min(fine, key=lambda r: r["p99_ms"])
        yield (f"{panel_words(*key)}: fastest {best['strategy']} with {best['rate']:,.0f}/s, slowest"
               f" {worst['strategy']} with {worst['rate']:,.0f}/s; lowest p99 {calm['strategy']} with"
               f" {milliseconds(calm['p99_ms'])}.")


def say_combining(rows):
    same = ("strategy", "engine", "spread", "instances", "route")
    direct = {tuple(row[k] for k in same): row for row in right(rows) if row["mode"] == "direct"}
    factors = {}
    for row in right(rows):
        other = direct.get(tuple(row[k] for k in same))
        if row["mode"] == "combined" and other:
            factors.setdefault(row["spread"], []).append((row["rate"] / other["rate"], row["strategy"]))
    for spread, found in factors.items():
        low, high = min(found), max(found)
        span = f"by {high[0]:.1f} ({high[1]})"
        if low[1] != high[1]:
            span = f"by {low[0]:.1f} ({low[1]}) to {high[0]:.1f} ({high[1]})"
        yield f"On {SPREAD_WORDS[spread]}, combining multiplies the rate {span}."


def say_violations(rows):
    fine = right(rows)
    if fine:
        yield (f"{len(fine)} {'row' if len(fine) == 1 else 'rows'} kept every invariant of the history checker over"
               f" {sum(row['checked'] for row in fine):,} operations.")
    broken = [row for row in measured(rows) if row["violations"]]
    for row in broken:
        if not row["lab"]:
            yield f"{row['name']}: {row['violations']:,} violations ({', '.join(row['broken'])}). That is a bug."
    for name in sorted({row["strategy"] for row in broken if row["lab"]}):
        mine = [row for row in broken if row["strategy"] == name]
        tried = sum(row["strategy"] == name for row in measured(rows))
        slugs = sorted({slug for row in mine for slug in row["broken"]})
        yield (f"{name}, as it must, shows violations in {len(mine)} of {tried} rows:"
               f" {sum(row['violations'] for row in mine):,} in all ({', '.join(slugs)}).")


def say_wrong(entries, what):
    for one in entries:
        if one["failed"]:
            yield f"{one['name']}{what}: failed, {one['failed']}"
        elif one["violations"]:
            yield (f"{one['name']}{what}: {one['violations']:,} violations ({', '.join(one['broken'])})."
                   " That is a bug.")


def findings(rows):
    failed = [row for row in rows if row["failed"]]
    return [*(f"{row['name']}: failed, {row['failed']}" for row in failed),
            *say_violations(rows), *say_combining(rows), *say_fastest(rows)]


# ---- Markdown ----------------------------------------------------------------------------------------


def milliseconds(value):
    if value is None:
        return "–"
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def number(value, form=",.0f"):
    return "–" if value is None else format(value, form)


def cpu_words(cpu):
    return ", ".join(f"{PROCESSES[name]} {cores:.2f}" for name, cores in cpu.items() if cores >= 0.02)


def cpu_us_cells(row):
    """Microseconds an operation in the columns of CPU_COLUMNS; of the lock servers only the row's own."""
    own = [row["cpu_us"].get(name) for name in ("service", "database", "load", row.get("lock_server"))]
    return [number(us, ".1f") for us in own]


def cpu_us_words(cpu_us):
    return ", ".join(f"{PROCESSES[name]} {us:.1f}" for name, us in cpu_us.items() if us >= 0.5)


def markdown_row(row):
    if row["failed"]:
        rest = " |" * (ROW_COLUMNS.count("|") - 3)
        return f"| {row['name']} | **failed: {row['failed'].replace('|', '/')}** |{rest}"
    wrong = f"**{row['violations']:,}**" if row["violations"] else "0"
    cells = [row["name"], number(row["rate"]), number(row["ratio"], ".2f"), row["ceiling_is"],
             *(milliseconds(row[k]) for k in ("p50_ms", "p99_ms", "p999_ms")),
             *(number(row[k], ".1f") for k in ("conflicts", "sections_again", "guard_refused",
                                               "errors", "batch")),
             wrong, *cpu_us_cells(row), cpu_words(row["cpu"])]
    return "| " + " | ".join(cells) + " |"


def markdown(document):
    lines = ["# Holdfast scorecard", "", document["about"], ""]
    if document["interrupted"]:
        lines += ["**Interrupted: these are the results until then.**", ""]
    lines += [f"- {finding}" for finding in document["findings"]]
    if document["goals"]:
        lines += ["", "## Goals", "", "| ratio within this run | now | goal | met |", "|---" * 4 + "|"]
        lines += [f"| {one['goal']} | {one['now']:.2f}{one['unit']} | {one['sign']} {one['bar']:.2f}{one['unit']}"
                  f" | {'yes' if one['met'] else 'no'} |" for one in document["goals"]]
    half = [one for one in document["half_load"] if not one["failed"]]
    if half:
        lines += ["", "## Latency at half load", "", "An open loop at half of the row's rate; latency counts from"
                  " the moment at which an operation was meant to begin.", "",
                  "| row | operations/s | p50 | p99 | p99.9 |", "|---" * 5 + "|"]
        lines += [f"| {one['name']} | {number(one['rate'])} | "
                  + " | ".join(milliseconds(one[k]) for k in ("p50_ms", "p99_ms", "p999_ms")) + " |" for one in half]
    works = [one for one in document["works"] if not one["failed"]]
    if works:
        lines += ["", "## Other operations", "", "conditional, combined, one instance, MariaDB. Of deducts: the ratio"
                  " to deducts of one SKU, or of 1,000 SKUs, in the same round.", "",
                  "| operations | a second | of deducts | p50 | p99 | violations | service µs/op | database µs/op"
                  " | load tester µs/op |", "|---" * 9 + "|"]
        lines += [f"| {one['name']} | {number(one['rate'])} | {number(one['ratio'], '.2f')} |"
                  f" {milliseconds(one['p50_ms'])} | {milliseconds(one['p99_ms'])} | {one['violations']:,} | "
                  + " | ".join(cpu_us_cells(one)[:3]) + " |" for one in works]
    lines += ["", "## Ceilings", "", "| ceiling | a second | what | CPU µs/op | processors busy |", "|---" * 5 + "|"]
    for one in document["ceilings"]:
        rate = f"**failed: {one['failed'].replace('|', '/')}**" if one["failed"] else number(one["rate"])
        lines.append(f"| {one['name']} | {rate} | {one['what']}"
                     f" | {cpu_us_words(one['cpu_us'])} | {cpu_words(one['cpu'])} |")
    lines += ["", "## Rows", "", ROW_COLUMNS, "|---" * (ROW_COLUMNS.count("|") - 1) + "|"]
    lines += [markdown_row(row) for row in document["rows"]]
    lines += ["", "## How the ratios are computed", ""]
    lines += [f"- {sentence}" for sentence in document["method"]]
    return "\n".join(lines) + "\n"


# ---- files -------------------------------------------------------------------------------------------


def page(document):
    with open(os.path.join(HERE, "page.html"), encoding="utf-8") as file:
        template = file.read()
    # `<` could end the script early.
    return template.replace("/*DOCUMENT*/null", json.dumps(document).replace("<", "\\u003c"))


def save(document, directory):
    """Writes each file beside its place and renames it, so an interrupted run leaves no half report."""
    os.makedirs(directory, exist_ok=True)
    texts = {"scorecard.md": markdown(document), "scorecard.html": page(document),
             "scorecard.json": json.dumps(document, indent=1) + "\n"}
    for name, text in texts.items():
        path = os.path.join(directory, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".new", path)
