// What comes up over the page: questions, and short news.

import { html, useEffect, useId, useRef, useState } from "../lib/preact.js";
import { Icon } from "./icons.js";

const SHOWN = 5000; // ms that good news stays; bad news stays until it is put away
let questions = [];
let news = [];
let number = 0;
const listeners = new Set();

function changed() {
  for (const listener of listeners) listener();
}

function useChanges() {
  const [, set] = useState(0);
  useEffect(() => {
    const listener = () => set((n) => n + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
}

/** Ask before something is done; resolves to true or false. With `field.match` that text has to be typed first. */
export function confirm({ title, body = null, action = "OK", danger = false, field = null }) {
  return new Promise((resolve) => {
    const question = { id: (number += 1), title, body, action, danger, field };
    question.answer = (agreed) => {
      questions = questions.filter((other) => other !== question);
      changed();
      resolve(agreed);
    };
    questions = [...questions, question];
    changed();
  });
}

/** Tell something shortly: tone ok, bad or none. */
export function toast(text, { tone = "" } = {}) {
  const one = { id: (number += 1), text, tone };
  news = [...news, one].slice(-4);
  changed();
  if (tone !== "bad") setTimeout(() => putAway(one), SHOWN);
}

function putAway(one) {
  news = news.filter((other) => other !== one);
  changed();
}

/** Where questions come up; stands once in the page. */
export function Dialogs() {
  useChanges();
  return questions.map((question) => html`<${Question} key=${question.id} question=${question} />`);
}

export function Toasts() {
  useChanges();
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${news.map(
        (one) => html`
          <div key=${one.id} class=${`toast ${one.tone}`}>
            <${Icon} name=${one.tone === "bad" ? "alert" : "check"} />
            <span>${one.text}</span>
            <button class="icon-button" type="button" aria-label="Put away" onClick=${() => putAway(one)}><${Icon}
              name="close" /></button>
          </div>`,
      )}
    </div>`;
}

function Question({ question }) {
  const { title, body, action, danger, field, answer } = question;
  const [typed, type] = useState("");
  const id = useId();
  const ready = !field || typed === field.match;
  function submit(event) {
    event.preventDefault();
    if (ready) answer(true);
  }
  return html`
    <${Dialog} title=${title} onClose=${() => answer(false)}>
      <form class="stack" onSubmit=${submit}>
        ${body && html`<div class="muted">${body}</div>`}
        ${
          field &&
          html`<div class="field">
          <label for=${id}>${field.label}</label>
          <input id=${id} class="input mono" autocomplete="off" spellcheck="false" placeholder=${field.placeholder}
            value=${typed} onInput=${(event) => type(event.currentTarget.value)} />
        </div>`
        }
        <div class="actions">
          <button class="button" type="button" onClick=${() => answer(false)}>Cancel</button>
          <button class=${`button ${danger ? "danger" : "primary"}`} type="submit" disabled=${!ready}
            autofocus=${!field}>${action}</button>
        </div>
      </form>
    <//>`;
}

/** A dialog over the page, by the browser's own element: the rest is inert, Esc closes it, focus comes back. */
export function Dialog({ title, onClose, children, actions = null, wide = false }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element.showModal();
    return () => {
      element.close();
      if (before?.isConnected) before.focus();
    };
  }, []);
  function canceled(event) {
    event.preventDefault();
    onClose();
  }
  return html`
    <dialog class=${wide ? "wide" : ""} ref=${dialog} aria-labelledby=${id} onCancel=${canceled}
      onMouseDown=${(event) => event.target === dialog.current && onClose()}>
      <div class="dialog">
        <div class="spread">
          <h2 id=${id}>${title}</h2>
          <button class="icon-button" type="button" aria-label="Close" onClick=${onClose}><${Icon}
            name="close" /></button>
        </div>
        ${children}
        ${actions && html`<div class="actions">${actions}</div>`}
      </div>
    </dialog>`;
}
