"""What the jobs on sequences compute, stage by stage; words about it are in the reports."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.results import Status
from partwise.sequences import SeqNMF, event_times, test_significance
from partwise.sequences._inside import weighed
from partwise.workflows.sequence_jobs.options import DEFAULT_LAGS
from partwise.workflows.sequence_jobs.read import Part, Prepared, Split
from partwise.workflows.sequence_jobs.recording_options import lags_of
from partwise.workflows.sequence_jobs.result import SequencesFit, load_sequences

if TYPE_CHECKING:
    from partwise.sequences import Significance
    from partwise.utils.progress import Stage
    from partwise.workflows.sequence_jobs.files import SequencesFindings
    from partwise.workflows.sequence_jobs.options import SequencesFitOptions

__all__ = [
    "advice",
    "busiest_window",
    "epoch_of",
    "fit_recording",
    "given_motifs",
    "motif_test",
    "timed_events",
    "units_of_fit",
]

Array = npt.NDArray[Any]

DEFAULT_FACTORS = 10
#: Frames that a picture shows at least, and lengths of a motif.
_SHOWN, _SHOWN_LAGS = 1000, 15


def given_motifs(
    options: SequencesFitOptions, recording: Prepared
) -> tuple[int, int, str, Array | None]:
    """Return factors, lags, how the lags came about, and the motifs that stay as they are.

    Raises
    ------
    UsageError
        If motifs are given, and fewer factors or another length as well.
    DataError
        If they are of other units.
    """
    if options.motifs is None:
        k = options.n_components or DEFAULT_FACTORS
        n_lags, text = lags_of(options.n_lags, options.length, recording.rate, default=DEFAULT_LAGS)
        return k, n_lags, text, None
    earlier = load_sequences(options.motifs)
    motifs = earlier.motifs[units_of_fit(earlier, recording)]
    _, there, n_lags = motifs.shape
    k = options.n_components or there
    if options.n_lags is not None or options.length is not None:
        raise UsageError(f"--motifs brings its length ({n_lags} frames): leave out --n-lags")
    if k < there:
        raise UsageError(f"--motifs holds {there} motifs, more than --n-components {k}")
    return k, n_lags, f"{n_lags} frames, of the motifs given", motifs


def units_of_fit(fit: SequencesFit, recording: Prepared) -> npt.NDArray[np.intp]:
    """Return where in a fit each unit of a recording is.

    Raises
    ------
    DataError
        If the units are others.
    """
    if fit.units == recording.units:
        return np.arange(len(fit.units))
    place = {unit: i for i, unit in enumerate(fit.units)}
    absent = [unit for unit in recording.units if unit not in place]
    if absent or len(place) != len(recording.units):
        raise DataError(
            f"the motifs are of {len(fit.units):,} units, the recording has "
            f"{len(recording.units):,}, and their names differ"
            + (f" (the first that is not in the fit: {absent[0]!r})" if absent else "")
            + ": give a recording of the same units"
        )
    return np.array([place[unit] for unit in recording.units], dtype=np.intp)


def fit_recording(
    recording: Prepared,
    split: Split,
    options: SequencesFitOptions,
    shape: tuple[int, int],
    fixed: Array | None,
    *,
    n_threads: int,
    stage: Stage,
) -> tuple[SeqNMF, SequencesFit]:
    """Fit the first part of a recording, and find the activations of the part held out.

    Parameters
    ----------
    recording
        The recording.
    split
        Its parts.
    options
        How to fit.
    shape
        Factors K and lags L.
    fixed
        Motifs that stay as they are, N x K' x L; None for none.
    n_threads
        Threads.
    stage
        Told of each iteration.

    Returns
    -------
    model
        The fitted estimator.
    fit
        The fit, with the activations of the whole recording.
    """
    train, test = split.train, split.test
    model = estimator(options, shape, fixed, n_threads)
    with warnings.catch_warnings():
        # said in our own words, at the end of the job
        warnings.simplefilter("ignore", PartwiseWarning)
        model.fit(
            train.X,
            mask=train.mask,
            epochs=train.epochs,
            callback=lambda iteration, cost: stage.advance(),
        )
        parts, held_out = [np.asarray(model.activations_)], float("nan")
        if test is not None:
            rows = model.transform(test.X, mask=test.mask, epochs=test.epochs)
            rows[~model.motifs_.any(axis=(0, 2))] = 0  # nothing says when an empty motif is active
            parts.append(rows)
            held_out = float(model.score(test.X, mask=test.mask, epochs=test.epochs))
    return model, SequencesFit(
        motifs=np.asarray(model.motifs_),
        activations=np.concatenate(parts, axis=1),
        cost=np.asarray(model.cost_, np.float64),
        loadings=np.asarray(model.loadings_, np.float64),
        power=float(model.power_),
        power_held_out=held_out,
        units=recording.units,
        rate=recording.rate,
        n_train=split.cut,
        epochs=_all_epochs(split, recording.n_frames),
        empty=np.asarray(model.empty_, bool),
    )


def _all_epochs(split: Split, n_frames: int) -> npt.NDArray[np.int64]:
    """Return the epochs within which activations hold, the cut between the parts being one end."""
    train = split.train.epochs or ((0, split.cut),)
    test: Sequence[tuple[int, int]] = ()
    if split.test is not None:
        test = split.test.epochs or ((0, n_frames - split.cut),)
    pairs = [*train, *((a + split.cut, b + split.cut) for a, b in test)]
    return np.array(pairs, dtype=np.int64)


def estimator(
    options: SequencesFitOptions, shape: tuple[int, int], fixed: Array | None, n_threads: int
) -> SeqNMF:
    """Return the estimator that the options describe."""
    return SeqNMF(
        shape[0],
        shape[1],
        lambda_=options.lambda_,
        l1_W=options.l1_motifs,
        l1_H=options.l1_activations,
        ortho_H=options.ortho_h,
        ortho_W=options.ortho_w,
        use_W_update=not options.activations_only,
        shift=not options.no_shift,
        solver=options.solver,
        backend=options.backend,
        fixed_motifs=fixed,
        n_init=options.n_init,
        max_iter=options.max_iter,
        tol=options.tol,
        random_state=options.seed,
        n_threads=n_threads,
        compat=options.compat,
    )


def motif_test(
    part: Part,
    motifs: Array,
    *,
    p: float,
    n_null: int,
    correction: str,
    seed: int,
    n_threads: int,
    early_stop: bool,
) -> Significance:
    """Test motifs on frames of a recording; see `partwise.sequences.test_significance`."""
    return test_significance(
        part.X,
        motifs,
        p=p,
        n_null=n_null,
        correction=correction,
        early_stop=early_stop,
        epochs=part.epochs,
        mask=part.mask,
        random_state=seed,
        n_threads=n_threads,
    )


def timed_events(fit: SequencesFit) -> pd.DataFrame:
    """Return the events of a fit: factor (from 1), frame, time, amplitude, part, epoch.

    Each epoch is looked at alone, and two events of a factor are a motif apart at least. Times are
    in seconds, or in frames where the rate is not known; epochs count from 1, and are those within
    which motifs were fitted, so that the cut before the part held out ends one.
    """
    rate = fit.rate or 1.0
    events = event_times(
        fit.activations,
        rate=rate,
        min_interval=fit.motifs.shape[2] / rate,
        epochs=fit.epochs,
        motifs=fit.motifs,
    )
    frame = events["frame"].to_numpy(dtype=np.int64)
    events["factor"] += 1
    events["part"] = np.where(frame < fit.n_train, "fitted", "held out")
    epoch, start = epoch_of(frame, fit.epochs)
    events["epoch"] = epoch + 1
    events["time_in_epoch"] = (frame - start) / rate
    return events


def epoch_of(frames: Array, epochs: Array) -> tuple[Array, Array]:
    """Return the number of the epoch of each frame, from 0, and its first frame."""
    starts = np.asarray(epochs)[:, 0]
    number = np.clip(np.searchsorted(starts, frames, side="right") - 1, 0, None)
    return number, starts[number]


def busiest_window(fit: SequencesFit) -> tuple[int, int]:
    """Return the frames to draw: all, or where the factors are most active.

    Each factor counts by its loading, and relative to its own largest activation.
    """
    n_frames, n_lags = fit.n_frames, fit.motifs.shape[2]
    width = max(_SHOWN, _SHOWN_LAGS * n_lags)
    if n_frames <= width + width // 4:
        return 0, n_frames
    rows = weighed(fit.motifs, fit.activations, fit.epochs)
    top = rows.max(axis=1)
    weight = np.where(top > 0, fit.loadings / np.where(top > 0, top, 1.0), 0.0)
    busy = np.concatenate(([0.0], np.cumsum(weight @ rows)))
    starts = np.arange(0, n_frames - width + 1, n_lags)
    sums = busy[starts + width] - busy[starts]
    start = int(starts[int(np.argmax(sums))])
    return start, start + width


def advice(found: SequencesFindings) -> list[str]:
    """Return what the results ask the user to look at."""
    fit, texts = found.fit, []
    empty = [str(int(j) + 1) for j in np.flatnonzero(fit.empty)]
    if empty:
        are, stay = ("is", "it stays") if len(empty) == 1 else ("are", "they stay")
        texts.append(
            f"{len(empty)} of {found.n_factors} factors {are} empty ({', '.join(empty)}): {stay} "
            "in all outputs with zeros; fewer factors (-k), or weaker penalties, would do"
        )
    if found.status is Status.MAX_ITER and found.options.tol:
        texts.append(
            f"the fit stopped at {found.n_iter} iterations before it converged: raise --max-iter, "
            "or --tol if this precision is enough"
        )
    if found.split.test is not None and fit.power > 0 and fit.power_held_out < fit.power / 2:
        texts.append(
            f"the motifs explain {fit.power:.1%} of what was fitted and {fit.power_held_out:.1%} "
            "of what was held out: they describe noise, or the recording changes; try fewer or "
            "shorter motifs, or a larger --lambda"
        )
    if found.test is not None and found.n_lags == 1:
        texts.append("motifs of one frame have no order, so none can be a significant sequence")
    elif found.test is not None and not found.test.significant.any():
        texts.append("no factor is a significant sequence")
    if found.split.test is None:
        texts.append("nothing was held out (--test-fraction 0), so nothing was tested")
    return texts
