import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import pyvips

from tasks.image_params import Variant
from tasks.images import headers
from tasks.images.model import ImageRejected, Limits, Made, Task, Wanted
from tasks.images.vips import Vips
from tasks.images.vips_library import LOADERS, ready, refusing, working
from tests.tasks.samples import encoded, painted, veiled

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'
WANTED = (
    Variant(name="a", format="png", width=30),
    Variant(name="b", format="jpeg", width=20, blur=2),
    Variant(name="c", format="webp", width=10),
    Variant(name="d", format="avif"),
    Variant(name="e", format="gif", width=25),
)

# A worker: everything is imported and the engine is made, then the process forks, and the child makes pictures.
FORKS = """
import os, sys
from tests.tasks.images.test_vips_library import Vips, digests, made, Path

engine = Vips()
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(digests(made(engine, Path(sys.argv[1]))), flush=True)
os._exit(0)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "picture"
    file.write_bytes(encoded(veiled(), "PNG"))
    return file


def made(engine: Vips, file: Path) -> list[Made]:
    header = headers.read(file, Limits())
    return list(engine.render(Task(file=file, header=header, wanted=[Wanted(variant=variant) for variant in WANTED])))


def digests(pictures: list[Made]) -> list[str]:
    return [hashlib.sha256(one.data).hexdigest() for one in pictures]


def test_a_child_forked_after_the_import_makes_pictures_with_the_same_bytes(file: Path) -> None:
    command = [sys.executable, "-c", FORKS, str(file)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert child.stdout.strip() == str(digests(made(Vips(), file)))
    assert child.stderr == ""


def test_the_number_of_threads_changes_no_byte(file: Path) -> None:
    file.write_bytes(encoded(veiled(240, 160), "PNG"))  # as large as encoders want it for a second thread
    assert digests(made(Vips(threads=4), file)) == digests(made(Vips(threads=1), file))


def test_it_says_which_library_it_is(file: Path) -> None:
    assert Vips().version.startswith("vips 8.")
    assert {one.engine for one in made(Vips(), file)} == {Vips().version}


@pytest.mark.parametrize(("loader", "data"), [("svgload", SVG), ("csvload", b"1,2"), ("vipsload", bytes(64))])
def test_no_other_loader_can_be_reached(file: Path, loader: str, data: bytes) -> None:
    ready(1)
    file.write_bytes(data)
    with pytest.raises(pyvips.Error, match="blocked"):
        pyvips.Operation.call(loader, str(file))


def test_the_loaders_that_we_use_are_not_blocked(tmp_path: Path) -> None:
    ready(1)
    file = tmp_path / "picture"
    for format_, loader in LOADERS.items():
        file.write_bytes(encoded(painted(), format_.upper()))
        assert pyvips.Operation.call(loader, str(file)).width == 61


def test_what_strangers_write_into_their_files_is_no_news(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    odd = encoded(painted(), "JPEG", icc_profile=b"no profile at all", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    file.write_bytes(odd)
    assert len(made(Vips(), file)) == len(WANTED)
    file.write_bytes(odd[:-600])
    with pytest.raises(ImageRejected):
        made(Vips(), file)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "said",
    [
        "vips_tracked: out of memory --- size == 300MB",
        "VipsJpeg: Insufficient memory (case 4)",
        "heif: Memory allocation error: Unspecified: Allocating 4512015 bytes failed (6.0)",
        "glib: Error creating thread: Resource temporarily unavailable",
    ],
)
def test_too_little_memory_is_no_fault_of_the_file(file: Path, said: str) -> None:
    with pytest.raises(MemoryError), refusing(file, "png"):
        raise pyvips.Error("unable to copy to memory", said)
    with pytest.raises(MemoryError), working():
        raise pyvips.Error("unable to copy to memory", said)


def test_a_picture_that_asks_for_very_much_memory_is_at_fault(file: Path) -> None:
    with pytest.raises(ImageRejected), refusing(file, "avif"):
        raise pyvips.Error("unable to load", "heif: Memory allocation error: Security limit exceeded (6.1000)")


def test_a_png_that_has_its_end_is_damaged_and_not_cut_short(file: Path) -> None:
    data = bytearray(encoded(painted(200, 100), "PNG"))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    file.write_bytes(data)
    with pytest.raises(ImageRejected) as refused:
        made(Vips(), file)
    assert refused.value.code == "image_unreadable"
