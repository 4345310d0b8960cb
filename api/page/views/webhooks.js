// The webhooks of a tenant, and how they do.

import { html } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { stateOf } from "../parts/operator_hooks.js";
import { TenantSelect } from "../parts/operator_tenants.js";
import { Age, Empty, Page, Panel, Problem, State, Table, count } from "../parts/index.js";
import { link } from "../router.js";

export default function Webhooks({ session }) {
  const { data, error, loading, refresh } = usePoll("/v1/webhooks");
  const rows = data?.data ?? [];
  return html`
    <${Page} title="Webhooks" sub=${`Of ${session.acting ?? session.tenant.name}: who is told when jobs end`}>
      <div class="row wrap op-filters"><${TenantSelect} session=${session} /></div>
      ${error && html`<${Problem} error=${error} retry=${refresh} />`}
      <${Panel} title=${loading ? "Newest first" : `${count(rows.length)} ${rows.length === 1 ? "webhook" : "webhooks"}`} flush>
        <${Table}
          label="Webhooks"
          columns=${COLUMNS}
          rows=${rows}
          href=${(webhook) => link(`/webhooks/${webhook.id}`)}
          loading=${loading}
          empty=${html`<${Empty} title="No webhooks">They are made with <code>POST /v1/webhooks</code> or <code>millrace webhooks create</code>.<//>`}
        />
      <//>
    <//>
  `;
}

const COLUMNS = [
  { name: "url", label: "To", cell: (one) => html`<span class="clip" title=${one.url}>${one.url}</span>` },
  { name: "state", label: "State", width: "104px", cell: (one) => html`<${State} of=${stateOf(one)} />` },
  { name: "events", label: "Events", width: "260px", hide: "narrow", cell: (one) => html`<span class="clip" title=${one.events.join(", ")}>${one.events.join(", ")}</span>` },
  { name: "description", label: "Description", width: "150px", hide: "narrow", cell: (one) => html`<span class="clip muted" title=${one.description}>${one.description}</span>` },
  { name: "failing", label: "Failing for", align: "end", width: "104px", cell: (one) => html`<${Age} at=${one.failing_since} suffix="" />` },
  { name: "delivered", label: "Last taken", align: "end", width: "104px", cell: (one) => html`<${Age} at=${one.delivered_at} />` },
];
