"""Figures: tables and arrays in, matplotlib figures out; no pyplot, no global state."""

from __future__ import annotations

from partwise.figures.assignment import assignment_confidence, cluster_shares
from partwise.figures.clusters import agreement_heatmap, cluster_sizes, embedding
from partwise.figures.composition import composition
from partwise.figures.confidence import cluster_confidence
from partwise.figures.consensus import (
    clustergram,
    overdispersion,
    stability_error,
    usage_by_group,
)
from partwise.figures.factors import loss_curve, programs_heatmap, usage_by_cluster
from partwise.figures.groups import group_fractions
from partwise.figures.metadata import (
    cluster_profiles,
    embedding_values,
    entropy_by_cluster,
    values_by_cluster,
)
from partwise.figures.neighborhoods import (
    fov_neighbors,
    neighbor_histogram,
    type_neighborhoods,
)
from partwise.figures.programs import (
    coverage_bars,
    explained_bars,
    fit_histogram,
    leading_features,
    leading_heatmap,
    program_name,
    usage_maps,
)
from partwise.figures.rank import rank_curves
from partwise.figures.sequence_curves import cost_curve, k_curves, lambda_sweep
from partwise.figures.sequence_sheet import factor_colors
from partwise.figures.sequences import factor_plot, titled
from partwise.figures.settings import settings_agreement
from partwise.figures.significance import significance_plot
from partwise.figures.style import (
    GREY,
    OKABE_ITO,
    cluster_colors,
    colors_for,
    display_name,
    elide,
    message_figure,
    palette,
    render,
)
from partwise.figures.tissue import TissuePanel, cluster_places, tissue_maps
from partwise.figures.triggered import triggered_rasters
from partwise.figures.tune import resolution_ranges, tuning_grid
from partwise.figures.variance import variance_curve

__all__ = [
    "GREY",
    "OKABE_ITO",
    "TissuePanel",
    "agreement_heatmap",
    "assignment_confidence",
    "cluster_colors",
    "cluster_confidence",
    "cluster_places",
    "cluster_profiles",
    "cluster_shares",
    "cluster_sizes",
    "clustergram",
    "colors_for",
    "composition",
    "cost_curve",
    "coverage_bars",
    "display_name",
    "elide",
    "embedding",
    "embedding_values",
    "entropy_by_cluster",
    "explained_bars",
    "factor_colors",
    "factor_plot",
    "fit_histogram",
    "fov_neighbors",
    "group_fractions",
    "k_curves",
    "lambda_sweep",
    "leading_features",
    "leading_heatmap",
    "loss_curve",
    "message_figure",
    "neighbor_histogram",
    "overdispersion",
    "palette",
    "program_name",
    "programs_heatmap",
    "rank_curves",
    "render",
    "resolution_ranges",
    "settings_agreement",
    "significance_plot",
    "stability_error",
    "tissue_maps",
    "titled",
    "triggered_rasters",
    "tuning_grid",
    "type_neighborhoods",
    "usage_by_cluster",
    "usage_by_group",
    "usage_maps",
    "values_by_cluster",
    "variance_curve",
]
