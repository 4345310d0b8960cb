"""The kind with a network of one's own that docs/analysis.md shows."""

import hashlib
import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from storage import jobs, removals
from storage.keys import input_key
from storage.model import JobInput, TenantId, new_job_id
from tasks import base
from tasks.document import parse
from tasks.names import KINDS
from tasks.process import Process
from tasks.settings import MODELS_DIR
from tasks.submit import submit

PAGE = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text()


def block(language: str) -> str:
    """The last block of code of this language on the page."""
    return PAGE.split(f"```{language}\n")[-1].split("```")[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """MODELS_DIR with the page's network, which is a known one under another name."""
    made = tmp_path / "models"
    shutil.copytree(MODELS_DIR, made)
    network = (made / "efficientnet-lite0.onnx").read_bytes()
    (made / "plants.onnx").write_bytes(network)
    (made / "plants.toml").write_text(block("toml").replace("…", hashlib.sha256(network).hexdigest()))
    (made / "plants.json").write_text(json.dumps([f"plant {number}" for number in range(1000)]))
    return made


def test_it_works_as_it_stands_there(
    process: Process, tenant: TenantId, folder: Path, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plants.py").write_text(block("python"))
    monkeypatch.syspath_prepend(str(tmp_path))
    kind = importlib.import_module("plants").KIND
    here = replace(process, settings=replace(process.settings, models_dir=folder))
    job_id, file = new_job_id(), (photos / "coffee.png").read_bytes()
    key = input_key(tenant, job_id)
    process.objects.upload(key, file, content_type="image/png")
    given = JobInput(key=key, filename="it.png", content_type="image/png", bytes=len(file))
    with process.database.begin(tenant) as tx:
        removals.plan(tx, job_id, due_in_seconds=60)
        spec = parse({"steps": {"a": {"kind": kind.name}}}, kinds={**KINDS, kind.name: kind})
        job = submit(tx, spec, job_id=job_id, file=given).job
    base.perform(here, kind, tenant, job.id, job.steps[0].id)
    with process.database.read(tenant) as tx:
        found = jobs.find(tx, job.id)
    assert found is not None
    [best, *others] = found.steps[0].result["plants"]
    espresso = json.loads((MODELS_DIR / "imagenet-1k.json").read_text()).index("espresso")
    assert best == {"name": f"plant {espresso}", "score": pytest.approx(0.95, abs=0.02)}
    assert len(others) == 2


def test_it_takes_twenty_lines() -> None:
    lines = [line for line in block("python").splitlines() if line.strip() and not line.startswith(("from", "import"))]
    assert len(lines) <= 20
