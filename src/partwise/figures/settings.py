"""How far the clusters of several settings agree."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from partwise.figures.heatmap import heatmap
from partwise.figures.style import display_name, message_figure, styled

__all__ = ["settings_agreement"]


@styled
def settings_agreement(agreement: pd.DataFrame) -> Figure:
    """Draw the agreement of every pair of settings.

    Parameters
    ----------
    agreement
        Adjusted Rand index, settings x settings; values below 0 are drawn as 0.

    Returns
    -------
    Figure
        A heatmap in the order of the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from partwise.figures import settings_agreement
    >>> names = ["n5_k15_r0.1", "n5_k15_r0.2"]
    >>> figure = settings_agreement(pd.DataFrame([[1, 0.8], [0.8, 1]], index=names, columns=names))
    >>> len(figure.axes)
    2
    """
    if agreement.empty:
        return message_figure("There are no settings to compare.")
    names = [display_name(name) for name in agreement.index]
    return heatmap(
        agreement.to_numpy(dtype=float).clip(0.0, 1.0),
        names,
        names,
        scale_label="Adjusted Rand index",
        top=1.0,
    )
