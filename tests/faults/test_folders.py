"""Folders that cannot be written to, disks that fill up, and runs side by side."""

import errno
import os

import pytest

from partwise.exceptions import ResourceError
from partwise.workflows import cluster


def test_disk_full_while_writing(small_table, tmp_path, monkeypatch):
    cluster(small_table, n_components=4, output_dir=tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    real = os.fsync
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) >= 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="no space is left on the disk"):
        cluster(small_table, n_components=5, output_dir=tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_read_only_folder(small_table, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    folder.mkdir()
    real = os.mkdir

    def mkdir(path, *args, **kwargs):
        if str(path).startswith(str(folder) + os.sep):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(ResourceError, match="permission to write was denied") as caught:
        cluster(small_table, output_dir=folder)
    assert str(folder) in str(caught.value)
    assert ".partwise" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(partwise, small_table, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir(mode=0o555)
    done = partwise("cluster", small_table, "-o", folder)
    assert done.returncode == 4
    assert "permission to write was denied" in done.stderr


def test_output_folder_is_a_file(partwise, small_table, tmp_path):
    (tmp_path / "results").write_text("mine")
    done = partwise("cluster", small_table, "-o", tmp_path / "results")
    assert done.returncode == 4
    assert "it is a file, not a folder" in done.stderr
    assert (tmp_path / "results").read_text() == "mine"


def test_a_bad_table_leaves_no_folder(partwise, tmp_path):
    (tmp_path / "bad.csv").write_text("fov,label,cell_meta_cluster,A\nF,1,A,-1\n")
    done = partwise("cluster", "bad.csv", cwd=tmp_path)
    assert done.returncode == 3
    assert "bad.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bad.csv"]


def test_files_of_others_in_the_folder_stay(small_table, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    cluster(small_table, n_components=4, output_dir=tmp_path)
    cluster(small_table, n_components=5, output_dir=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
