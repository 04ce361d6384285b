"""The jobs, one file each: they compose stages, return a result and write the outputs.

The command line and Python users call the same functions. Names are loaded on first use, so that
the command line can read a job's options without importing what the job needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partwise.workflows.clustering.job import cluster
    from partwise.workflows.clustering.options import ClusterOptions
    from partwise.workflows.clustering.plan import plan_cluster
    from partwise.workflows.clustering.result import ClusterResult
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
    from partwise.workflows.sequence_jobs.fit_job import SequencesFitResult, sequences_fit
    from partwise.workflows.sequence_jobs.options import SequencesFitOptions
    from partwise.workflows.sequence_jobs.other_options import (
        SequencesPlotOptions,
        SequencesSignificanceOptions,
        SequencesSimulateOptions,
    )
    from partwise.workflows.sequence_jobs.plot_job import SequencesPlotResult, sequences_plot
    from partwise.workflows.sequence_jobs.result import SequencesFit, load_sequences
    from partwise.workflows.sequence_jobs.significance_job import (
        SequencesSignificanceResult,
        sequences_significance,
    )
    from partwise.workflows.sequence_jobs.simulate_job import (
        SequencesSimulateResult,
        sequences_simulate,
    )
    from partwise.workflows.sequence_jobs.sweep_job import (
        SequencesChoice,
        sequences_select_k,
        sequences_sweep,
    )
    from partwise.workflows.sequence_jobs.sweep_options import (
        SequencesSelectKOptions,
        SequencesSweepOptions,
    )
    from partwise.workflows.simulate_job import (
        SimulateOptions,
        SimulateTissueOptions,
        simulate,
        simulate_cells,
    )
    from partwise.workflows.tuning.job import TuneRun, tune
    from partwise.workflows.tuning.options import TuneOptions
    from partwise.workflows.tuning.plan import plan_tune
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
    "ClusterOptions": "clustering.options",
    "ClusterResult": "clustering.result",
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
    "SequencesChoice": "sequence_jobs.sweep_job",
    "SequencesFit": "sequence_jobs.result",
    "SequencesFitOptions": "sequence_jobs.options",
    "SequencesFitResult": "sequence_jobs.fit_job",
    "SequencesPlotOptions": "sequence_jobs.other_options",
    "SequencesPlotResult": "sequence_jobs.plot_job",
    "SequencesSelectKOptions": "sequence_jobs.sweep_options",
    "SequencesSignificanceOptions": "sequence_jobs.other_options",
    "SequencesSignificanceResult": "sequence_jobs.significance_job",
    "SequencesSimulateOptions": "sequence_jobs.other_options",
    "SequencesSimulateResult": "sequence_jobs.simulate_job",
    "SequencesSweepOptions": "sequence_jobs.sweep_options",
    "load_sequences": "sequence_jobs.result",
    "sequences_fit": "sequence_jobs.fit_job",
    "sequences_plot": "sequence_jobs.plot_job",
    "sequences_select_k": "sequence_jobs.sweep_job",
    "sequences_significance": "sequence_jobs.significance_job",
    "sequences_simulate": "sequence_jobs.simulate_job",
    "sequences_sweep": "sequence_jobs.sweep_job",
    "SimulateOptions": "simulate_job",
    "SimulateTissueOptions": "simulate_job",
    "Plan": "plan",
    "cluster": "clustering.job",
    "factorize": "factorize_job",
    "neighborhoods": "neighborhoods_job",
    "plan_cluster": "clustering.plan",
    "plan_neighborhoods": "neighborhoods_plan",
    "plan_tune": "tuning.plan",
    "programs": "programs_job",
    "rank": "rank_job",
    "project": "project_job",
    "simulate": "simulate_job",
    "simulate_cells": "simulate_job",
    "TuneOptions": "tuning.options",
    "TuneRun": "tuning.job",
    "tune": "tuning.job",
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
