// One job: how far its steps have come, what it has made, what was seen in its picture, and why it failed.

import { html } from "../lib/preact.js";
import { useJob } from "../live.js";
import { analysesOf, outputsOf } from "../outputs.js";
import { Analysis } from "../parts/analysis.js";
import { ReadCall } from "../parts/calls.js";
import {
  Age,
  Bytes,
  Copy,
  Duration,
  Empty,
  Facts,
  Json,
  Page,
  Panel,
  Problem,
  Skeleton,
  State,
  Tabs,
} from "../parts/index.js";
import { JobActions } from "../parts/job_actions.js";
import { Timeline } from "../parts/operator_timeline.js";
import { Steps } from "../parts/steps.js";
import { Variants } from "../parts/variants.js";
import { replaceQuery } from "../router.js";

export default function View({ params, session }) {
  const { job, events, error, refresh } = useJob(params.id);
  if (!job && error?.status === 404)
    return html`<${Page} title="Job"><${Empty} title="There is no such job"
      icon="search"><code>${params.id}</code> is unknown, deleted, or another tenant's.<//><//>`;
  if (!job)
    return html`<${Page} title="Job" sub=${html`<code>${params.id}</code>`}>${error
      ? html`<${Problem} error=${error} retry=${refresh} />` : html`<${Loading} />`}<//>`;
  return html`
    <${Page} title=${titleOf(job)} sub=${html`<span class="row"><code class="clip">${job.id}</code><${Copy}
      text=${job.id} label="Copy the job's id" /></span>`} actions=${html`<${JobActions} job=${job} session=${session}
        refresh=${refresh} />`}>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <${Summary} job=${job} />
      <${Panel} title="Steps" flush><${Steps} steps=${job.steps} /><//>
      <${Parts} job=${job} events=${events} session=${session} tab=${params.tab} />
    <//>`;
}

const Loading = () =>
  html`<${Panel}><${Skeleton} rows=${1} height=${40} /><//><${Panel} title="Steps" flush><${Skeleton} rows=${3} /><//>`;

const titleOf = (job) => job.input?.filename || job.template || Object.keys(job.steps).join(", ");

function Summary({ job }) {
  const input =
    job.input &&
    html`<span>${job.input.content_type.replace("image/", "")} · <${Bytes} of=${job.input.bytes} /></span>`;
  return html`
    <${Panel}>
      <${Facts} of=${[
        ["State", html`<${State} of=${job.state} note=${job.stopping ? `stopping: ${job.stopping}` : null} />`],
        ["Sent", html`<${Age} at=${job.created_at} />`],
        ["Waited", html`<${Duration} seconds=${job.timings.waited_seconds} />`],
        ["Ran", html`<${Duration} seconds=${job.timings.ran_seconds} />`],
        ["Template", job.template],
        ["File", input],
        ["Priority", job.priority === "normal" ? null : job.priority],
        [
          "Schedule",
          job.schedule &&
            html`<a href=${`#/schedules/${job.schedule.id}`}>fired <${Age} at=${job.schedule.fire_time} /></a>`,
        ],
        ["Deadline", job.deadline_at && html`<${Age} at=${job.deadline_at} />`],
      ]} />
    <//>`;
}

function Parts({ job, events, session, tab }) {
  const outputs = outputsOf(job);
  const tabs = [
    { name: "results", label: "Results", count: outputs.length || undefined },
    { name: "timeline", label: "Timeline and log" },
    { name: "code", label: "The same by code" },
    { name: "document", label: "Document" },
  ];
  const current = tabs.some((one) => one.name === tab) ? tab : "results";
  return html`
    <${Tabs} label="Of this job" tabs=${tabs} current=${current}
      onChange=${(name) => replaceQuery({ tab: name === "results" ? null : name })} />
    <div class="stack" role="tabpanel" id=${`panel-${current}`} aria-labelledby=${`tab-${current}`}>
      ${current === "results" && html`<${Results} job=${job} outputs=${outputs} />`}
      ${current === "timeline" && html`<${Timeline} job=${job} events=${events} session=${session} />`}
      ${current === "code" && html`<${ReadCall} job=${job} outputs=${outputs} />`}
      ${current === "document" && html`<${Json} value=${job} label="Job document" />`}
    </div>`;
}

function Results({ job, outputs }) {
  const analyses = analysesOf(job);
  const others = Object.entries(job.steps).filter(([, step]) => isOther(step));
  const nothing = !job.error && !outputs.length && !analyses.length && !others.length;
  return html`
    ${job.error && html`<${Problem} error=${{ detail: job.error.message, code: codesOf(job) }} />`}
    ${outputs.length > 0 && html`<${Variants} outputs=${outputs} />`}
    ${analyses.map(({ step, result }) => html`<${Panel} key=${step} title="Seen in the picture"
      sub=${analyses.length > 1 ? step : null}><${Analysis} job=${job} result=${result} /><//>`)}
    ${others.map(([name, step]) => html`<${Panel} key=${name} title=${name} sub=${step.kind}><${Json}
      value=${step.result} label=${`Result of ${name}`} /><//>`)}
    ${nothing && html`<${Empty} title=${job.finished_at ? "This job has made nothing to show" : "Nothing yet"}
      icon="picture" />`}`;
}

/** The job's own code, and those of the steps that failed, which say more. */
function codesOf(job) {
  const failed = Object.entries(job.steps).filter(([, step]) => step.state === "failed" && step.error);
  return [job.error.code, ...failed.map(([name, step]) => `${name}: ${step.error.code}`)].join(" · ");
}

/** A result that is neither files nor an analysis: it is shown as it is. */
function isOther(step) {
  if (step.result === null || step.result === undefined || step.kind === "image.analyze") return false;
  return !(Array.isArray(step.result.outputs) && step.kind === "image.resize");
}
