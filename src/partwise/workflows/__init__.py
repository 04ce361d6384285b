"""The jobs, one file each: they compose stages, return a result and write the outputs.

The command line and Python users call the same functions. Names are loaded on first use, so that
the command line can read a job's options without importing what the job needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partwise.workflows.cluster_job import cluster
    from partwise.workflows.cluster_options import ClusterOptions
    from partwise.workflows.cluster_plan import plan_cluster
    from partwise.workflows.cluster_result import ClusterResult
    from partwise.workflows.factorize_job import FactorizeResult, factorize
    from partwise.workflows.factorize_options import FactorizeOptions
    from partwise.workflows.neighborhoods_job import NeighborhoodsResult, neighborhoods
    from partwise.workflows.neighborhoods_options import NeighborhoodsOptions
    from partwise.workflows.neighborhoods_plan import plan_neighborhoods
    from partwise.workflows.plan import Plan
    from partwise.workflows.programs_job import ProgramsResult, programs
    from partwise.workflows.programs_options import ProgramsOptions
    from partwise.workflows.project_job import ProjectResult, project
    from partwise.workflows.project_options import ProjectOptions
    from partwise.workflows.rank_job import RankResult, rank
    from partwise.workflows.rank_options import RankOptions
    from partwise.workflows.sequences_fit_job import SequencesFitResult, sequences_fit
    from partwise.workflows.sequences_options import SequencesFitOptions
    from partwise.workflows.sequences_other_options import (
        SequencesPlotOptions,
        SequencesSignificanceOptions,
        SequencesSimulateOptions,
    )
    from partwise.workflows.sequences_plot_job import SequencesPlotResult, sequences_plot
    from partwise.workflows.sequences_result import SequencesFit, load_sequences
    from partwise.workflows.sequences_significance_job import (
        SequencesSignificanceResult,
        sequences_significance,
    )
    from partwise.workflows.sequences_simulate_job import (
        SequencesSimulateResult,
        sequences_simulate,
    )
    from partwise.workflows.sequences_sweep_job import (
        SequencesChoice,
        sequences_select_k,
        sequences_sweep,
    )
    from partwise.workflows.sequences_sweep_options import (
        SequencesSelectKOptions,
        SequencesSweepOptions,
    )
    from partwise.workflows.simulate_job import (
        SimulateOptions,
        SimulateTissueOptions,
        simulate,
        simulate_cells,
    )
    from partwise.workflows.tune_job import TuneRun, tune
    from partwise.workflows.tune_options import TuneOptions
    from partwise.workflows.tune_plan import plan_tune
    from partwise.workflows.warmup import warmup

__all__ = [
    "ClusterOptions",
    "ClusterResult",
    "FactorizeOptions",
    "FactorizeResult",
    "NeighborhoodsOptions",
    "NeighborhoodsResult",
    "Plan",
    "ProgramsOptions",
    "ProgramsResult",
    "ProjectOptions",
    "ProjectResult",
    "RankOptions",
    "RankResult",
    "SequencesChoice",
    "SequencesFit",
    "SequencesFitOptions",
    "SequencesFitResult",
    "SequencesPlotOptions",
    "SequencesPlotResult",
    "SequencesSelectKOptions",
    "SequencesSignificanceOptions",
    "SequencesSignificanceResult",
    "SequencesSimulateOptions",
    "SequencesSimulateResult",
    "SequencesSweepOptions",
    "SimulateOptions",
    "SimulateTissueOptions",
    "TuneOptions",
    "TuneRun",
    "cluster",
    "factorize",
    "load_sequences",
    "neighborhoods",
    "plan_cluster",
    "plan_neighborhoods",
    "plan_tune",
    "programs",
    "project",
    "rank",
    "sequences_fit",
    "sequences_plot",
    "sequences_select_k",
    "sequences_significance",
    "sequences_simulate",
    "sequences_sweep",
    "simulate",
    "simulate_cells",
    "tune",
    "warmup",
]

_PUBLIC = {
    "ClusterOptions": "cluster_options",
    "ClusterResult": "cluster_result",
    "FactorizeOptions": "factorize_options",
    "FactorizeResult": "factorize_job",
    "NeighborhoodsOptions": "neighborhoods_options",
    "NeighborhoodsResult": "neighborhoods_job",
    "ProgramsOptions": "programs_options",
    "ProgramsResult": "programs_job",
    "RankOptions": "rank_options",
    "RankResult": "rank_job",
    "ProjectOptions": "project_options",
    "ProjectResult": "project_job",
    "SequencesChoice": "sequences_sweep_job",
    "SequencesFit": "sequences_result",
    "SequencesFitOptions": "sequences_options",
    "SequencesFitResult": "sequences_fit_job",
    "SequencesPlotOptions": "sequences_other_options",
    "SequencesPlotResult": "sequences_plot_job",
    "SequencesSelectKOptions": "sequences_sweep_options",
    "SequencesSignificanceOptions": "sequences_other_options",
    "SequencesSignificanceResult": "sequences_significance_job",
    "SequencesSimulateOptions": "sequences_other_options",
    "SequencesSimulateResult": "sequences_simulate_job",
    "SequencesSweepOptions": "sequences_sweep_options",
    "load_sequences": "sequences_result",
    "sequences_fit": "sequences_fit_job",
    "sequences_plot": "sequences_plot_job",
    "sequences_select_k": "sequences_sweep_job",
    "sequences_significance": "sequences_significance_job",
    "sequences_simulate": "sequences_simulate_job",
    "sequences_sweep": "sequences_sweep_job",
    "SimulateOptions": "simulate_job",
    "SimulateTissueOptions": "simulate_job",
    "Plan": "plan",
    "cluster": "cluster_job",
    "factorize": "factorize_job",
    "neighborhoods": "neighborhoods_job",
    "plan_cluster": "cluster_plan",
    "plan_neighborhoods": "neighborhoods_plan",
    "plan_tune": "tune_plan",
    "programs": "programs_job",
    "rank": "rank_job",
    "project": "project_job",
    "simulate": "simulate_job",
    "simulate_cells": "simulate_job",
    "TuneOptions": "tune_options",
    "TuneRun": "tune_job",
    "tune": "tune_job",
    "warmup": "warmup",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module = importlib.import_module(f"partwise.workflows.{_PUBLIC[name]}")
        value = getattr(module, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'partwise.workflows' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_PUBLIC))
