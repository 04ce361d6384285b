"""Make docs/benchmarks.md from results/*.json: `python table.py`."""

from __future__ import annotations

from pathlib import Path

from common import RESULTS, read_json
from measures import HERE

OUT = HERE.parent / "docs" / "benchmarks.md"
NAMES = {
    "partwise:hals": "partwise",
    "partwise:minibatch": "partwise MiniBatchNMF",
    "sklearn:cd": "scikit-learn NMF (cd)",
    "sklearn:minibatch": "scikit-learn MiniBatchNMF",
    "nmf_torch:halsvar": "nmf-torch (halsvar, its default)",
    "nmf_torch:hals": "nmf-torch (hals)",
}


def seconds(value: float | None) -> str:
    if value is None:
        return "not reached"
    return f"{value:.3f} s" if value < 10 else f"{value:.1f} s"


def rows(header: list[str], lines: list[list[str]]) -> list[str]:
    """Return a markdown table; all columns but the first are aligned right."""
    marks = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(line) + " |" for line in [header, marks, *lines]] + [""]


def machine_line(result: dict) -> str:
    m = result["machine"]
    busy = "; **the machine was busy: these times are doubtful**" if m["busy_at_start"] else ""
    return (
        f"Measured {m['date']} on {m['cores']} cores of {m['cpu']}, {m['memory_gb']} GB, "
        f"Python {m['python']}, commit {m['commit']}; other programs used "
        f"{m['processor_in_use_at_start']:.0%} of the processor at the start{busy}."
    )


def ratio_text(ratio: dict | None) -> str:
    if not ratio:
        return ""
    wanted = f", asked for {ratio['required']:g}" if ratio["required"] else ""
    return (
        f"{ratio['median']:.1f} ({ratio['lowest']:.1f} to {ratio['highest']:.1f}, "
        f"{ratio['pairs']} pairs{wanted})"
    )


def engine_case(case: dict) -> list[str]:
    best = case["best_known"]
    n, p = case["shape"]
    text = [
        f"### {case['name']}",
        "",
        f"{n:,} x {p:,}, {case['nonzeros']:,} stored values. Target: error "
        f"{case['target_error']:.6f} (best known {best['error']:.6f}, by {best['engine']} from "
        f"start {best['start']}).",
        "",
    ]
    lines = []
    for engine, line in case["summary"].items():
        starts = [str(n) for n in line["iterations"].values() if n is not None]
        failed = line["starts_not_reached"]
        note = f"; not from start {', '.join(failed)}" if failed else ""
        lines.append(
            [
                NAMES.get(engine, engine),
                seconds(line.get("median_seconds")),
                ", ".join(starts) + note,
                ratio_text(line.get("ratio")),
            ]
        )
    text += rows(["", "time to target", "iterations by start", "times partwise's time"], lines)
    for engine, line in case["singles"].items():
        text.append(
            f"{NAMES.get(engine, engine)}, by its own rule of stopping: "
            f"{seconds(line['median_seconds'])}, error {line['error']:.6f}."
        )
    if case["rounds_left_out"]:
        text.append(f"{case['rounds_left_out']} rounds were left out for lack of time.")
    return [*text, ""]


def engine(result: dict) -> list[str]:
    extra = max(
        value
        for case in result["cases"]
        for name, value in case["first_call_extra_seconds"].items()
        if name.startswith("partwise")
    )
    versions = {k: v for case in result["cases"] for k, v in case["versions"].items()}
    used = "; ".join(
        ", ".join(f"{name} {number}" for name, number in found.items())
        for found in versions.values()
    )
    text = [
        "## Engine: time to the target error",
        "",
        f"Wall time of a whole `fit_transform` to {result['target']} times the best known "
        f"relative error, {result['threads']} threads each, float32, the same random start arrays, "
        "all engines in turn in each repeat; medians. The error is computed in float64 from the "
        "factors that came back.",
        "",
        f"Excluded: partwise's compilation ({result['cold_compile_seconds']} s once per machine; "
        f"{extra:.2f} s more than a later call in a new process), and the dense copy of sparse "
        "data that nmf-torch needs.",
        "",
        f"{machine_line(result)} {used}.",
        "",
    ]
    for case in result["cases"]:
        text += engine_case(case)
    return [*text, "Again: `python benchmarks/engine.py`", ""]


def quality(result: dict) -> list[str]:
    text = [
        "## Converged error over seeds",
        "",
        "Relative error, each program from its own start, tight rules of stopping. Allowed: "
        f"{result['worse_percent_allowed']} % worse.",
        "",
    ]
    lines = []
    for name, line in result["verdicts"].items():
        cells = [name]
        for measure in ("best", "median"):
            v = line[measure]
            cells.append(f"{v['ours']:.6f} / {v['rival']:.6f} ({v['worse_percent']:+.4f} %)")
        cells.append(("exact; " if line["exact_fit"] else "") + ("yes" if line["holds"] else "no"))
        cells.append(f"{line['seeds'][0]} / {line['seeds'][1]}")
        cells.append(f"{line['stopped_by_max_iter'][0]} / {line['stopped_by_max_iter'][1]}")
        lines.append(cells)
    head = ["", "best: partwise / scikit-learn", "median", "holds", "seeds", "stopped by max_iter"]
    return [*text, *rows(head, lines), machine_line(result), "",
            "Again: `python benchmarks/quality.py`", ""]  # fmt: skip


def pipeline(result: dict) -> list[str]:
    s = result["settings"]
    text = [
        "## The whole job",
        "",
        f"From the CSV of `{result['data']}` to clusters and files (and partwise's report): "
        f"n={s['n_components']}, k={s['n_neighbors']}, r={s['resolution']}. The original is the "
        "pipeline of public calls that nmf-leiden-clustering makes (benchmarks/run_original.py).",
        "",
    ]
    lines = [
        [
            name,
            seconds(run["seconds"]),
            seconds(run["cpu_seconds"]),
            f"{run['peak_mb'] / 1000:.2f} GB",
            str(run["clusters"]),
            f"{run['adjusted_rand']:.3f}",
            f"{run['relative_error']:.4f}",
        ]
        for name, runs in result["runs"].items()
        for run in runs
    ]
    head = ["", "wall", "CPU", "peak memory", "clusters", "ARI to planted types", "relative error"]
    text += rows(head, lines)
    if result.get("ratios"):
        r = result["ratios"]
        text += [
            f"partwise is {r['speed']:.1f} times as fast (asked for {r['speed_required']:g}) in "
            f"1/{r['memory']:.1f} of the memory (asked for 1/{r['memory_required']:g}).",
            "",
        ]
    return [*text, machine_line(result), "", "Again: `python benchmarks/pipeline.py`", ""]


def write(out: Path = OUT) -> None:
    text = [
        "# Benchmarks",
        "",
        "Made by `python benchmarks/table.py` from benchmarks/results; how to measure again: "
        "[benchmarks/README.md](../benchmarks/README.md).",
        "",
    ]
    for name, section in (("engine", engine), ("quality", quality), ("pipeline", pipeline)):
        result = read_json(RESULTS / f"{name}.json", {})
        if result:
            text += section(result)
    out.parent.mkdir(exist_ok=True)
    out.write_text("\n".join(text).rstrip() + "\n")
    print(out)


if __name__ == "__main__":
    write()
