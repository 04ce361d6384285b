"""The songbird recording: where it is looked for, that it is checked, and never replaced."""

import hashlib
import http.server
import shutil
import socket
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import partwise.datasets
from partwise.datasets import _fetch, songbird
from partwise.exceptions import DataError, ResourceError

CONTENTS = bytes(range(256)) * 100


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty folders of the user and of the cache; no proxy stands between us and ourselves."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("PARTWISE_DATA_DIR", str(own))
    monkeypatch.setenv("PARTWISE_CACHE_DIR", str(tmp_path / "deep" / "cache"))
    return own, tmp_path / "deep" / "cache"


@pytest.fixture
def server():
    """Serve `CONTENTS`, or what is put in its place, and count the requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            self.send_response(self.server.status)
            self.end_headers()
            self.wfile.write(self.server.contents)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked, running.status, running.contents = 0, 200, CONTENTS
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def file(server):
    return _fetch.PublicFile(
        what="the recording",
        name="a.mat",
        url=f"http://127.0.0.1:{server.server_port}/a.mat",
        sha256=hashlib.sha256(CONTENTS).hexdigest(),
        n_bytes=len(CONTENTS),
        stand_in="simulate_something()",
    )


def test_fetched_once_into_the_cache(folders, server, file):
    _, cache = folders
    assert _fetch.locate(file) == cache / "a.mat"
    assert (cache / "a.mat").read_bytes() == CONTENTS
    assert [path.name for path in cache.iterdir()] == ["a.mat"]
    _fetch.locate(file)
    assert server.asked == 1


def test_the_folder_of_the_user_comes_first(folders, server, file):
    own, cache = folders
    (own / "a.mat").write_bytes(CONTENTS)
    assert _fetch.locate(file) == own / "a.mat"
    assert server.asked == 0
    assert not cache.exists()
    (own / "a.mat").write_bytes(CONTENTS[:-1])
    with pytest.raises(DataError, match=r"a\.mat: this is not the recording as published"):
        _fetch.locate(file)


def test_a_spoilt_file_in_the_cache_is_replaced(folders, server, file):
    _, cache = folders
    cache.mkdir(parents=True)
    (cache / "a.mat").write_bytes(b"half")
    assert _fetch.locate(file).read_bytes() == CONTENTS
    assert server.asked == 1


@pytest.mark.parametrize("sent", [CONTENTS[:-1], CONTENTS + b"more", b"<html>login</html>"])
def test_what_is_not_the_file_is_not_kept(folders, server, file, sent):
    server.contents = sent
    with pytest.raises(ResourceError, match="not the published file") as error:
        _fetch.locate(file)
    for part in ("PARTWISE_DATA_DIR", str(folders[1]), file.url, "simulate_something()"):
        assert part in str(error.value)
    assert not folders[1].exists()


def test_a_missing_page_and_a_silent_server(folders, server, file):
    server.status = 404
    with pytest.raises(ResourceError, match="404"):
        _fetch.locate(file)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(ResourceError, match="timed out"):
            _fetch.locate(replace(file, url=url), timeout=0.2)
    with pytest.raises(ResourceError, match="could not be fetched"):
        _fetch.locate(replace(file, url=url), timeout=0.2)


def test_a_cache_that_cannot_be_made(folders, server, file, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("PARTWISE_CACHE_DIR", str(tmp_path / "taken" / "cache"))
    with pytest.raises(ResourceError, match="cannot write"):
        _fetch.locate(file)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, ".cache/partwise"),
        ("linux", {"XDG_CACHE_HOME": "HOME/x"}, "x/partwise"),
        ("darwin", {}, "Library/Caches/partwise"),
        ("win32", {}, "AppData/Local/partwise/cache"),
        ("win32", {"LOCALAPPDATA": "HOME/l"}, "l/partwise/cache"),
    ],
)
def test_the_cache_of_each_platform(platform, variables, expected, monkeypatch, tmp_path):
    for name in ("PARTWISE_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("HOME", str(tmp_path)))
    monkeypatch.setattr(_fetch.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert _fetch.cache_folder() == tmp_path / expected


def test_offline_the_recording_is_never_made_up(folders, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    for call in (songbird, lambda: partwise.datasets.example_data):
        with pytest.raises(ResourceError, match=r"no network.*simulate_sequences"):
            call()


def test_example_data_is_not_fetched_by_listing():
    assert "example_data" not in partwise.datasets.__all__
    assert "example_data" not in dir(partwise.datasets)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        partwise.datasets.nonsense  # noqa: B018


def test_the_published_recording(data_dir, monkeypatch, tmp_path):
    bird = songbird()
    assert bird.neural.shape == (75, 666)
    assert bird.song.shape == (141, 4440)
    assert (bird.rate, bird.song_rate) == (30.0, 200.0)
    assert bird.neural.shape[1] / bird.rate == bird.song.shape[1] / bird.song_rate
    assert bird.neural.dtype == np.float64
    assert bird.neural.max() == pytest.approx(0.95, abs=0.01)
    assert np.mean(bird.neural == 0) == pytest.approx(0.933, abs=0.001)
    np.testing.assert_array_equal(partwise.datasets.example_data, bird.neural)
    # from the cache it is the same, without a network
    shutil.copy(data_dir / "MackeviciusData.mat", tmp_path)
    monkeypatch.delenv("PARTWISE_DATA_DIR")
    monkeypatch.setenv("PARTWISE_CACHE_DIR", str(tmp_path))
    np.testing.assert_array_equal(songbird().neural, bird.neural)
