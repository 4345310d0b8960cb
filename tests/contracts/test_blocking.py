"""The facade for worker processes: from threads, and in a forked child."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.errors import ObjectExists, ObjectMissing, ObjectTooLarge
from storage.objects import PART_BYTES
from storage.objects.blocking import Blocking
from storage.objects.memory import MemoryObjects
from storage.objects.settings import ObjectSettings
from storage.objects.stores import open_objects
from tests.contracts.bodies import MIB, body

FORKS = """
import multiprocessing, os, sys
from storage.objects.blocking import Blocking
from storage.objects.settings import from_env
from storage.objects.stores import open_objects

objects = Blocking(open_objects(from_env(os.environ)))

def child(key):
    try:
        objects.upload(key, b"from the child", content_type="text/plain")
        assert objects.read(key, 100) == b"from the child"
        objects.close()
    except RuntimeError as exc:
        print(exc)
        sys.exit(3)

if sys.argv[1] == "early":
    objects.upload("fork/parent", b"1", content_type="text/plain")
children = [multiprocessing.get_context("fork").Process(target=child, args=(f"fork/{n}",)) for n in range(2)]
for each in children:
    each.start()
for each in children:
    each.join(20)
print([each.exitcode for each in children])
print(objects.delete_prefix("fork/"))
objects.close()
sys.stdout.flush()
os._exit(0)  # threads of the object store's library have been seen to abort an interpreter that is being torn down
"""


@pytest.fixture(params=["memory", "s3"])
def blocking(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    if request.param == "memory":
        blocking = Blocking(MemoryObjects())
    else:
        bucket: ObjectSettings = request.getfixturevalue("bucket")
        blocking = Blocking(open_objects(bucket))
    yield blocking
    blocking.close()


@pytest.mark.parametrize("size", [0, 1000, PART_BYTES + MIB])
def test_a_file_goes_up_and_comes_down(blocking: Blocking, folder: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "up").write_bytes(body(size))
    stored = blocking.upload(folder + "a", tmp_path / "up", content_type="image/png")
    assert (stored.size, stored.content_type) == (size, "image/png")
    assert blocking.download(folder + "a", tmp_path / "down").size == size
    assert (tmp_path / "down").read_bytes() == body(size)
    assert blocking.head(folder + "a").etag == stored.etag


def test_a_small_object_is_read_whole_and_a_large_one_refused(blocking: Blocking, folder: str) -> None:
    blocking.upload(folder + "a", b"12345", content_type="text/plain")
    assert blocking.read(folder + "a", 5) == b"12345"
    with pytest.raises(ObjectTooLarge):
        blocking.read(folder + "a", 4)


def test_errors_come_through_and_leave_no_file(blocking: Blocking, folder: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing):
        blocking.download(folder + "none", tmp_path / "down")
    assert not (tmp_path / "down").exists()
    blocking.upload(folder + "a", b"1", content_type="text/plain")
    with pytest.raises(ObjectExists):
        blocking.upload(folder + "a", b"2", content_type="text/plain", only_if_absent=True)
    with pytest.raises(FileNotFoundError):
        blocking.upload(folder + "b", tmp_path / "none", content_type="text/plain")


def test_eight_threads_share_one_loop(blocking: Blocking, folder: str, tmp_path: Path) -> None:
    def there_and_back(number: int) -> bool:
        data = body(2 * MIB, number)
        blocking.upload(f"{folder}{number}", data, content_type="image/png")
        blocking.download(f"{folder}{number}", tmp_path / str(number))
        return (tmp_path / str(number)).read_bytes() == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(8)))
    assert sum(thread.name == "objects" for thread in threading.enumerate()) == 1
    blocking.delete([f"{folder}0"])
    assert blocking.delete_prefix(folder) == 7


def test_closing_stops_the_thread(blocking: Blocking, folder: str) -> None:
    blocking.upload(folder + "a", b"1", content_type="text/plain")
    blocking.close()
    blocking.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "objects"]
    blocking.delete_prefix(folder)


def run_forks(when: str, env: Mapping[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FORKS, when], env=dict(env), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_forked_children_each_make_their_own(bucket: ObjectSettings, s3_env: Mapping[str, str]) -> None:
    assert run_forks("late", s3_env) == ["[0, 0]", "2"]


def test_a_fork_after_first_use_is_told_instead_of_hanging(bucket: ObjectSettings, s3_env: Mapping[str, str]) -> None:
    *told, codes, count = run_forks("early", s3_env)
    assert (codes, count) == ("[3, 3]", "1")
    assert all("before this process was forked" in line for line in told)
