"""Make docs/benchmarks.md from results/*.json: `python table.py`."""

from __future__ import annotations

from pathlib import Path

from common import RESULTS, config, read_json
from measures import HERE
from table_sequences import sequences, significance
from table_text import machine_line, rows, seconds

OUT = HERE.parent / "docs" / "benchmarks.md"
NAMES = {
    "partwise:hals": "partwise",
    "partwise:minibatch": "partwise MiniBatchNMF",
    "sklearn:cd": "scikit-learn NMF (cd)",
    "sklearn:minibatch": "scikit-learn MiniBatchNMF",
    "nmf_torch:halsvar": "nmf-torch (halsvar, its default)",
    "nmf_torch:hals": "nmf-torch (hals)",
}


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
    if not result.get("verdicts"):
        return []  # not finished
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
        r, asked = result["ratios"], config()["pipeline"]
        text += [
            f"partwise is {r['speed']:.1f} times as fast (asked for "
            f"{asked['required_speed']:g}) in 1/{r['memory']:.1f} of the memory "
            f"(asked for 1/{asked['required_memory']:g}).",
            "",
        ]
    return [*text, machine_line(result), "", "Again: `python benchmarks/pipeline.py`", ""]


def counts(result: dict) -> list[str]:
    text = [
        "## Counts: time to a given deviance",
        "",
        f"pbmc3k, raw counts, {result['k']} programs, Kullback-Leibler loss, {result['threads']} "
        "threads, the same random starts. Best known deviance "
        f"{result['best_deviance']:,.0f}; seconds of a whole `fit_transform` to 1.01 and 1.001 "
        "times that. scikit-learn (mu) is stopped at 1.01 or when its time is up.",
        "",
    ]
    lines = []
    for row in result["starts"]:
        ours, theirs = row["partwise"], row["sklearn"]
        to = "" if theirs["reached"] else f" to {theirs['ratio']:.4f}"
        cells = [seconds(ours[t].get("seconds")) for t in ("1.01", "1.001")]
        faster = f"{row['faster']:.0f}" + ("" if theirs["reached"] else " or more")
        lines.append([str(row["seed"]), *cells, seconds(theirs["seconds"]) + to, faster])
    head = ["start", "partwise to 1.01", "to 1.001", "scikit-learn to 1.01", "times faster"]
    text += [*rows(head, lines), machine_line(result), ""]
    return [*text, "Again: `python benchmarks/counts.py`", ""]


def masked(result: dict) -> list[str]:
    text = [
        "## Missing entries",
        "",
        "Entries hidden at random; fits to convergence, medians over three masks. The error is "
        "that at the hidden entries, relative to a fit of the complete data.",
        "",
    ]
    lines = [
        [
            f"{case['data']} k={case['k']}, {case['hidden']:.0%} hidden",
            f"{case['times_seconds']:.2f}",
            f"{case['times_cpu_seconds']:.2f}",
            f"{case['times_error']:.3f}",
        ]
        for name in ("depmap", "pbmc3k")
        for case in result.get(name, [])
    ]
    text += rows(["", "times the wall time", "times the CPU time", "times the error"], lines)
    for case in result.get("planted", []):
        text += [f"Planted data: {case['times_noise']:.3f} times the noise.", ""]
    same = "no bit" if result["same_bits"] else "**bits**"
    text += [f"Other values at the hidden entries change {same} of the fit.", ""]
    return [*text, machine_line(result), "", "Again: `python benchmarks/masked.py`", ""]


def consensus(result: dict) -> list[str]:
    ranks = result["ranks"]
    text = [
        "## Consensus programs",
        "",
        f"{result['data']}; k = {ranks[0]} to {ranks[-1]}, {result['replicates']} replicates each, "
        f"{result['what']}.",
        "",
    ]
    lines = [
        [name, seconds(run["seconds"]), f"{run['peak_mb']:.0f} MB"]
        for name, run in result["runs"].items()
    ]
    text += rows(["", "wall", "peak memory of all processes"], lines)
    if "ratios" in result:
        r = result["ratios"]
        text += [
            f"{r['speed']:.1f} times as fast (asked for {r['speed_required']:g}), 1/"
            f"{r['memory']:.2f} of the memory (asked for 1/{r['memory_required']:g}).",
            "",
        ]
    if "agreement" in result:
        found = result["agreement"]
        k = found["largest_stable_for_both"]
        row = found["per_rank"].get(k, found["per_rank"].get(str(k)))
        least = min(r["least_cosine_on_the_same_replicates"] for r in found["per_rank"].values())
        text += [
            f"At the largest k that both find stable, {k}, the programs of replicates of their own "
            f"agree with a median cosine of {found['median_cosine_there']:.4f} (least "
            f"{row['least_cosine']:.4f}). On the same replicates the least cosine over all k is "
            f"{least:.6f}.",
            "",
        ]
    return [*text, machine_line(result), "", "Again: `python benchmarks/consensus.py`", ""]


