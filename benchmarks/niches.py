"""Known niches for new cells, and niches compared between groups of patients.

`python benchmarks/niches.py assign` runs `partwise cluster` on half of a table (half of the fields
of view), assigns the other half with `--model`, and compares with a joint run. `null` simulates
tissue without a difference between groups 500 times; `power` with differences; `transform` compares
the transformations that the test could use. Nothing is timed, so load does not matter; all of it
takes about ten minutes. Without an argument all are run; `table` writes docs/cluster.md.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from common import RESULTS, read_json, write_json
from partwise.datasets import simulate_neighborhoods, simulate_tissue
from partwise.graph import clustering_space
from partwise.graph.assign import assign_labels
from partwise.graph.spatial import neighborhood_table
from partwise.metrics import adjusted_rand, compare_fractions, permutation_test
from partwise.report import Report
from partwise.utils.atomic import write_text
from partwise.workflows import cluster
from partwise.workflows.clustering import assign as cluster_assign
from partwise.workflows.clustering import job as cluster_job

OUT = RESULTS / "niches.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "cluster.md"

#: least agreement of assigned with joint labels
REQUIRED = 0.95
SEEDS = range(3)
#: name -> (kind, cells, factors)
TABLES = {
    "original, 40,000 cells": ("original", 40_000, 10),
    "anchored niches, 40,000 cells": ("anchored", 40_000, 6),
    "anchored niches, 200,000 cells": ("anchored", 200_000, 6),
    "tissue, 6 niches, 40,000 cells": ("tissue", 40_000, 8),
    "tissue, 12 niches, 120,000 cells": ("tissue-12", 120_000, 14),
    "discrete rows, 40,000 cells": ("discrete", 40_000, 5),
}

SIMULATIONS = 500
#: patients in each group, for the null
DESIGNS = ((5, 5), (8, 8), (6, 14), (6, 6, 6))
#: patients in each of two groups, and the share added to a niche that has a sixth of the tissue
PATIENTS, EFFECTS = (4, 8, 16), (0.1, 0.2, 0.3)
POWER_SIMULATIONS = 200
N_NICHES, CELLS_PER_PATIENT, FOVS_PER_PATIENT = 6, 3_000, 2


# assignment


def table_of(kind: str, n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a neighbourhood table and what was planted."""
    if not kind.startswith("tissue"):
        made = simulate_neighborhoods(n, mode=kind, n_fovs=40, seed=seed)
        return made.table, np.asarray(made.planted)
    niches = 12 if kind.endswith("12") else 6
    made = simulate_tissue(n, n_fovs=40, n_niches=niches, n_types=2 * niches, seed=seed)
    around = neighborhood_table(
        made.coordinates, made.cells["cell_meta_cluster"], fov=made.cells["fov"], radius=80.0
    )
    values = pd.DataFrame(around.frequencies, columns=[str(name) for name in around.types])
    ids = made.cells[["fov", "label", "cell_meta_cluster"]]
    return pd.concat([ids, values], axis=1), made.truth["niche"].cat.codes.to_numpy()


