"""Stages of the factorize job: preparation and fit, and what to tell the user about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise.exceptions import UsageError
from partwise.factorize import NMF, MiniBatchNMF
from partwise.prepare import overdispersed_genes
from partwise.prepare.recipe import PreparedSource, Recipe, row_totals
from partwise.workflows.counts_advice import counts_advice

if TYPE_CHECKING:
    import numpy.typing as npt

    from partwise.io import Table
    from partwise.results import Factorization
    from partwise.utils.progress import Stage
    from partwise.workflows.factorize_options import FactorizeOptions

__all__ = ["Prepared", "Quality", "advice", "fit_prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """The values that are factorized, and how they came from those of the table.

    Attributes
    ----------
    matrix
        Rows x kept features.
    kept
        Positions of the kept features in the table; None if all.
    features
        Their names.
    recipe
        What was done to each row.
    """

    matrix: Any
    kept: npt.NDArray[np.intp] | None
    features: tuple[str, ...]
    recipe: Recipe

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The record that a model keeps."""
        steps = self.recipe.steps
        if self.kept is not None:
            steps.append({"step": "overdispersed_genes", "n_genes": len(self.kept)})
        return steps


@dataclass(frozen=True)
class Quality:
    """How well a fit describes the data, in the terms of its loss.

    Attributes
    ----------
    explained
        Share from 0 to 1.
    of
        What it is a share of.
    text
        One phrase with the number that the loss is about.
    programs
        What the share of one program is a share of.
    """

    explained: float
    of: str
    text: str
    programs: str

    @classmethod
    def of_fit(cls, fit: Factorization, loss: str) -> Quality:
        """Return the quality of a fit."""
        error = fit.relative_error
        if loss == "frobenius":
            return cls(
                1.0 - error**2,
                "of the sum of squares",
                f"relative error {error:.4g}",
                "the data's sum of squares, at the usage that fits best",
            )
        return cls(
            1.0 - error,
            "of the deviance that one program leaves",
            f"deviance {error:.4g} of that of one program",
            "the counts that all programs together account for",
        )


def prepare(table: Table, options: FactorizeOptions) -> Prepared:
    """Normalise, choose features, take logarithms, as far as that is asked for.

    Parameters
    ----------
    table
        Values, n x p.
    options
        What to do.

    Returns
    -------
    Prepared
        A table on disk stays there: its rows are prepared as they are read.
    """
    X, target = table.matrix, options.target
    if options.normalize and target is None:
        totals = row_totals(X)
        if not totals.any():
            raise UsageError("all values are zero: there is nothing to normalise")
        target = float(np.median(totals[totals > 0]))
    recipe = Recipe(target if options.normalize else None, options.log1p)
    if options.genes is None or options.genes >= table.shape[1]:
        return Prepared(recipe.apply(X), None, table.features, recipe)
    linear = Recipe(recipe.target).apply(X)
    kept = overdispersed_genes(linear, n_genes=options.genes).indices
    names = tuple(table.features[j] for j in kept)
    if hasattr(X, "blocks"):
        return Prepared(PreparedSource(X, recipe, kept), kept, names, recipe)
    chosen = linear[:, kept]
    if recipe.log:
        chosen = Recipe(log=True).apply(chosen)
    return Prepared(chosen, kept, names, recipe)


def fit_prepared(
    prepared: Prepared, options: FactorizeOptions, n_threads: int, stage: Stage
) -> tuple[Any, npt.NDArray[np.floating[Any]]]:
    """Factorize, X ~ W H.

    Parameters
    ----------
    prepared
        X, n x p.
    options
        How.
    n_threads
        Threads.
    stage
        Told of each pass over the data.

    Returns
    -------
    model
        The fitted estimator, with the names of the features and the record of the preparation.
    usage
        W, n x k.
    """
    settings: dict[str, Any] = {
        "init": options.init,
        "random_state": options.seed,
        "n_threads": n_threads,
    }
    for name in ("max_iter", "tol"):
        if getattr(options, name) is not None:
            settings[name] = getattr(options, name)
    if options.loss != "frobenius":
        settings["loss"] = options.loss
    if options.solver == "minibatch":
        model: Any = MiniBatchNMF(options.n_components, **settings)
    else:
        if options.solver != "auto":
            settings["solver"] = options.solver
        model = NMF(options.n_components, n_init=options.n_init, **settings)
    usage = model.fit_transform(prepared.matrix, callback=lambda *_: stage.advance())
    model.feature_names_in_ = np.array(prepared.features, dtype=object)
    model.preparation_ = prepared.steps
    return model, usage


def advice(
    table: Table, prepared: Prepared, options: FactorizeOptions, fit: Factorization
) -> list[str]:
    """Return what the options and the results ask the user to look at."""
    texts = []
    n, p = table.shape[0], len(prepared.features)
    if options.n_components > min(n, p):
        few = ("features" if p <= n else "rows")[: None if min(n, p) > 1 else -1]
        texts.append(
            f"n_components (-k {options.n_components}) exceeds the {min(n, p)} {few}: that many "
            "programs reproduce the table exactly and more are not determined by it; take fewer"
        )
    if options.genes is not None and options.genes >= table.shape[1]:
        texts.append(
            f"genes (--genes {options.genes}) is not less than the {table.shape[1]} features: all "
            "of them were kept"
        )
    elif options.genes is not None and len(prepared.features) < options.genes:
        texts.append(f"only {len(prepared.features)} features are not zero everywhere")
    if options.log1p and options.loss != "frobenius":
        texts.append(
            "the Poisson loss is for counts: of their logarithms (--log1p) it is no likelihood"
        )
    changed = options.log1p or options.normalize
    texts += counts_advice(table.matrix, options.loss, prepared=changed)
    if not fit.converged:
        texts.append(f"the factorization {fit.status.advice}")
    return texts
