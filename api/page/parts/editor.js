// A JSON document to write, with what is wrong said at the end of its line.

import { html, useId, useMemo, useRef } from "../lib/preact.js";
import { lineOf, placeOf, readPlaces } from "./json_places.js";

const LEAST_LINES = 14;

/** `flaws` are the API's: [{pointer, detail}]. What is no JSON at all is told while one writes. */
export function Editor({ label, value, onInput, flaws }) {
  const area = useRef(null);
  const id = useId();
  const told = useMemo(() => placed(value, flaws), [value, flaws]);
  const lines = value.split("\n");
  const wide = Math.max(...lines.map((line) => line.length), 40) + 4;
  const byLine = Map.groupBy ? Map.groupBy(told, (flaw) => flaw.line) : grouped(told);
  function goTo(flaw) {
    area.current.focus();
    area.current.setSelectionRange(flaw.offset, flaw.offset);
  }
  return html`
    <div class="editor">
      <div class="editor-text">
        <ol class="editor-lines" aria-hidden="true">
          ${lines.map((line, index) => html`<li key=${index}
            class=${byLine.has(index) ? "flawed" : ""}>${index + 1}</li>`)}
        </ol>
        <div class="editor-page">
          <textarea id=${id} class="mono" aria-label=${label} aria-invalid=${told.length ? "true" : undefined}
            aria-describedby=${`${id}-flaws`}
            spellcheck="false" autocomplete="off" autocapitalize="off" wrap="off"
            cols=${wide} rows=${Math.max(lines.length, LEAST_LINES)}
            value=${value} ref=${area} onInput=${(event) => onInput(event.currentTarget.value)} />
          ${told.map((flaw) => html`<i key=${`${flaw.offset} ${flaw.detail}`} class="editor-mark mono"
            aria-hidden="true" style=${{ top: `${flaw.line * 18 + 8}px`, left: `calc(${flaw.column}ch + 12px)`,
              width: `${flaw.length}ch` }}></i>`)}
          ${[...byLine].map(
            ([line, flawsHere]) => html`
              <span key=${line} class="editor-flaw mono" aria-hidden="true"
                style=${{ top: `${line * 18 + 8}px`, left: `calc(${lines[line].length + 2}ch + 12px)` }}>
                ${flawsHere[0].detail}
              </span>`,
          )}
        </div>
      </div>
      <div id=${`${id}-flaws`} role="status">
        <ul class="editor-flaws">
          ${told.map(
            (flaw) => html`
              <li key=${`${flaw.offset} ${flaw.detail}`}>
                <button type="button" onClick=${() => goTo(flaw)}>Line ${flaw.line + 1}</button>
                <span>${flaw.pointer && html`<code>${flaw.pointer}</code> `}${flaw.detail}</span>
              </li>`,
          )}
        </ul>
      </div>
    </div>`;
}

function placed(text, flaws) {
  const { places, flaw } = readPlaces(text);
  if (flaw) return [{ pointer: null, detail: flaw.detail, ...spanOf(text, flaw.offset) }];
  return flaws.map(({ pointer, detail }) => ({ pointer, detail, ...spanOf(text, placeOf(places, pointer)) }));
}

/** Where it is for the eye: line, column and length of what stands there. */
function spanOf(text, offset) {
  const column = offset - (text.lastIndexOf("\n", offset - 1) + 1);
  const [token] = /^(?:"(?:[^"\\\n]|\\.)*"|[^\s,\]}]+|.)?/.exec(text.slice(offset));
  return { offset, line: lineOf(text, offset), column, length: Math.max(token.length, 1) };
}

function grouped(flaws) {
  const lines = new Map();
  for (const flaw of flaws) lines.set(flaw.line, [...(lines.get(flaw.line) || []), flaw]);
  return lines;
}
