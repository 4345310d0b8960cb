// What views are built of: headings, sections, lists of facts, and what stands there while nothing does.

import { html } from "../lib/preact.js";
import { Button, Copy } from "./controls.js";
import { Icon } from "./icons.js";

export function Page({ title, sub, actions, children }) {
  return html`
    <div class="page">
      <header class="page-head">
        <div class="page-title">
          <h1>${title}</h1>
          ${sub && html`<div class="muted">${sub}</div>`}
        </div>
        ${actions && html`<div class="row wrap page-actions">${actions}</div>`}
      </header>
      ${children}
    </div>`;
}

export function Panel({ title, sub, actions, children, flush = false }) {
  return html`
    <section class=${`panel${flush ? " flush" : ""}`}>
      ${
        (title || actions) &&
        html`<header>
        <div class="row">${title && html`<h2>${title}</h2>`}${sub && html`<span class="muted">${sub}</span>`}</div>
        ${actions && html`<div class="row">${actions}</div>`}
      </header>`
      }
      <div class="panel-body">${children}</div>
    </section>`;
}

export function Empty({ title, children, icon }) {
  return html`
    <div class="empty">
      ${icon && html`<${Icon} name=${icon} size=${20} />`}
      <p class="empty-title">${title}</p>
      ${children && html`<div class="muted">${children}</div>`}
    </div>`;
}

/** Holds the room of what is being loaded, so that nothing moves when it comes. */
export function Skeleton({ rows = 3, height = 36 }) {
  return html`
    <div class="skeleton" role="status" aria-label="Loading">
      ${Array.from({ length: rows }, (_, index) => html`<div key=${index} style=${{ height: `${height}px` }}><i
        style=${{ width: `${[72, 56, 64, 48][index % 4]}%` }}></i></div>`)}
    </div>`;
}

/** An error of the API, in its own words; `retry` asks again. */
export function Problem({ error, retry }) {
  return html`
    <div class="problem" role="alert">
      <${Icon} name="alert" />
      <div>
        <p>${error.detail || String(error.message || error)}</p>
        ${error.code && html`<p class="small muted">${error.status ? `${error.status} `
          : ""}<code>${error.code}</code></p>`}
      </div>
      ${retry && html`<${Button} onClick=${retry} small>Try again<//>`}
    </div>`;
}

/** of: [[name, what it is], …]; what is null is left out. */
export function Facts({ of }) {
  const known = of.filter(([, value]) => value !== null && value !== undefined);
  return html`<dl class="facts">${known.map(([name, value]) =>
    html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function Code({ text, label, wrap = false }) {
  return html`
    <div class="code">
      <pre class=${wrap ? "wrap" : ""} tabindex="0" role="region" aria-label=${label}><code>${text}</code></pre>
      <${Copy} text=${text} label=${`Copy ${label || ""}`.trim()} />
    </div>`;
}

export const Json = ({ value, label = "JSON" }) =>
  html`<${Code} text=${JSON.stringify(value, null, 2)} label=${label} />`;

/** An id by its last characters; all of it in the title. */
export function Id({ of, href }) {
  const at = of.indexOf("_");
  const short = of.length - at > 12 ? `${of.slice(0, at + 1)}…${of.slice(-6)}` : of;
  return href
    ? html`<a class="mono" href=${href} title=${of}>${short}</a>`
    : html`<span class="mono" title=${of}>${short}</span>`;
}
