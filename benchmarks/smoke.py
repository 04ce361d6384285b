"""Our side on tiny data, in under a minute, for CI: `python smoke.py`.

Checks that fits reach the error they should, not how fast they are; the seconds are printed only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd

import data
from common import Session
from measures import adjusted_rand, deviance, relative_error
from partwise.sequences import match_motifs
from partwise.workflows import sequences_fit, sequences_simulate
from pipeline import commands, measured

K = 8
#: of the converged error
CLOSE = 1.001


def engine(folder: Path) -> None:
    """A fit from a random start must come within 0.1 % of a converged fit."""
    with Session("tiny_sparse", ["partwise"], 2, folder) as session:
        start = session.start(K, 0)
        errors = {}
        for iterations in (60, 600):
            begin = time.perf_counter()
            _, usage, programs = session.fit("partwise:hals", k=K, max_iter=iterations, start=start)
            seconds = time.perf_counter() - begin
            errors[iterations] = relative_error(session.X, usage, programs)
            print(f"{iterations} iterations: error {errors[iterations]:.6f}, {seconds:.2f} s")
        if errors[60] > CLOSE * errors[600]:
            raise SystemExit(f"60 iterations are further than {CLOSE} from 600: {errors}")


def counts(folder: Path) -> None:
    """Counts from a random start must come within 0.1 % of a converged fit, by deviance."""
    with Session("tiny_counts", ["partwise"], 2, folder) as session:
        start = session.start(K, 0)
        found = {}
        for iterations in (100, 1000):
            settings = {"k": K, "max_iter": iterations, "start": start}
            _, usage, programs = session.fit("partwise:newton", **settings)
            found[iterations] = deviance(session.X, usage, programs)
            print(f"counts, {iterations} iterations: deviance {found[iterations]:.1f}")
        if found[100] > CLOSE * found[1000]:
            raise SystemExit(f"100 iterations are further than {CLOSE} from 1000: {found}")


def pipeline(folder: Path) -> None:
    """`partwise cluster` on a tiny table must write its outputs and find the planted types."""
    settings = {"n_components": 6, "n_neighbors": 15, "resolution": 0.1, "seed": 42}
    ours = commands(settings, data.ensure("tiny_table"), ["partwise"])["partwise"]
    run = measured([*ours, "-o", str(folder)])
    table = pd.read_csv(next(folder.rglob("*_nmf_leiden_clusters.csv")))
    agreement = adjusted_rand(table["leiden_cluster"], table["cell_meta_cluster"])
    print(
        f"cluster: {run['seconds']:.1f} s, {run['peak_mb']:.0f} MB, "
        f"{table['leiden_cluster'].nunique()} clusters, adjusted Rand index {agreement:.3f}"
    )
    if agreement < 0.5:
        raise SystemExit("the clusters do not agree with the planted types")


def sequences(folder: Path) -> None:
    """`partwise sequences fit` on a simulated recording must find both planted sequences."""
    plan = {"n_frames": 6000, "n_sequences": 2, "n_neurons": 10, "seed": 1}
    made = sequences_simulate(**plan, output_dir=folder)
    begin = time.perf_counter()
    run = sequences_fit(
        made.outputs["recording"], n_components=4, n_lags=40, lambda_=0.01, output_dir=folder
    )
    seconds = time.perf_counter() - begin
    found = match_motifs(made.simulated.motifs, run.fit.motifs)
    print(
        f"sequences: {seconds:.1f} s, {run.found['n_significant']} significant, held-out power "
        f"{run.fit.power_held_out:.3f}, cosines with what was planted {found.scores.round(3)}"
    )
    planted = set((found.pairs[:, 1] + 1).tolist())
    if found.scores.min() < 0.9 or not planted <= set(run.found["significant_factors"]):
        raise SystemExit("a planted sequence was not found")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for part in (engine, counts, pipeline, sequences):
        with tempfile.TemporaryDirectory() as folder:
            part(Path(folder))


if __name__ == "__main__":
    main()
