// A table of any length: only the rows near what is seen are in the document, and the page scrolls, not the table.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/preact.js";
import { Skeleton } from "./page.js";

const ROW = 36; // px, as --row
const BESIDE = 12; // rows kept above and below what is seen
const WHOLE = 60; // up to so many rows all of them stand there

const byId = (row) => row.id;

export function Table({
  label,
  columns,
  rows,
  id = byId,
  loading = false,
  empty = null,
  href = null,
  selected = null,
  onSelect = null,
  rowClass = null,
  onEnd = null,
}) {
  const body = useRef(null);
  const [from, to] = useWindow(body, rows.length);
  useEffect(() => {
    if (onEnd && to >= rows.length - BESIDE) onEnd();
  }, [to, rows.length]);
  if (loading) return html`<${Skeleton} rows=${6} height=${ROW} />`;
  if (rows.length === 0) return empty;
  const picks = selected && { selected, onSelect, ids: rows.map(id) };
  const width = columns.length + (picks ? 1 : 0);
  return html`
    <${Scrolling} label=${label}><table class="table" aria-rowcount=${rows.length + 1} aria-label=${label}>
      <${Columns} columns=${columns} picks=${picks} />
      <thead>
        <tr aria-rowindex="1">
          ${picks && html`<th class="pick" scope="col"><${PickAll} ...${picks} /></th>`}
          ${columns.map((column) => html`<th key=${column.name} scope="col"
            class=${classes(column)}>${column.label}</th>`)}
        </tr>
      </thead>
      <tbody ref=${body} onKeyDown=${walk}>
        ${from > 0 && html`<tr key=${`above ${from}`} class="space" aria-hidden="true"><td colspan=${width}
          style=${{ height: `${from * ROW}px` }}></td></tr>`}
        ${rows.slice(from, to).map((row, index) => html`<${Row} key=${id(row)} row=${row} id=${id(row)}
          at=${from + index + 2} columns=${columns} href=${href} picks=${picks} extra=${rowClass} />`)}
        ${to < rows.length && html`<tr key=${`below ${to}`} class="space" aria-hidden="true"><td colspan=${width}
          style=${{ height: `${(rows.length - to) * ROW}px` }}></td></tr>`}
      </tbody>
    </table><//>`;
}

/** A table may be wider than its card, on a small screen: then it scrolls, also by keyboard. */
function Scrolling({ label, children }) {
  const box = useRef(null);
  const [scrolls, setScrolls] = useState(false);
  useLayoutEffect(() => {
    const look = () => setScrolls(box.current.scrollWidth > box.current.clientWidth + 1);
    look();
    const watch = new ResizeObserver(look);
    watch.observe(box.current);
    watch.observe(box.current.firstElementChild);
    return () => watch.disconnect();
  }, []);
  const reached = scrolls ? { tabindex: 0, role: "region", "aria-label": label } : {};
  return html`<div ref=${box} class=${scrolls ? "table-box scrolls" : "table-box"} ...${reached}>${children}</div>`;
}

function Columns({ columns, picks }) {
  return html`
    <colgroup>
      ${picks && html`<col style=${{ width: "36px" }} />`}
      ${columns.map((column) => html`<col key=${column.name} class=${column.hide || ""}
        style=${column.width ? { width: column.width } : {}} />`)}
    </colgroup>`;
}

function Row({ row, id, at, columns, href, picks, extra }) {
  const target = href?.(row);
  function clicked(event) {
    if (
      !target ||
      event.defaultPrevented ||
      event.target.closest("a, button, input, label") ||
      getSelection().toString()
    )
      return;
    if (event.ctrlKey || event.metaKey) open(target, "_blank", "noopener");
    else location.hash = target;
  }
  return html`
    <tr class=${`${target ? "goes" : ""} ${extra?.(row) || ""}`} aria-rowindex=${at} onClick=${clicked}>
      ${picks && html`<td class="pick"><${Pick} id=${id} ...${picks} /></td>`}
      ${columns.map((column, index) => html`<td key=${column.name}
        class=${classes(column)}>${target && index === 0 ? html`<a class="row-link"
          href=${target}>${column.cell(row)}</a>` : column.cell(row)}</td>`)}
    </tr>`;
}

const classes = (column) => [column.align === "end" ? "end" : "", column.hide || ""].join(" ").trim();

function Pick({ id, selected, onSelect }) {
  function change(event) {
    const next = new Set(selected);
    if (event.currentTarget.checked) next.add(id);
    else next.delete(id);
    onSelect(next);
  }
  return html`<input type="checkbox" aria-label=${`Select ${id}`} checked=${selected.has(id)} onChange=${change} />`;
}

function PickAll({ ids, selected, onSelect }) {
  const all = ids.length > 0 && ids.every((id) => selected.has(id));
  return html`<input type="checkbox" aria-label="Select all" checked=${all}
    onChange=${() => onSelect(new Set(all ? [] : ids))} />`;
}

/** Arrow keys go from one row's link to the next. */
function walk(event) {
  const move = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const row = event.target.closest("tr");
  if (!move || !row || event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  const next = row[move]?.querySelector("a, button, input");
  if (!next) return;
  event.preventDefault();
  next.focus();
  next.closest("tr").scrollIntoView({ block: "nearest" });
}

/** Which rows to draw: from, to. Follows the page's scrolling and its size. */
function useWindow(body, length) {
  const [range, set] = useState([0, Math.min(length, WHOLE)]);
  const look = useRef(() => {});
  look.current = () => {
    const element = body.current;
    const next = element && length > WHOLE ? rangeOf(-element.getBoundingClientRect().top, length) : [0, length];
    set((before) => (before[0] === next[0] && before[1] === next[1] ? before : next));
  };
  useLayoutEffect(() => look.current(), [length]);
  useEffect(() => {
    let asked = 0;
    function moved() {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        look.current();
      });
    }
    addEventListener("scroll", moved, { passive: true });
    addEventListener("resize", moved);
    return () => {
      removeEventListener("scroll", moved);
      removeEventListener("resize", moved);
      cancelAnimationFrame(asked);
    };
  }, []);
  return [Math.min(range[0], length), Math.min(range[1], length)];
}

/** In steps of half of BESIDE, so that not every pixel draws anew. */
function rangeOf(above, length) {
  const step = BESIDE / 2;
  const first = Math.floor(Math.max(above, 0) / ROW / step) * step;
  const seen = Math.ceil(innerHeight / ROW);
  return [Math.max(first - BESIDE, 0), Math.min(first + seen + BESIDE + step, length)];
}
