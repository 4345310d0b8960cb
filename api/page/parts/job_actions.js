// What one may do with a job: stop it, run it again, delete it.

import { api } from "../api.js";
import { html } from "../lib/preact.js";
import { hasEnded } from "../live_job.js";
import { go } from "../router.js";
import { Button } from "./controls.js";
import { confirm, toast } from "./dialogs.js";

/** Buttons for who may write, or, acting for another tenant, operate. */
export function JobActions({ job, session, refresh }) {
  if (!session.may(session.acting ? "operate" : "jobs:write")) return null;
  const at = `/v1/jobs/${job.id}`;
  async function cancel() {
    if (
      !(await confirm({
        title: "Cancel this job?",
        body: "Steps that run are stopped, and what it has made is removed.",
        action: "Cancel the job",
        danger: true,
      }))
    )
      return;
    await api.post(`${at}/cancel`);
    refresh();
  }
  async function retry() {
    await api.post(`${at}/retry`, job.state === "succeeded" ? { only: "all" } : {});
    toast("The job runs again", { tone: "ok" });
    refresh();
  }
  async function remove() {
    if (
      !(await confirm({
        title: "Delete this job?",
        body: "Its events, its file and everything that it has made go with it. There is no way back.",
        action: "Delete",
        danger: true,
      }))
    )
      return;
    await api.delete(at);
    toast("The job is deleted", { tone: "ok" });
    go("/jobs");
  }
  if (!hasEnded(job))
    return html`<${Button} key="cancel" icon="stop" onClick=${cancel}
      disabled=${Boolean(job.stopping)}>${job.stopping ? "Stopping" : "Cancel"}<//>`;
  return html`
    <${Button} key=${job.state === "succeeded" ? "again" : "retry"} icon="retry"
      onClick=${retry}>${job.state === "succeeded" ? "Run again" : "Retry"}<//>
    <${Button} key="delete" icon="trash" tone="danger" onClick=${remove}>Delete<//>`;
}
