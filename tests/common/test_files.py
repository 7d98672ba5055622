"""Files are whole or as they were before."""

import errno
import os
import resource
import subprocess
import sys
import threading

import pytest

from fer_utils.common.files import write_atomically, write_text


def test_a_text_is_written_as_it_is(tmp_path):
    write_text(tmp_path / "a.html", "é 日本\n")
    assert (tmp_path / "a.html").read_bytes() == "é 日本\n".encode()
    write_text(tmp_path / "a.html", os.fsdecode(b"\xff"))
    assert (tmp_path / "a.html").read_bytes() == b"\\udcff"
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_on_a_full_disk_the_file_stays_as_it_was_and_is_named(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "index.html"
    path.write_text("before")
    if step != "write":
        monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_atomically(path, full if step == "write" else lambda file: file.write(b"after"))
    assert caught.value.filename == str(path) and caught.value.errno == errno.ENOSPC
    assert path.read_text() == "before" and [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_limit_of_the_system_leaves_nothing_half_written(tmp_path):
    """Not simulated: a process that may write 4096 bytes into a file."""
    code = (
        "import signal, sys\nfrom fer_utils.common.files import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nwrite_text(sys.argv[1], 'after' * 10_000)"
    )
    (tmp_path / "run.json").write_text("before")
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run.json")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1 and "run.json" in found.stderr.splitlines()[-1]
    assert (tmp_path / "run.json").read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_two_that_write_at_the_same_time_leave_one_whole_file(tmp_path):
    both_there = threading.Barrier(2)

    def write(text):
        def fill(file):
            both_there.wait(10)
            file.write(text)

        write_atomically(tmp_path / "results.csv", fill)

    threads = [threading.Thread(target=write, args=[text * 1000]) for text in (b"first", b"other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "results.csv").read_bytes() in (b"first" * 1000, b"other" * 1000)
    assert len(list(tmp_path.iterdir())) == 1