def out_of_core(result: dict) -> list[str]:
    text = [
        "## Files larger than memory",
        "",
        f"300,000 x 2,000, 5 % dense, {result['k']} programs, to the same rule of stopping; each "
        "run in a process of its own, medians.",
        "",
    ]
    lines = [
        [
            name,
            seconds(line["read_wall"]),
            seconds(line["fit_wall"]),
            seconds(line["fit_cpu"]),
            f"{line['times_memory_wall']:.2f}",
            f"{line['peak_mb']:.0f} MB",
            f"{line['relative_error']:.6f}",
        ]
        for name, line in result["summary"].items()
    ]
    head = ["", "opening", "fit, wall", "fit, CPU", "times memory", "peak memory", "error"]
    text += [*rows(head, lines), machine_line(result), ""]
    return [*text, "Again: `python benchmarks/out_of_core.py`", ""]


def leiden(result: dict) -> list[str]:
    text = [
        "## Leiden alone",
        "",
        f"{result['what']}. {result['settings']['seeds']} seeds, each run a process of its own, "
        "all programs in turn; medians. A program's own graph is made from our arrays; the memory "
        "in brackets is that beyond what the process has when these are read.",
        "",
    ]
    for case in result["cases"]:
        text += [
            f"### {case['data']}, r = {case['resolution']:g}",
            "",
            f"{case['nodes']:,} nodes, {case['edges']:,} edges.",
            "",
        ]
        lines = [
            [
                name,
                seconds(told["build_seconds"]) if told["build_seconds"] > 1e-3 else "",
                seconds(told["seconds"]),
                f"{told['peak_mb']:.0f} MB ({told['more_mb']:.0f} MB)",
                f"{told['quality_mean']:.5f} ± {told['quality_sd']:.5f}",
                f"{told['clusters']:g}",
            ]
            for name, told in case["summary"].items()
        ]
        head = ["", "graph", "Leiden, wall", "peak memory", "modularity", "clusters"]
        text += rows(head, lines)
    kept = result.get("kept", {})
    told = [f"{name} was measured on {date}, not in turn." for name, date in kept.items()]
    lines = [machine_line(result), *told, "", "Again: `python benchmarks/leiden.py`", ""]
    return [*text, *lines]


def scale(result: dict) -> list[str]:
    text = [
        "## Large tables",
        "",
        "Whole programs, six factors; the peak is that of the process and its children. `fit`: the "
        "factorization alone, rows read from disk.",
        "",
    ]
    lines = []
    for name, case in result["cases"].items():
        fit = case.get("fit")
        cells = fit["cells"] if fit else case["results"].get("n_cells", case["cells"])
        lines.append(
            [
                name.replace("_", ", "),
                f"{cells:,}",
                seconds(fit["seconds"] if fit else case["seconds"]),
                f"{fit['peak_gb'] if fit else case['peak_gb']:.2f} GB",
                f"{case['allowed_gb']:g} GB" if case["allowed_gb"] else "",
                "busy" if case["machine"]["busy_at_start"] else "",
            ]
        )
    text += rows(["", "cells", "wall", "peak memory", "asked for", "machine"], lines)
    machines = [case["machine"] for case in result["cases"].values()]
    return [
        *text,
        machine_line({"machine": machines[-1]}),
        "",
        "Again: `python benchmarks/scale.py`",
        "",
    ]


SECTIONS = {
    "engine": engine,
    "counts": counts,
    "masked": masked,
    "consensus": consensus,
    "out_of_core": out_of_core,
    "quality": quality,
    "pipeline": pipeline,
    "leiden": leiden,
    "scale": scale,
    "sequences": sequences,
    "sequences_significance": significance,
}


def write(out: Path = OUT) -> None:
    text = [
        "# Benchmarks",
        "",
        "Made by `python benchmarks/table.py` from benchmarks/results; how to measure again: "
        "[benchmarks/README.md](../benchmarks/README.md).",
        "",
    ]
    for name, section in SECTIONS.items():
        result = read_json(RESULTS / f"{name}.json", {})
        if result:
            text += section(result)
    out.parent.mkdir(exist_ok=True)
    out.write_text("\n".join(text).rstrip() + "\n")
    print(out)


if __name__ == "__main__":
    write()
