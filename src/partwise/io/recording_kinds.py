"""What kind of file a recording is in."""

from __future__ import annotations

from pathlib import Path

from partwise.exceptions import DataError
from partwise.io.opening import kind_of

__all__ = ["recording_kind"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_AGAIN = "save it again with save(name, '-v7') in MATLAB, or save -v7 in Octave"
_ANY = "a MATLAB (.mat), npy, npz, CSV, Parquet, HDF5, Zarr or NWB file is needed"


def recording_kind(path: Path) -> str:
    r"""Return what a file is, by its first bytes; its name does not count.

    Parameters
    ----------
    path
        A file, or the folder of a Zarr array or group.

    Returns
    -------
    str
        "mat", "mat73", "hdf5", "nwb", "zarr", "npy", "npz", "text" or "parquet".

    Raises
    ------
    DataError
        If there is no such file, or it is of a kind that cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "recording.csv"
    >>> _ = path.write_text("time,a,b\n0,1,2\n")
    >>> recording_kind(path)
    'text'
    """
    if path.is_dir() and (path / ".zarray").is_file():
        return "zarr"
    if path.is_file():
        kind = _by_magic(path)
        if kind is not None:
            return kind
    kind = kind_of(path)
    if kind == "mtx":
        raise DataError(f"this is a Matrix Market file; {_ANY}", path=path)
    return kind


def _by_magic(path: Path) -> str | None:
    """Return the kind of MATLAB and HDF5 files, None for others."""
    with open(path, "rb") as file:
        start = file.read(1024)
    if not start:
        raise DataError("the file is empty", path=path)
    if start.startswith(b"MATLAB 5.0 MAT-file"):
        return "mat"
    if start.startswith(b"MATLAB 7.3 MAT-file"):
        return "mat73"
    if start.startswith(b"MATLAB"):
        text = start[:19].decode("latin-1")
        raise DataError(f"this is a MATLAB file of another version ({text!r}); {_AGAIN}", path=path)
    if start.startswith(b"# Created by Octave"):
        raise DataError(f"this is Octave's own text format; {_AGAIN}", path=path)
    if start.startswith(_HDF5) or start[512:].startswith(_HDF5):
        return _kind_of_hdf5(path)
    if path.suffix.lower() == ".mat":
        raise DataError(
            f"this is no MATLAB file of version 5, 7 or 7.3: it may be damaged, or of version 4; "
            f"{_AGAIN}",
            path=path,
        )
    return None


def _kind_of_hdf5(path: Path) -> str:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "nwb" if "nwb_version" in file.attrs or "specifications" in file else "hdf5"
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(f"the HDF5 file is damaged or cut off ({error})", path=path) from error
