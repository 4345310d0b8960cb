// What can be done with webhooks and with what is delivered to them.

import { api } from "../api.js";
import { html, useState } from "../lib/preact.js";
import { Button, Dialog, Select, confirm, count, toast } from "./index.js";

const SPANS = [
  ["3600", "the last hour"],
  ["86400", "the last day"],
  ["259200", "the last three days"],
  ["604800", "the last week"],
];
const STATES = [
  ["", "failed and canceled"],
  ["failed", "failed"],
  ["canceled", "canceled"],
  ["delivered", "delivered"],
  ["any", "all but pending ones"],
];

/** "enabled", "failing" or "disabled". */
export function stateOf(webhook) {
  if (!webhook.enabled) return "disabled";
  return webhook.failing_since ? "failing" : "active";
}

/** Test, redeliver many, and enable again where it was given up. */
export function WebhookActions({ webhook, refresh }) {
  const [asking, setAsking] = useState(false);
  return html`
    <span class="row">
      ${!webhook.enabled && html`<${Button} tone="primary" icon="play" onClick=${() => enable(webhook, refresh)}>Enable<//>`}
      <${Button} icon="retry" onClick=${() => setAsking(true)} disabled=${!webhook.enabled}>Redeliver<//>
      <${Button} onClick=${() => test(webhook, refresh)} disabled=${!webhook.enabled}>Send a test<//>
    </span>
    ${asking && html`<${Redeliver} webhook=${webhook} refresh=${refresh} close=${() => setAsking(false)} />`}
  `;
}

function Redeliver({ webhook, refresh, close }) {
  const [seconds, setSeconds] = useState(SPANS[1][0]);
  const [state, setState] = useState("");
  const send = async () => {
    const since = new Date(Date.now() - Number(seconds) * 1000).toISOString();
    const done = await api.post(`/v1/webhooks/${webhook.id}/redeliver`, state ? { since, state } : { since });
    toast(`${count(done.redelivering)} ${done.redelivering === 1 ? "message is" : "messages are"} sent again${done.more ? "; there are more, ask again for them" : ""}`);
    refresh();
    close();
  };
  return html`
    <${Dialog}
      title="Redeliver messages"
      onClose=${close}
      actions=${html`<${Button} onClick=${close}>Cancel<//><${Button} tone="primary" onClick=${send}>Send them again<//>`}
    >
      <div class="stack">
        <p>To <span class="mono small">${webhook.url}</span>, oldest first, at most 1,000 at once, each with the same webhook-id and body as before.</p>
        <div class="row wrap op-fields">
          <${Select} label="Of" value=${seconds} onChange=${setSeconds} options=${SPANS} />
          <${Select} label="Those that are" value=${state} onChange=${setState} options=${STATES} />
        </div>
      </div>
    <//>
  `;
}

async function test(webhook, refresh) {
  await api.post(`/v1/webhooks/${webhook.id}/test`);
  toast("A message of type webhook.test is on its way; see below what is answered");
  refresh();
}

async function enable(webhook, refresh) {
  const body = "What happens from now on is sent again. What happened meanwhile was not written; what failed before can be redelivered.";
  if (!(await confirm({ title: "Enable this webhook?", body, action: "Enable" }))) return;
  await api.patch(`/v1/webhooks/${webhook.id}`, { enabled: true });
  toast("The webhook is enabled");
  refresh();
}

/** Send one message again. */
export async function redeliver(delivery, refresh) {
  const again = delivery.state === "delivered" ? " It was delivered before." : "";
  const body = `The ${delivery.type} message is sent at once, with the same webhook-id and body.${again}`;
  if (!(await confirm({ title: "Redeliver this message?", body, action: "Redeliver" }))) return;
  await api.post(`/v1/webhooks/${delivery.webhook}/deliveries/${delivery.id}/redeliver`);
  toast("The message is sent again");
  refresh();
}
