// One webhook: how it does, what was sent to it, what was answered, and sending it again.

import { html, useState } from "../lib/preact.js";
import { usePages, usePoll } from "../live.js";
import { WebhookActions, redeliver, stateOf } from "../parts/operator_hooks.js";
import { mayAct } from "../parts/operator_rights.js";
import { Until } from "../parts/operator_until.js";
import { Age, Button, Duration, Empty, Facts, Id, Json, Page, Panel, Problem, Select, Skeleton, State, Table, clock } from "../parts/index.js";
import { link, replaceQuery } from "../router.js";

const STATES = [["", "Any state"], ...["pending", "delivered", "failed", "canceled"].map((one) => [one, one])];

export default function Webhook({ params, session }) {
  const { data, error, loading, refresh } = usePoll(`/v1/webhooks/${params.id}`);
  if (loading) return html`<${Page} title="Webhook"><${Skeleton} rows=${8} /><//>`;
  if (!data) return html`<${Page} title="Webhook"><${Problem} error=${error} retry=${refresh} /><//>`;
  const may = mayAct(session);
  return html`
    <${Page} title="Webhook" sub=${data.url} actions=${may && html`<${WebhookActions} webhook=${data} refresh=${refresh} />`}>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <${Panel} title="How it does"><${Facts} of=${facts(data)} /><//>
      <${Deliveries} id=${data.id} state=${params.state ?? ""} act=${may && data.enabled} />
    <//>
  `;
}

function facts(webhook) {
  return [
    ["state", html`<${State} of=${stateOf(webhook)} />`],
    ["events", webhook.events.join(", ")],
    ["description", webhook.description],
    ["disabled", webhook.disabled_at && html`<span>${webhook.disabled_reason} <span class="muted">(<${Age} at=${webhook.disabled_at} />)</span></span>`],
    ["failing since", webhook.failing_since && html`<${Age} at=${webhook.failing_since} />`],
    ["last taken", webhook.delivered_at ? html`<${Age} at=${webhook.delivered_at} />` : "never"],
    ["id", html`<${Id} of=${webhook.id} />`],
  ].filter(([, value]) => value);
}

function Deliveries({ id, state, act }) {
  const { rows, more, loadMore, error, loading, refresh } = usePages(`/v1/webhooks/${id}/deliveries`, { query: { state } });
  const [chosen, setChosen] = useState(null);
  const shown = rows.find((one) => one.id === chosen);
  const columns = columnsFor(chosen, setChosen, act && ((one) => redeliver(one, refresh)));
  return html`
    <${Panel} title="Deliveries, newest first" actions=${html`<${Select} label="State" hideLabel value=${state} onChange=${(wanted) => replaceQuery({ state: wanted })} options=${STATES} />`} flush>
      ${error && html`<div class="op-pad"><${Problem} error=${error} retry=${refresh} /></div>`}
      <${Table} label="Deliveries" columns=${columns} rows=${rows} loading=${loading} empty=${html`<${Empty} title="No deliveries">${state ? `None is ${state}.` : "Nothing has happened that it names."}<//>`} />
      ${more && html`<div class="op-more"><${Button} tone="quiet" onClick=${loadMore}>Show earlier deliveries<//></div>`}
    <//>
    ${shown && html`<${Chosen} delivery=${shown} close=${() => setChosen(null)} />`}
  `;
}

function columnsFor(chosen, choose, again) {
  return [
    { name: "type", label: "Message", width: "140px", cell: (one) => html`<span>${one.type}</span>` },
    { name: "job", label: "Job", width: "150px", cell: (one) => (one.job ? html`<${Id} of=${one.job} href=${link(`/jobs/${one.job}`)} />` : html`<span class="muted">–</span>`) },
    { name: "state", label: "State", width: "108px", cell: (one) => html`<${State} of=${one.state} />` },
    { name: "answer", label: "Last answer", cell: (one) => html`<${Answer} delivery=${one} />` },
    { name: "tries", label: "Tries", align: "end", width: "60px", hide: "narrow", cell: (one) => one.tries },
    { name: "next", label: "Next try", align: "end", width: "104px", hide: "narrow", cell: (one) => html`<${Until} at=${one.next_at} />` },
    { name: "happened", label: "Happened", align: "end", width: "96px", cell: (one) => html`<${Age} at=${one.happened_at} />` },
    {
      name: "act",
      label: html`<span class="visually-hidden">Actions</span>`,
      align: "end",
      width: again ? "184px" : "84px",
      cell: (one) => html`
        <span class="row op-act">
          <${Button} small tone="quiet" onClick=${() => choose(chosen === one.id ? null : one.id)}>${chosen === one.id ? "Close" : "Tries"}<span class="visually-hidden"> of ${one.id}</span><//>
          ${again && html`<${Button} small icon="retry" onClick=${() => again(one)}>Redeliver<span class="visually-hidden"> ${one.id}</span><//>`}
        </span>
      `,
    },
  ];
}

function Answer({ delivery }) {
  const last = delivery.log.at(-1);
  if (!last) return html`<span class="muted">not tried yet</span>`;
  const words = last.error ?? `it answered ${last.status}`;
  return html`<span class="clip ${last.error ? "bad" : ""}" title=${words}>${words}</span>`;
}

function Chosen({ delivery, close }) {
  const { data, error } = usePoll(`/v1/webhooks/${delivery.webhook}/deliveries/${delivery.id}`, { every: 10_000 });
  return html`
    <${Panel} title=${`Tries of a ${delivery.type} message`} sub=${delivery.message_id} actions=${html`<${Button} tone="quiet" onClick=${close}>Close<//>`}>
      <div class="stack">
        <ol class="op-tries">
          ${delivery.log.map(
            (one) => html`
              <li key=${one.at}>
                <span class="num">${clock(one.at)}</span><${State} of=${one.error ? "failed" : "delivered"} />
                <span>${one.error ?? `it answered ${one.status}`}</span><span class="muted num"><${Duration} seconds=${one.seconds} /></span>
              </li>
            `,
          )}
          ${!delivery.log.length && html`<li class="muted">It has not been tried yet.</li>`}
        </ol>
        ${error && html`<${Problem} error=${error} />`}
        ${data?.payload && html`<${Json} value=${data.payload} label="What is sent" />`}
      </div>
    <//>
  `;
}
