// Small drawings of numbers over time.

import { html } from "../lib/preact.js";

/** A line without axes; `label` says to screen readers what it shows. Points are oldest first; null is a gap. */
export function Sparkline({ points, label, width = 96, height = 24, tone = "accent" }) {
  const known = points.filter((point) => point !== null);
  const most = Math.max(...known, 0) || 1;
  const step = points.length > 1 ? width / (points.length - 1) : width;
  const y = (point) => (height - 2 - (point / most) * (height - 4)).toFixed(1);
  const line = points
    .map((point, index) =>
      point === null
        ? ""
        : `${index === 0 || points[index - 1] === null ? "M" : "L"}${(index * step).toFixed(1)} ${y(point)}`,
    )
    .join("");
  return html`
    <svg class=${`sparkline ${tone}`} width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img"
      aria-label=${label} preserveAspectRatio="none">
      ${known.length > 1 && known.length === points.length &&
        html`<path class="under" d=${`${line}L${width} ${height}L0 ${height}Z`} />`}
      <path class="line" d=${line} />
    </svg>`;
}

/** Bars over time, several series beside each other in each place: [{name, points, tone}]. */
export function Bars({ series, label, height = 64 }) {
  const places = Math.max(...series.map((one) => one.points.length), 1);
  const most = Math.max(...series.flatMap((one) => one.points), 0) || 1;
  const wide = 1 / series.length;
  return html`
    <svg class="bars" height=${height} viewBox=${`0 0 ${places} 1`} preserveAspectRatio="none" role="img"
      aria-label=${label}>
      ${series.map((one, which) =>
        one.points.map((point, index) => {
          const tall = point > 0 ? Math.max(point / most, 0.02) : 0;
          return html`<rect class=${one.tone || "accent"} x=${index + which * wide + 0.08} y=${1 - tall}
            width=${wide - 0.1} height=${tall}><title>${`${one.name}: ${point}`}</title></rect>`;
        }),
      )}
    </svg>`;
}

/** How much of it is there, as a bar. */
export function Meter({ value, max = 1, label, tone = "accent" }) {
  const share = max > 0 ? Math.min(Math.max(value / max, 0), 1) : 0;
  return html`
    <span class=${`meter ${tone}`} role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax=${max}
      aria-valuenow=${value}>
      <i style=${{ width: `${share * 100}%` }}></i>
    </span>`;
}

/** How far it has come, 0 to 1; null: nobody knows. */
export function Progress({ value, label, tone = "accent" }) {
  const now = value === null ? undefined : Math.round(value * 100);
  return html`
    <span class=${`meter ${tone}${value === null ? " unknown" : ""}`} role="progressbar" aria-label=${label}
      aria-valuemin="0" aria-valuemax="100" aria-valuenow=${now}>
      <i style=${{ width: value === null ? "30%" : `${value * 100}%` }}></i>
    </span>`;
}
