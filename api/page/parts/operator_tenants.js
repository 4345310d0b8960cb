// Whose jobs, schedules, webhooks and dead letters are looked at: operators may look at any tenant's.

import { html } from "../lib/preact.js";
import { usePoll } from "../live.js";
import { actFor } from "../session.js";
import { mayWatch } from "./operator_rights.js";
import { Select } from "./index.js";

const EVERY = 60_000;

/** A choice of tenants; nothing for those who see only their own. */
export function TenantSelect({ session }) {
  const { data } = usePoll(mayWatch(session) ? "/v1/tenants" : null, { every: EVERY });
  if (!mayWatch(session) || !data) return null;
  const names = [...new Set([session.tenant.name, ...data.data.map((tenant) => tenant.name)])];
  const options = names.map((name) => [name, name === session.tenant.name ? `${name} (yours)` : name]);
  return html`<${Select} label="Tenant" value=${session.acting ?? session.tenant.name} onChange=${(name) => lookAt(session, name)} options=${options} />`;
}

/** A link to what belongs to a tenant, which is then the one looked at. */
export function TenantLink({ session, tenant, href, children, ...more }) {
  return html`<a href=${href} onClick=${() => lookAt(session, tenant)} ...${more}>${children}</a>`;
}

function lookAt(session, name) {
  const wanted = !name || name === session.tenant.name ? null : name;
  if (wanted !== (session.acting ?? null)) actFor(wanted);
}
