"""Files are complete or absent, made once, and dropped when there are too many."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest

from adapters.label_studio.file_cache import FileCache


def _writes(content: bytes) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(content)

    return write


def _never(_: BinaryIO) -> None:
    raise AssertionError("it should have been kept")


def test_a_file_is_kept_with_the_hash_of_its_content(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 10**6)

    made = cache.get("a", max_age_s=None, write=_writes(b"hello"))
    kept = cache.get("a", max_age_s=None, write=_never)

    assert kept == made
    assert made.path.read_bytes() == b"hello"
    assert made.sha256 == sha256(b"hello").hexdigest()


def test_a_file_that_is_too_old_is_made_again_and_the_newest_counts(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 10**6)
    old = cache.get("a", max_age_s=60, write=_writes(b"old"))
    os.utime(old.path, (time.time(), time.time() - 61))

    new = cache.get("a", max_age_s=60, write=_writes(b"new"))

    assert new.path.read_bytes() == b"new"
    assert cache.get("a", max_age_s=60, write=_never) == new
    assert old.path.read_bytes() == b"old", "whoever was given the old path can still open it"


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 10**6)

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        cache.get("a", max_age_s=None, write=fail)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_threads_that_want_one_file_make_it_once_and_see_it_whole(tmp_path: Path) -> None:
    """C-125."""
    cache = FileCache(tmp_path, 10**9)
    num_writes = []

    def write(file: BinaryIO) -> None:
        num_writes.append(1)
        for _ in range(10):
            file.write(b"x" * 1000)
            file.flush()
            time.sleep(0.005)

    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(lambda _: cache.get("a", max_age_s=None, write=write).path.read_bytes(), range(20)))

    assert len(num_writes) == 1
    assert set(found) == {b"x" * 10_000}


def test_processes_that_want_one_file_make_it_once(tmp_path: Path) -> None:
    """C-125."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from adapters.label_studio.file_cache import FileCache\n"
        "def write(file):\n"
        "    print('wrote'); time.sleep(0.3); file.write(b'x')\n"
        "FileCache(Path(sys.argv[1]), 10**6).get('a', max_age_s=None, write=write)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    said = "".join(process.communicate(timeout=60)[0] for process in processes)

    assert said.count("wrote") == 1


def test_waiting_for_one_file_does_not_hold_up_another(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 10**6)
    may_end = threading.Event()
    slow = threading.Thread(
        target=cache.get, args=("slow",), kwargs={"max_age_s": None, "write": lambda file: may_end.wait(30)}
    )
    slow.start()

    quick = cache.get("quick", max_age_s=None, write=_writes(b"q"))
    may_end.set()
    slow.join()

    assert quick.path.read_bytes() == b"q"


def test_the_least_recently_used_files_are_dropped(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 250)
    hour_ago = time.time() - 3600
    old = [cache.get(name, max_age_s=None, write=_writes(name.encode() * 100)) for name in "abc"]
    for number, file in enumerate(old):
        os.utime(file.path, (hour_ago + number, hour_ago))
    cache.get("a", max_age_s=None, write=_never)

    cache.get("d", max_age_s=None, write=_writes(b"d" * 100))

    assert [file.path.exists() for file in old] == [True, False, False]


def test_files_that_were_just_asked_for_stay_even_beyond_the_limit(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 10)

    files = [cache.get(name, max_age_s=None, write=_writes(name.encode() * 100)) for name in "abc"]

    assert all(file.path.exists() for file in files)


def test_what_a_crashed_process_left_half_written_goes_away(tmp_path: Path) -> None:
    left = tmp_path / "ab" / "name.1234.part"
    left.parent.mkdir()
    left.write_bytes(b"half")
    os.utime(left, (time.time(), time.time() - 2 * 3600))

    FileCache(tmp_path, 10**6).get("a", max_age_s=None, write=_writes(b"x"))

    assert not left.exists()
