// What is clicked and typed into.

import { html, useEffect, useId, useRef, useState } from "../lib/preact.js";
import { toast } from "./dialogs.js";
import { Icon } from "./icons.js";

/** A button; while an async `onClick` is under way it is busy, and what it throws is told in a toast. */
export function Button({
  onClick,
  tone = "",
  icon,
  busy = false,
  disabled = false,
  title,
  type = "button",
  children,
  small = false,
}) {
  const [acting, act] = useBusy(onClick);
  const working = busy || acting;
  return html`
    <button class=${`button ${tone}${small ? " small" : ""}`} type=${type} title=${title} disabled=${disabled}
      aria-busy=${working ? "true" : undefined} onClick=${act}>
      ${icon && html`<${Icon} name=${icon} />`}${children}
    </button>`;
}

export function IconButton({ icon, label, onClick, disabled = false, expanded }) {
  const [acting, act] = useBusy(onClick);
  return html`
    <button class="icon-button" type="button" title=${label} aria-label=${label} aria-expanded=${expanded}
      disabled=${disabled} aria-busy=${acting ? "true" : undefined} onClick=${act}>
      <${Icon} name=${icon} />
    </button>`;
}

function useBusy(onClick) {
  const [acting, set] = useState(false);
  const there = useRef(true);
  useEffect(() => () => void (there.current = false), []);
  async function act(event) {
    if (acting || !onClick) return;
    const begun = onClick(event);
    if (!(begun instanceof Promise)) return;
    set(true);
    try {
      await begun;
    } catch (error) {
      toast(error.detail || String(error.message || error), { tone: "bad" });
    } finally {
      if (there.current) set(false);
    }
  }
  return [acting, act];
}

/** Puts a text on the clipboard. */
export function Copy({ text, label = "Copy" }) {
  const [done, set] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => set(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  async function copy() {
    await navigator.clipboard.writeText(text);
    set(true);
  }
  return html`<${IconButton} icon=${done ? "check" : "copy"} label=${done ? "Copied" : label} onClick=${copy} />`;
}

/** A filter by text; the key "/" goes to it. */
export function Filter({ value, onInput, label = "Filter", placeholder = label }) {
  const input = useRef(null);
  useEffect(() => {
    function pressed(event) {
      const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current?.focus();
    }
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  return html`
    <span class="filter">
      <${Icon} name="search" />
      <input class="input" type="search" aria-label=${label} placeholder=${placeholder} value=${value} ref=${input}
        spellcheck="false"
        onInput=${(event) => onInput(event.currentTarget.value)}
        onKeyDown=${(event) => event.key === "Escape" && event.currentTarget.blur()} />
      <kbd aria-hidden="true">/</kbd>
    </span>`;
}

/** options: [[value, text], …]. */
export function Select({ label, value, onChange, options, hideLabel = false }) {
  const id = useId();
  return html`
    <span class="select">
      <label for=${id} class=${hideLabel ? "visually-hidden" : "muted"}>${label}</label>
      <select id=${id} class="input" value=${value} onChange=${(event) => onChange(event.currentTarget.value)}>
        ${options.map(([one, text]) => html`<option key=${one} value=${one}
          selected=${one === value}>${text}</option>`)}
      </select>
    </span>`;
}

/** A labelled control: `children` is a function of its id and of the id that describes it (undefined: nothing does). */
export function Field({ label, hint, error, children }) {
  const id = useId();
  const described = error || hint ? `${id}-note` : undefined;
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${children(id, described)}
      ${error ? html`<p class="bad small" id=${described} role="alert">${error}</p>` : hint &&
        html`<p class="muted small" id=${described}>${hint}</p>`}
    </div>`;
}

export function Toggle({ label, on, onChange }) {
  return html`
    <label class="toggle">
      <input type="checkbox" role="switch" checked=${on} onChange=${(event) => onChange(event.currentTarget.checked)} />
      <span>${label}</span>
    </label>`;
}

/** Tabs by ARIA's pattern: arrows go from one to the next. The panels are the caller's, with id panel-NAME. */
export function Tabs({ label, tabs, current, onChange }) {
  const list = useRef(null);
  function pressed(event) {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    const at = tabs.findIndex((tab) => tab.name === current);
    const next = tabs[(at + move + tabs.length) % tabs.length].name;
    onChange(next);
    list.current.querySelector(`#tab-${CSS.escape(next)}`)?.focus();
  }
  return html`
    <div class="tabs" role="tablist" aria-label=${label} ref=${list} onKeyDown=${pressed}>
      ${tabs.map(
        (tab) => html`
          <button key=${tab.name} type="button" role="tab" id=${`tab-${tab.name}`}
            aria-selected=${tab.name === current ? "true" : "false"}
            aria-controls=${tab.name === current ? `panel-${tab.name}` : undefined} tabindex=${tab.name === current ? 0
              : -1} onClick=${() => onChange(tab.name)}>
            ${tab.label}${tab.count !== undefined && html`<span class="muted num">${tab.count}</span>`}
          </button>`,
      )}
    </div>`;
}
