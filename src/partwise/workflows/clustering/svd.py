"""How many components the values have: `--svd` of the cluster job.

The values are centred, as for principal components: what is explained is their variance. The
factors of the job are fitted to the values as they are, so a table can need one factor more than it
has components: one for the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from partwise import figures
from partwise.io.writers import write_csv
from partwise.metrics import VarianceSpectrum, variance_spectrum
from partwise.report import ReportFigure, ReportTable, Section

if TYPE_CHECKING:
    from partwise.io import Table
    from partwise.workflows.clock import Clock
    from partwise.workflows.clustering.files import Written
    from partwise.workflows.clustering.options import ClusterOptions
    from partwise.workflows.outputs import RunFolder

__all__ = ["SHARES", "Svd", "svd_of", "svd_sections", "write_svd"]

#: Shares of the variance for which the number of components is told.
SHARES = (0.90, 0.95, 0.99)


@dataclass(frozen=True)
class Svd:
    """Singular values of the centred table, and how many components the variance needs.

    Attributes
    ----------
    spectrum
        The values.
    reached
        Share of the variance -> components that reach it; None if more than were computed.
    """

    spectrum: VarianceSpectrum
    reached: dict[float, int | None]

    @property
    def table(self) -> pd.DataFrame:
        """One row per component: `singular_value`, `share` of the variance, `cumulative`."""
        shares = self.spectrum.shares
        return pd.DataFrame(
            {
                "singular_value": self.spectrum.values,
                "share": shares,
                "cumulative": np.cumsum(shares),
            },
            index=pd.RangeIndex(1, len(shares) + 1, name="component"),
        )

    @property
    def sentence(self) -> str:
        """How many components which share needs."""
        if not self.spectrum.total > 0:
            return "the values do not vary: no component explains anything"
        known = len(self.spectrum.values)
        texts = [
            f"{100 * share:g} % of the variance: "
            + (f"more than {known} components" if k is None else _components(k))
            for share, k in self.reached.items()
        ]
        return "; ".join(texts)

    @property
    def summary(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "centered": True,
            "complete": self.spectrum.complete,
            "n_components": {f"{share:g}": k for share, k in self.reached.items()},
        }


def _components(k: int) -> str:
    return f"{k} component" if k == 1 else f"{k} components"


def svd_of(table: Table, options: ClusterOptions, n_threads: int, clock: Clock) -> Svd | None:
    """Compute the spectrum of the values that are factorized, if that is asked for.

    Parameters
    ----------
    table
        X as it is factorized, n x p; values on disk stay there.
    options
        Whether to, and the seed.
    n_threads
        Threads.
    clock
        Told of the stage.

    Returns
    -------
    Svd or None
        All components of up to 512 features, the leading 50 of more.
    """
    if not options.svd:
        return None
    with clock.stage("svd"):
        spectrum = variance_spectrum(table.matrix, random_state=options.seed, n_threads=n_threads)
    return Svd(spectrum, {share: spectrum.components_for(share) for share in SHARES})


def write_svd(svd: Svd | None, stem: str, folder: RunFolder) -> tuple[Written, list[str]]:
    """Write the table of the components; return the file and what to know of it."""
    if svd is None:
        return {}, []
    name = f"{stem}_svd.csv"
    columns: dict[str, Any] = {"component": svd.table.index.to_numpy()}
    columns.update((key, values.to_numpy()) for key, values in svd.table.items())
    notes = write_csv(folder.path(name), columns)
    return {"svd": (name, "singular values of the centred table, share of the variance")}, list(
        notes
    )


def svd_sections(svd: Svd | None) -> list[Section]:
    """Return the part of the report about the components, if they were asked for."""
    if svd is None:
        return []
    which = "all" if svd.spectrum.complete else f"the leading {len(svd.spectrum.values)}"
    figure = figures.variance_curve(svd.spectrum.shares, reached=svd.reached)
    sentence = svd.sentence
    return [
        Section(
            "Components of the table",
            [
                f"{sentence[0].upper()}{sentence[1:]}.",
                "Singular values of the values that were factorized, with the mean of each feature "
                f"taken away (as principal components have it); {which} components. The factors "
                "are fitted without taking the mean away, so as many factors as components, or one "
                "more, are a fair first choice of -n; partwise rank or --tune compares "
                "several.",
            ],
            [
                ReportFigure(
                    figure,
                    "Variance by component",
                    "Share of the variance that each component explains, and all up to it "
                    "together.",
                    f"Bars and a rising curve over the components. {sentence}.",
                    ReportTable(svd.table, "Singular values and shares of the variance"),
                )
            ],
        )
    ]
