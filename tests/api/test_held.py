"""A step that may not start although its time had come says why: in its document, and on the terminal."""

from click.testing import CliRunner

from api.cli.commands import cli
from storage import holds
from storage.model import JobId, StepId
from tests.api.conftest import Api

WHY = "20 calls to crm.example:443 are under way"


def test_why_a_step_is_put_off_is_told(api: Api) -> None:
    call = {"kind": "http.call", "url": "https://crm.example/"}
    job = api.acme.post(json={"steps": {"crm": call}}).json()
    assert job["steps"]["crm"]["held_for"] is None
    with api.database.begin(api.acme.tenant) as tx:
        assert holds.hold(tx, JobId(job["id"]), StepId(job["steps"]["crm"]["id"]), seconds=60, reason=WHY)
    step = api.acme.get(f"/v1/jobs/{job['id']}").json()["steps"]["crm"]
    assert (step["state"], step["held_for"], step["attempts"]) == ("scheduled", WHY, [])
    assert step["run_at"] > job["created_at"]
    env = {"MILLRACE_URL": api.url, "MILLRACE_API_KEY": api.acme.key}
    shown = CliRunner(env=env).invoke(cli, ["job", job["id"]])
    assert "put off until" in shown.output
    assert WHY in shown.output.replace("\n", " ")
