// Which template, and what is changed of it.

import { html, useId } from "../lib/preact.js";
import { Field } from "./controls.js";
import { Tag } from "./states.js";

export function TemplateChoice({ templates, chosen, onChoose }) {
  const group = useId();
  return html`
    <fieldset class="choices">
      <legend class="visually-hidden">Template</legend>
      ${templates.map(
        (template) => html`
          <label key=${template.name} class="choice">
            <input type="radio" name=${group} checked=${template.name === chosen}
              onChange=${() => onChoose(template.name)} />
            <span>
              <span class="row"><strong>${template.name}</strong>${!template.shipped &&
                html`<${Tag}>yours · version ${template.version}<//>`}</span>
              <span class="muted">${template.description}</span>
            </span>
          </label>`,
      )}
    </fieldset>`;
}

/** Fields for what the template lets change; `texts` has what was typed, by name; empty is the default. */
export function Overrides({ template, texts, onText, flaws }) {
  const names = Object.keys(template.overrides);
  if (names.length === 0) return null;
  return html`
    <div class="overrides">
      ${names.map((name) => {
        const override = template.overrides[name];
        const flaw = flaws.find((one) => one.pointer === `/with/${name}` || one.pointer.startsWith(`/with/${name}/`));
        const text = texts[name] || "";
        const error =
          flaw?.detail || (text && valueOf(override, text) === undefined ? `has to be ${kindOf(override)}` : null);
        return html`
          <${Field} key=${name} label=${name} hint=${override.description} error=${error}>
            ${(id, described) => control(override, { id, described, text, onText: (next) => onText(name, next),
              error })}
          <//>`;
      })}
    </div>`;
}

function control(override, { id, described, text, onText, error }) {
  const invalid = error ? "true" : undefined;
  const values = override.type === "boolean" ? [true, false] : override.enum;
  if (values && !override.max_items) {
    return html`
      <select id=${id} class="input" aria-describedby=${described} aria-invalid=${invalid}
        onChange=${(event) => onText(event.currentTarget.value)}>
        <option value="" selected=${text === ""}>${shown(override.default)}</option>
        ${values.map((value) => html`<option key=${String(value)} value=${String(value)}
          selected=${text === String(value)}>${String(value)}</option>`)}
      </select>`;
  }
  const numeric = !override.max_items && override.type !== "string";
  return html`
    <input id=${id} class="input" type="text" inputmode=${numeric ? "decimal" : undefined} spellcheck="false"
      autocomplete="off" placeholder=${shown(override.default)} value=${text}
      aria-describedby=${described} aria-invalid=${invalid} onInput=${(event) => onText(event.currentTarget.value)} />`;
}

const shown = (value) => (value === null ? "default" : Array.isArray(value) ? value.join(", ") : String(value));

function kindOf(override) {
  const one = { integer: "a whole number", number: "a number", boolean: "true or false", string: "text" }[
    override.type
  ];
  const range = override.minimum === null ? "" : ` from ${override.minimum} to ${override.maximum}`;
  return override.max_items ? `up to ${override.max_items} values with commas, each ${one}${range}` : `${one}${range}`;
}

/** The typed text as the override's value; undefined if it cannot be one. */
function valueOf(override, text) {
  if (!override.max_items) return scalar(override, text.trim());
  const values = text.split(",").map((part) => scalar(override, part.trim()));
  return values.includes(undefined) ? undefined : values;
}

function scalar(override, text) {
  if (override.type === "boolean") return { true: true, false: false }[text];
  if (override.type === "string") return text;
  const value = text === "" ? NaN : Number(text);
  if (!Number.isFinite(value) || (override.type === "integer" && !Number.isInteger(value))) return undefined;
  return value;
}

/** The job's document for a template: what was left empty stays the template's. */
export function documentOf(template, texts) {
  const changes = {};
  for (const [name, override] of Object.entries(template.overrides)) {
    const value = texts[name] ? valueOf(override, texts[name]) : undefined;
    if (value !== undefined) changes[name] = value;
  }
  return Object.keys(changes).length ? { template: template.name, with: changes } : { template: template.name };
}

/** Whether something was typed that cannot be sent. */
export function hasFlaw(template, texts) {
  return Object.entries(template.overrides).some(
    ([name, override]) => texts[name] && valueOf(override, texts[name]) === undefined,
  );
}
