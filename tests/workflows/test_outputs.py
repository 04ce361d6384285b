import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from partwise.exceptions import ResourceError
from partwise.workflows import outputs
from partwise.workflows.outputs import open_run_folder


def names(folder):
    return sorted(os.listdir(folder))


def in_process(folder, body):
    code = textwrap.dedent(
        """
        import os, sys
        from partwise.workflows import outputs
        with outputs.open_run_folder(sys.argv[1]) as run:
            run.path("a").write_text("new a")
            run.path("b").write_text("new b")
        """
    ) + textwrap.indent(textwrap.dedent(body), "    ")
    return subprocess.run([sys.executable, "-c", code, str(folder)], check=False)


def test_outputs_appear_at_publish_only(tmp_path):
    folder = tmp_path / "x" / "results"
    with open_run_folder(folder) as run:
        run.path("a").write_text("1")
        assert [name for name in names(folder) if not name.startswith(".")] == []
        assert run.publish() == [folder / "a"]
    assert names(folder) == ["a"]


def test_failing_run_leaves_the_earlier_one(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ValueError, match="x"), open_run_folder(tmp_path) as run:
        run.path("a").write_text("new")
        raise ValueError("x")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_failing_run_leaves_no_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="x"), open_run_folder(tmp_path / "new"):
        raise ValueError("x")
    assert names(tmp_path) == []


def test_killed_before_publish(tmp_path):
    (tmp_path / "a").write_text("old")
    in_process(tmp_path, "os.kill(os.getpid(), 9)")
    assert (tmp_path / "a").read_text() == "old"
    assert len(names(tmp_path)) == 2
    with open_run_folder(tmp_path):
        pass
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_killed_while_publishing_is_finished_by_the_next_run(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("old")
    in_process(
        tmp_path,
        """
        real, count = os.replace, []
        def replace(src, dst):
            real(src, dst)
            if dst.name == "a":
                os.kill(os.getpid(), 9)
        outputs.os.replace = replace
        run.publish()
        """,
    )
    assert (tmp_path / "a").read_text() == "new a"
    assert (tmp_path / "b").read_text() == "old"
    with open_run_folder(tmp_path):
        pass
    assert (tmp_path / "a").read_text() == "new a"
    assert (tmp_path / "b").read_text() == "new b"
    assert names(tmp_path) == ["a", "b"]


def test_killed_between_folder_and_lock(tmp_path):
    staging = tmp_path / ".partwise-run-999999999-abcd"
    staging.mkdir()
    (staging / "half").write_text("x")
    with open_run_folder(tmp_path):
        pass
    assert names(tmp_path) == []


def test_a_run_at_work_is_left_alone(tmp_path):
    with open_run_folder(tmp_path) as first:
        first.path("a").write_text("1")
        with open_run_folder(tmp_path) as second:
            second.path("b").write_text("2")
            second.publish()
        first.publish()
    assert names(tmp_path) == ["a", "b"]


def test_a_list_with_a_path_outside_is_ignored(tmp_path):
    folder = tmp_path / "results"
    staging = folder / ".partwise-run-999999999-abcd"
    staging.mkdir(parents=True)
    (staging / "publish.json").write_text(json.dumps(["../evil", "good", 3]))
    (staging / "good").write_text("x")
    (folder / "evil").write_text("must stay")
    with open_run_folder(folder):
        pass
    assert names(folder) == ["evil", "good"]
    assert names(tmp_path) == ["results"]


def test_only_plain_names(tmp_path):
    with open_run_folder(tmp_path) as run:
        for bad in ("../x", "a/b", "lock"):
            with pytest.raises(ValueError, match="plain file name"):
                run.path(bad)


def test_signals_wait_for_publish(tmp_path, monkeypatch):
    real = outputs._move

    def move(*args):
        signal.raise_signal(signal.SIGINT)
        real(*args)

    monkeypatch.setattr(outputs, "_move", move)
    with pytest.raises(KeyboardInterrupt), open_run_folder(tmp_path) as run:
        run.path("a").write_text("1")
        run.publish()
    assert names(tmp_path) == ["a"]


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "results").write_text("")
    with (
        pytest.raises(ResourceError, match="it is a file, not a folder"),
        open_run_folder(tmp_path / "results"),
    ):
        pass
    with (
        pytest.raises(ResourceError, match="is a file, not a folder"),
        open_run_folder(tmp_path / "results" / "sub"),
    ):
        pass


def test_errors_of_other_files_are_not_blamed_on_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError), open_run_folder(tmp_path):
        (tmp_path / "missing input").read_text()
