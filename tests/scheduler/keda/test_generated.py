"""The generated files are what the proto file says, and it is what KEDA speaks."""

import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.keda import externalscaler_pb2 as ours
from tests.scheduler.keda import wire

ROOT = Path(__file__).parents[3]
PROTO = "scheduler/keda/externalscaler.proto"


def test_the_generated_files_are_up_to_date(tmp_path: Path) -> None:
    """`make proto` renews them."""
    out = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *out, PROTO], cwd=ROOT, check=True)
    made = sorted((tmp_path / PROTO).parent.iterdir())
    assert len(made) == 3
    for file in made:
        assert file.read_text() == (ROOT / file.relative_to(tmp_path)).read_text(), file.name


@pytest.mark.parametrize("name", list(wire.MESSAGES))
def test_each_message_has_kedas_fields_and_numbers(name: str) -> None:
    fields = ours.DESCRIPTOR.message_types_by_name[name].fields
    assert {(field.number, field.name) for field in fields} == {(n, field) for n, field, _ in wire.MESSAGES[name]}
