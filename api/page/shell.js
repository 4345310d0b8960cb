// What stands around every view: where one can go, who one is, light or dark.

import { useEffect, useState, html } from "./lib/preact.js";
import { Icon, IconButton, Mark, toast } from "./parts/index.js";
import { usePlace } from "./router.js";
import { actFor, signOut } from "./session.js";
import { nextTheme, useTheme } from "./themes.js";
import { views } from "./views/index.js";

export function Shell({ session, current, main, children }) {
  const [open, setOpen] = useState(false);
  const place = usePlace();
  useEffect(() => setOpen(false), [place.path]);
  return html`
    <div class="shell">
      <header class="chrome">
        <a class="skip" href="#main" onClick=${(event) => skip(event, main)}>Skip to the content</a>
        <div class="menu-bar">
          <${Brand} />
          <${IconButton} icon=${open ? "close" : "menu"} label="Menu" expanded=${open}
            onClick=${() => setOpen(!open)} />
        </div>
        <div class=${`sidebar${open ? " open" : ""}`}>
          <${Brand} />
          <${Navigation} session=${session} current=${current} />
          <${Account} session=${session} />
        </div>
      </header>
      <div>
        ${session.acting && html`<${Acting} name=${session.acting} session=${session} />`}
        <main class="main" id="main" tabindex="-1" ref=${main}>${children}</main>
      </div>
    </div>`;
}

function skip(event, main) {
  event.preventDefault(); // the hash is the place, not an anchor
  main.current.focus();
}

function Brand() {
  return html`<a class="brand" href="#/"><${Mark} />Millrace</a>`;
}

function Navigation({ session, current }) {
  const shown = views.filter((view) => view.nav && (!view.scope || session.may(view.scope)));
  const groups = session.may("operate:read") ? ["Operate", "Work"] : ["Work"];
  return html`
    <nav class="nav" aria-label="Views">
      ${groups.map(
        (group) => html`
          <div key=${group}>
            <h2 id=${`nav-${group}`}>${group}</h2>
            <ul aria-labelledby=${`nav-${group}`}>
              ${shown.filter((view) => view.nav.group === group).map((view) =>
                html`<${Entry} view=${view} current=${current} />`)}
            </ul>
          </div>`,
      )}
    </nav>`;
}

function Entry({ view, current }) {
  const within = current && (current === view || (view.path !== "/" && current.path.startsWith(`${view.path}/`)));
  return html`
    <li>
      <a href=${`#${view.path}`} aria-current=${within ? "page" : undefined}><${Icon}
        name=${view.nav.icon} />${view.nav.label}</a>
    </li>`;
}

function Account({ session }) {
  const [theme, choose] = useTheme();
  const role = session.may("operate") ? "operator" : session.may("operate:read") ? "watcher" : null;
  async function leave() {
    try {
      await signOut();
    } catch (error) {
      toast(error.detail, { tone: "bad" });
    }
  }
  return html`
    <div class="account">
      <div class="who">
        <strong class="clip" title=${session.tenant.name}>${session.tenant.name}</strong>
        <span class="muted small">key <span class="mono">${session.key.hint}…</span>${role && ` · ${role}`}</span>
      </div>
      <div class="row">
        <${IconButton} icon=${THEME_ICONS[theme]} label=${`Theme: ${theme}`}
          onClick=${() => choose(nextTheme(theme))} />
        <a class="icon-button" href="docs" title="API documentation" aria-label="API documentation"><${Icon}
          name="book" /></a>
        ${session.flower_url && html`<a class="icon-button" href=${session.flower_url} target="_blank" rel="noopener"
          title="Flower" aria-label="Flower, in a tab of its own"><${Icon} name="worker" /></a>`}
        <${IconButton} icon="leave" label="Sign out" onClick=${leave} />
      </div>
    </div>`;
}

const THEME_ICONS = { system: "screen", light: "sun", dark: "moon" };

function Acting({ name }) {
  return html`
    <div class="acting" role="status">
      <${Icon} name="alert" />
      <span>You see the tenant <strong>${name}</strong></span>
      <button class="button small" onClick=${() => actFor(null)}>Back to your own</button>
    </div>`;
}
