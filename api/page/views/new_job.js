// For app developers: photos in, a template or a document of one's own, and what comes of it, live.

import { html, useEffect, useMemo, useState } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { SubmitCall } from "../parts/calls.js";
import { Drop } from "../parts/drop.js";
import { Editor } from "../parts/editor.js";
import { Age, Button, Empty, Id, Page, Panel, Problem, Skeleton, State, Table, Tabs } from "../parts/index.js";
import { readPlaces } from "../parts/json_places.js";
import { SentJob } from "../parts/sent.js";
import { documentOf, hasFlaw, Overrides, TemplateChoice } from "../parts/templates.js";
import { addPhotos, forgetSent, removePhoto, submit, useSending } from "../sending.js";

const EXAMPLE = `{
  "steps": {
    "look": {
      "kind": "image.analyze",
      "features": ["labels", "objects", "faces", "codes", "colors", "quality"]
    },
    "thumbs": {
      "kind": "image.resize",
      "variants": [
        {"name": "small", "width": 320, "format": "webp"},
        {"name": "square", "width": 256, "height": 256, "fit": "cover", "gravity": "attention"}
      ]
    }
  }
}`;

const RECENT = 8;
const RECENT_COLUMNS = [
  { name: "job", label: "Job", cell: (job) => job.input?.filename || job.template || html`<${Id} of=${job.id} />` },
  { name: "state", label: "State", width: "112px", cell: (job) => html`<${State} of=${job.state} />` },
  { name: "sent", label: "Sent", width: "96px", align: "end", cell: (job) => html`<${Age} at=${job.created_at} />` },
];

// What was chosen and written stays while the page is open.
const draft = { mode: "template", name: "thumbnails", texts: {}, text: EXAMPLE };

export default function View({ session }) {
  const { photos, sent } = useSending();
  const [choice, change] = useDraft();
  const [error, setError] = useState(null);
  const templates = usePoll("/v1/templates", { query: { limit: 100 }, every: 60_000 });
  const template = templates.data?.data.find((one) => one.name === choice.name);
  const document = useMemo(() => chosenDocument(choice, template), [choice, template]);
  const accepted = sent.filter((one) => one.job).length;
  const edit = (changes) => {
    setError(null);
    change(changes);
  };
  async function send() {
    setError(null);
    try {
      await submit(document);
    } catch (refusal) {
      setError(refusal);
    }
  }
  useSendKey(send, Boolean(document) && canSend(choice, photos));
  if (session.acting)
    return html`<${Page} title="New job"><${Empty} title="Jobs are sent by a tenant's own keys" icon="lock" /><//>`;
  if (!session.may("jobs:write"))
    return html`<${Page} title="New job"><${Empty} title="Your key may not send jobs"
      icon="lock">It needs the scope <code>jobs:write</code>.<//><//>`;
  return html`
    <${Page} title="New job">
      <div class="new-job">
        <div class="stack">
          <${Panel} title="Photos" sub=${photos.length ? `${photos.length} to send` : null}><${Drop} photos=${photos}
            onFiles=${addPhotos} onRemove=${removePhoto} /><//>
          <${What} templates=${templates} template=${template} choice=${choice} document=${document} edit=${edit}
            error=${error} />
          <${Send} photos=${photos} choice=${choice} document=${document} error=${error} send=${send} />
        </div>
        <div class="stack">
          ${sent.length > 0 && html`<${Sent} sent=${sent} />`}
          <${Panel} title="The same by code">${document ? html`<${SubmitCall} document=${document}
            filename=${fileNameOf(choice, photos)} />` : html`<p class="muted">As soon as the document is whole,
              it stands here as a call.</p>`}<//>
          ${session.may("jobs:read") && html`<${Recent} accepted=${accepted} />`}
        </div>
      </div>
    <//>`;
}

function useDraft() {
  const [choice, set] = useState({ ...draft });
  return [choice, (changes) => set((before) => Object.assign(draft, { ...before, ...changes }) && { ...draft })];
}

function chosenDocument(choice, template) {
  if (choice.mode === "json") {
    const { value, flaw } = readPlaces(choice.text);
    return flaw || value === null || typeof value !== "object" ? null : value;
  }
  return template && !hasFlaw(template, choice.texts) ? documentOf(template, choice.texts) : null;
}

