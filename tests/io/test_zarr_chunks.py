"""Chunks that are unpacked by us hold what zarr reads."""

import numcodecs
import numpy as np
import pytest
import zarr

from partwise.exceptions import DataError
from partwise.io.zarr_chunks import chunk_reader

VALUES = np.random.default_rng(0).poisson(3.0, 1000)


def make(folder, *, dtype=np.float32, zarr_format=2, **options):
    group = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
    array = group.create_array("a", shape=(1000,), chunks=(64,), dtype=dtype, **options)
    array[:] = VALUES
    return zarr.open_group(folder, mode="r")["a"]


CODECS = [None, numcodecs.Blosc(), numcodecs.Zstd(), numcodecs.GZip(), numcodecs.LZ4()]


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: getattr(c, "codec_id", "none"))
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_same_as_zarr(tmp_path, codec, dtype):
    read = chunk_reader(make(tmp_path / "z", dtype=dtype, compressors=codec))
    assert read is not None
    for low, high in ((0, 1000), (64, 65), (128, 512), (960, 1000), (960, 970)):
        got = read(low, high)
        np.testing.assert_array_equal(got, VALUES[low:high].astype(dtype))
        assert got.dtype == dtype


def test_what_is_left_to_zarr(tmp_path):
    assert chunk_reader(make(tmp_path / "three", zarr_format=3)) is None
    assert chunk_reader(make(tmp_path / "swapped", dtype=">f4")) is None
    assert chunk_reader(make(tmp_path / "filters", filters=numcodecs.Delta("<f4"))) is None
    assert chunk_reader(np.arange(3)) is None


@pytest.mark.parametrize("codec", [None, numcodecs.Blosc()], ids=["plain", "blosc"])
def test_damage_is_named(tmp_path, codec):
    read = chunk_reader(make(tmp_path / "z", compressors=codec))
    path = tmp_path / "z" / "a" / "3"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"3: the chunk is damaged or cut off"):
        read(0, 1000)
    np.testing.assert_array_equal(read(256, 300), VALUES[256:300])


def test_chunks_of_zeros_need_no_file(tmp_path):
    array = make(tmp_path / "z")
    (tmp_path / "z" / "a" / "3").unlink()
    np.testing.assert_array_equal(chunk_reader(array)(192, 256), 0)
    np.testing.assert_array_equal(array[192:256], 0)
