"""The published recording of a singing bird."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from partwise.datasets._fetch import PublicFile, locate

__all__ = ["Songbird", "songbird"]

FloatArray = npt.NDArray[np.float64]

# the commit is named, so that the file behind the address cannot change
_FILE = PublicFile(
    what="the songbird recording",
    name="MackeviciusData.mat",
    url=(
        "https://raw.githubusercontent.com/FeeLab/seqNMF/"
        "e57dc5af2a4763fb2dadd7c451a074df5cc532f2/MackeviciusData.mat"
    ),
    sha256="6d37559649f5ea03e23c4a8b80ce8edeb55fe8b559c586b06785bfde2a7ee112",
    n_bytes=1_552_357,
    stand_in="simulated sequences: partwise.simulate_sequences()",
)


@dataclass(frozen=True)
class Songbird:
    """Neurons of a singing bird, and its song.

    Attributes
    ----------
    neural
        Activity of 75 neurons of HVC in 666 frames, from calcium imaging; 0 to 1, 75 x 666.
    rate
        Frames of `neural` per second, 30.
    song
        Spectrogram of the song, 141 frequencies x 4440 frames, over the same time.
    song_rate
        Frames of `song` per second, 200.
    """

    neural: FloatArray
    rate: float
    song: FloatArray
    song_rate: float


def songbird() -> Songbird:
    """Return the songbird recording that seqNMF was published with.

    Read from the folder that the environment variable `PARTWISE_DATA_DIR` names, else from the
    cache (`PARTWISE_CACHE_DIR`, else the system's folder for caches), else fetched into the cache
    from the repository of its authors (1.6 MB). The contents are checked against a SHA-256.

    Returns
    -------
    Songbird
        The recording; new arrays at each call.

    Raises
    ------
    ResourceError
        If the file is not there and cannot be fetched. Nothing is put in its place:
        `simulate_sequences` makes recordings whose sequences are known.
    DataError
        If the file in `PARTWISE_DATA_DIR` is not the published one.

    Notes
    -----
    Mackevicius et al. (2019), Unsupervised discovery of temporal sequences in high-dimensional
    datasets, with applications to neuroscience, eLife 8:e38471; MIT licence.

    Examples
    --------
    >>> from partwise.datasets import songbird
    >>> songbird().neural.shape  # doctest: +SKIP
    (75, 666)
    """
    from scipy.io import loadmat

    content = loadmat(locate(_FILE), variable_names=["NEURAL", "VIDEOfs", "SONG", "SONGfs"])
    neural, song = (
        np.ascontiguousarray(content[name], dtype=np.float64) for name in ("NEURAL", "SONG")
    )
    rate, song_rate = (float(content[name].item()) for name in ("VIDEOfs", "SONGfs"))
    return Songbird(neural, rate, song, song_rate)