def assign(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Cluster one half, assign the other, and compare with the joint run."""
    kind, n, k = TABLES[name]
    frame, truth = table_of(kind, n, seed)
    fovs = frame["fov"].astype(str)
    first = fovs.isin(sorted(fovs.unique())[::2]).to_numpy()
    paths = {part: folder / f"{part}.csv" for part in ("joint", "half", "other")}
    frame.to_csv(paths["joint"], index=False)
    frame[first].to_csv(paths["half"], index=False)
    frame[~first].to_csv(paths["other"], index=False)
    joint = cluster(paths["joint"], n_components=k, output_dir=folder / "j")
    joint_labels = joint.rows.clustering.labels
    half = cluster(paths["half"], n_components=k, output_dir=folder / "h")
    new = cluster(paths["other"], model=folder / "h", output_dir=folder / "n")
    # the joint run's own labels of the first half as what is known: what assigning alone costs
    columns = [name for name in frame if name not in ("fov", "label", "cell_meta_cluster")]
    X = frame[columns].to_numpy(np.float32)
    space = clustering_space(joint.model.transform(X), joint.model.components_)
    known = first & (joint_labels >= 0)
    alone = assign_labels(space[~first], space[known], joint_labels[known]).labels
    sure = new.confidence >= 0.9
    same = _matched(new.labels, joint_labels[~first])
    line = {
        "table": name,
        "seed": seed,
        "clusters": [half.rows.clustering.n_clusters, joint.rows.clustering.n_clusters],
        "ari": adjusted_rand(new.labels, joint_labels[~first]),
        "ari_of_the_model": adjusted_rand(half.rows.clustering.labels, joint_labels[first]),
        "ari_assigning_alone": adjusted_rand(alone, joint_labels[~first]),
        "ari_planted": adjusted_rand(new.labels, truth[~first]),
        "ari_planted_joint": adjusted_rand(joint_labels[~first], truth[~first]),
        "unseen": float(new.unseen.mean()),
        "sure": float(sure.mean()),
        "agree_if_sure": float(same[sure].mean()) if sure.any() else None,
        "agree_if_not": float(same[~sure].mean()) if (~sure).any() else None,
    }
    print(line, flush=True)
    return line


def _matched(labels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Whether each label is the one that the reference's most often goes with."""
    table = pd.crosstab(reference, labels)
    return labels == table.idxmax(axis=1).loc[reference].to_numpy()


def assignments() -> dict[str, Any]:
    """Run all tables; figures are left out, which have no part in it."""
    for module in (cluster_job, cluster_assign):
        module.build_report = lambda *_: Report("no figures")
    lines = []
    for name in TABLES:
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                lines.append(assign(name, seed, Path(folder)))
    least = {
        key: {name: min(line[key] for line in lines if line["table"] == name) for name in TABLES}
        for key in ("ari", "ari_of_the_model", "ari_assigning_alone")
    }
    return {"required": REQUIRED, "least": least, "runs": lines}


# groups


def patients(sizes: tuple[int, ...], effect: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return niche counts of simulated patients, and their groups; of the planted niches."""
    n = 2 * max(sizes) * len(sizes)  # patients are dealt in turn; those beyond a size are left out
    tissue = simulate_tissue(
        n // 2 * CELLS_PER_PATIENT,
        n_fovs=n // 2 * FOVS_PER_PATIENT,
        n_patients=n // 2,
        groups=len(sizes),
        effect=effect,
        n_niches=N_NICHES,
        seed=seed,
    )
    who = tissue.cells["patient"].cat.codes.to_numpy(np.int64)
    niche = tissue.truth["niche"].cat.codes.to_numpy(np.int64)
    counts = np.bincount(who * N_NICHES + niche, minlength=n // 2 * N_NICHES)
    group = np.arange(n // 2) % len(sizes)
    rank = np.arange(n // 2) // len(sizes)
    kept = rank < np.asarray(sizes)[group]
    return counts.reshape(-1, N_NICHES)[kept], group[kept]


def null(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Without a difference p-values are uniform; those of tests that count cells are not."""
    p, fdr, cells, covered = [], [], [], []
    rng = np.random.default_rng(0)
    for seed in range(SIMULATIONS):
        counts, group = patients(sizes, 0.0, seed)
        found = compare_fractions(counts, group, random_state=seed)
        p.append(found.test.p_values.tolist())
        fdr.append(float(found.fdr.min()))
        table = np.stack([counts[group == g].sum(axis=0) for g in range(len(sizes))])
        cells.append(float(stats.chi2_contingency(table[:, table.any(axis=0)]).pvalue))
        covered.append(bool(found.low[0, 0] <= 0 <= found.high[0, 0]))
    # few patients give few values, so that no test of uniformity can hold for them as they are:
    # spread evenly over the step that ends at each they are uniform if the test is exact
    values = np.array(p)
    spread = values - found.test.smallest_p * rng.random(values.shape)
    uniform = [float(stats.kstest(column, "uniform").pvalue) for column in spread.T]
    line = {
        "patients": sizes,
        "simulations": SIMULATIONS,
        "smallest_p": found.test.smallest_p,
        "exact": found.test.exact,
        "ks_p_value": uniform[0],
        "ks_p_values_of_all_niches": uniform,
        "share_below_0.05": float(np.mean(values[:, 0] <= 0.05)),
        "share_below_0.01": float(np.mean(values[:, 0] <= 0.01)),
        "any_niche_at_fdr_0.05": float(np.mean(np.array(fdr) <= 0.05)),
        "interval_covers": float(np.mean(covered)),
        "cells_share_below_0.05": float(np.mean(np.array(cells) <= 0.05)),
        "p_values": values[:, 0].tolist(),
    }
    print({key: value for key, value in line.items() if key != "p_values"}, flush=True)
    return line


def power() -> list[dict[str, Any]]:
    """Return the share of simulations in which the shifted niche is found."""
    lines = []
    for count in PATIENTS:
        for effect in EFFECTS:
            hits = []
            for seed in range(POWER_SIMULATIONS):
                counts, group = patients((count, count), effect, 10_000 + seed)
                found = compare_fractions(counts, group, n_permutations=9_999, random_state=seed)
                hits.append((found.test.p_values[0] <= 0.05, found.fdr[0] <= 0.05))
            shares = np.mean(hits, axis=0)
            line = {
                "patients": count,
                "effect": effect,
                "power_p": float(shares[0]),
                "power_fdr": float(shares[1]),
            }
            lines.append(line)
            print(line, flush=True)
    return lines


# transformations

_TRANSFORMS = {
    "fraction": lambda C: C / C.sum(axis=1, keepdims=True),
    "arcsine": lambda C: np.arcsin(np.sqrt(C / C.sum(axis=1, keepdims=True))),
    "logit": lambda C: _logit((C + 0.5) / (C.sum(axis=1, keepdims=True) + 1.0)),
    "clr": lambda C: _centred(np.log(C + 0.5)),
}


def _logit(f: np.ndarray) -> np.ndarray:
    return np.log(f / (1 - f))


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=1, keepdims=True)


def fractions(kind: str, count: int, factor: float, niche: int, seed: int) -> np.ndarray:
    """Draw counts of six niches; in the second group the odds of one are `factor` times as high.

    "dirichlet" and "lognormal" differ in how patients vary; in "absent" a quarter of the patients
    lack the niche.
    """
    rng = np.random.default_rng(seed)
    base = np.array([0.4, 0.25, 0.15, 0.1, 0.07, 0.03])
    shifted = base.copy()
    shifted[niche] *= factor
    shares = np.repeat([base, shifted / shifted.sum()], count, axis=0)
    if kind == "dirichlet":
        drawn = np.stack([rng.dirichlet(15 * share) for share in shares])
    else:
        drawn = shares * np.exp(0.6 * rng.standard_normal(shares.shape))
        if kind == "absent":
            drawn[rng.random(2 * count) < 0.25, niche] = 0.0
        drawn /= drawn.sum(axis=1, keepdims=True)
    cells = rng.integers(500, 5000, 2 * count)
    return np.stack([rng.multinomial(n, p) for n, p in zip(cells, drawn, strict=True)])


def transforms() -> list[dict[str, Any]]:
    """Return the power of each transformation where niches are common, rare, or lacking."""
    lines = []
    for kind in ("dirichlet", "lognormal", "absent"):
        for niche, share in ((0, 0.4), (2, 0.15), (5, 0.03)):
            hits: dict[str, list[bool]] = {name: [] for name in _TRANSFORMS}
            for seed in range(300):
                counts = fractions(kind, 8, 4.0 if kind == "absent" else 2.5, niche, seed)
                for name, transform in _TRANSFORMS.items():
                    found = permutation_test(transform(counts), [0] * 8 + [1] * 8)
                    hits[name].append(bool(found.p_values[niche] <= 0.05))
            line = {"patients_vary": kind, "share": share}
            line |= {name: float(np.mean(values)) for name, values in hits.items()}
            lines.append(line)
            print(line, flush=True)
    return lines


# results


def table(results: dict[str, Any]) -> str:
    """Return the tables of docs/cluster.md."""
    lines = ["| table | clusters: model, joint | new cells | the model's own cells | assigning "]
    lines[0] += "alone | unlike | agree, confidence ≥ 0.9 | below |"
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in TABLES:
        runs = [run for run in results["assign"]["runs"] if run["table"] == name]
        unsure = [run["agree_if_not"] for run in runs if run["agree_if_not"] is not None]
        cells = [
            name,
            "; ".join(f"{a}, {b}" for a, b in (run["clusters"] for run in runs)),
            ", ".join(f"{run['ari']:.3f}" for run in runs),
            ", ".join(f"{run['ari_of_the_model']:.3f}" for run in runs),
            ", ".join(f"{run['ari_assigning_alone']:.3f}" for run in runs),
            f"{100 * np.mean([run['unseen'] for run in runs]):.2f} %",
            f"{100 * np.mean([run['agree_if_sure'] for run in runs]):.1f} %",
            f"{100 * np.mean(unsure):.1f} %" if unsure else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    parts = ["\n".join(lines)]
    lines = [
        "| patients | p ≤ 0.05 | p ≤ 0.01 | KS test of uniformity, p | any niche, FDR ≤ 0.05 | "
    ]
    lines[0] += "interval covers 0 | χ² of cells ≤ 0.05 |"
    lines.append("|---|---|---|---|---|---|---|")
    for run in results["null"]:
        cells = [
            " + ".join(map(str, run["patients"])),
            *(f"{run[key]:.3f}" for key in ("share_below_0.05", "share_below_0.01")),
            f"{run['ks_p_value']:.2f}",
            f"{run['any_niche_at_fdr_0.05']:.3f}",
            f"{run['interval_covers']:.3f}",
            f"{run['cells_share_below_0.05']:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    parts.append("\n".join(lines))
    lines = [f"| patients in each group | {' | '.join(f'+{100 * e:.0f} %' for e in EFFECTS)} |"]
    lines.append("|---|" + "---|" * len(EFFECTS))
    for count in PATIENTS:
        of = {run["effect"]: run for run in results["power"] if run["patients"] == count}
        cells = [f"{of[e]['power_p']:.2f} ({of[e]['power_fdr']:.2f})" for e in EFFECTS]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    parts.append("\n".join(lines))
    return "\n\n".join(parts)


def write_page(results: dict[str, Any]) -> None:
    begin, end = "<!-- niches: begin -->\n", "<!-- niches: end -->"
    before, _, rest = PAGE.read_text("utf-8").partition(begin)
    write_text(PAGE, f"{before}{begin}\n{table(results)}\n\n{end}{rest.partition(end)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=("assign", "null", "power", "transform", "table"), default=None
    )
    what = parser.parse_args().what
    warnings.simplefilter("ignore")
    parts = {
        "null": lambda: [null(sizes) for sizes in DESIGNS],
        "power": power,
        "transform": transforms,
        "assign": assignments,
    }
    for name, run in parts.items():
        if what in (None, name):
            result = run()
            write_json(OUT, read_json(OUT, {}) | {name: result})
    if what in (None, "table"):
        write_page(read_json(OUT, {}))


if __name__ == "__main__":
    main()