const canSend = (choice, photos) => choice.mode === "json" || photos.length > 0;
const fileNameOf = (choice, photos) => photos[0]?.file.name ?? (choice.mode === "template" ? "photo.jpg" : null);

/** Ctrl or Command with Enter sends, wherever one is. */
function useSendKey(send, ready) {
  useEffect(() => {
    function pressed(event) {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !ready) return;
      event.preventDefault();
      send();
    }
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}

function What({ templates, template, choice, document, edit, error }) {
  const tabs = [
    { name: "template", label: "Template" },
    { name: "json", label: "Job as JSON" },
  ];
  const flaws = error?.errors || [];
  return html`
    <${Panel} title="What is to be done">
      <${Tabs} label="How to say what is to be done" tabs=${tabs} current=${choice.mode}
        onChange=${(mode) => edit({ mode })} />
      <div class="what" role="tabpanel" id=${`panel-${choice.mode}`} aria-labelledby=${`tab-${choice.mode}`}>
        ${choice.mode === "json" && html`<div class="what-tools"><${Button} small tone="quiet" disabled=${!document}
          onClick=${() => edit({ text: JSON.stringify(document, null, 2) })}>Format<//></div>`}
        ${choice.mode === "json" && html`<${Editor} label="Job as JSON" value=${choice.text}
          onInput=${(text) => edit({ text })} flaws=${flaws} />`}
        ${choice.mode === "template" && templates.loading && html`<${Skeleton} rows=${6} height=${52} />`}
        ${choice.mode === "template" && templates.error && !templates.data &&
          html`<${Problem} error=${templates.error} retry=${templates.refresh} />`}
        ${choice.mode === "template" && templates.data && html`<${TemplateChoice} templates=${templates.data.data}
          chosen=${choice.name} onChoose=${(name) => edit({ name, texts: {} })} />`}
        ${choice.mode === "template" && template && html`<${Overrides} template=${template} texts=${choice.texts}
          onText=${(name, text) => edit({ texts: { ...choice.texts, [name]: text } })} flaws=${flaws} />`}
      </div>
    <//>`;
}

function Send({ photos, choice, document, error, send }) {
  const ready = document && canSend(choice, photos);
  const what = photos.length > 1 ? `Send ${photos.length} photos` : photos.length === 1 ? "Send 1 photo" : "Send";
  const missing =
    choice.mode === "template" && photos.length === 0
      ? "Choose a photo first."
      : !document
        ? "The document has a flaw."
        : null;
  return html`
    <div class="stack tight send">
      ${error && html`<${Problem} error=${error.errors?.length ? { ...error,
        detail: "Nothing was sent: the document has flaws, which are marked." } : error} />`}
      <div class="row"><${Button} tone="primary" icon="up" disabled=${!ready} onClick=${send}>${what}<//><span
        class="muted small">${missing || html`or <kbd>Ctrl</kbd> <kbd>Enter</kbd>`}</span></div>
    </div>`;
}

function Sent({ sent }) {
  const over = sent.some((one) => one.state === "accepted" || one.state === "refused");
  return html`
    <${Panel} title="Sent from here" flush actions=${over &&
      html`<${Button} small tone="quiet" onClick=${forgetSent}>Clear<//>`}>
      <ul class="sent-list">${sent.map((one) => html`<${SentJob} key=${one.id} one=${one} />`)}</ul>
    <//>`;
}

function Recent({ accepted }) {
  const jobs = usePoll("/v1/jobs", { query: { limit: RECENT }, every: 5000 });
  useEffect(() => {
    if (accepted) jobs.refresh();
  }, [accepted]);
  return html`
    <${Panel} title="Recent jobs" flush actions=${html`<a class="small" href="#/jobs">All jobs</a>`}>
      ${jobs.error && !jobs.data && html`<${Problem} error=${jobs.error} retry=${jobs.refresh} />`}
      <${Table} label="Recent jobs" columns=${RECENT_COLUMNS} rows=${jobs.data?.data || []} loading=${jobs.loading}
        href=${(job) => `#/jobs/${job.id}`}
        empty=${html`<${Empty} title="No jobs yet" icon="jobs">Send a photo, and it stands here.<//>`} />
    <//>`;
}
