// Drawn for this page: lines of 1.5 on a grid of 16.

import { html } from "../lib/preact.js";

const PATHS = {
  alert: "M8 2.5 14 13H2L8 2.5ZM8 6.5v3M8 11.2v.1",
  audit: "M4 2.5h5.5L12.5 5.5v8h-8.5zM6 7h4.5M6 9.5h4.5",
  back: "M9.5 3.5 5 8l4.5 4.5",
  book: "M8 4.5C6.5 3.3 4.5 3 2.5 3v9c2 0 4 .3 5.5 1.5C9.5 12.3 11.5 12 13.5 12V3c-2 0-4 .3-5.5 1.5ZM8 4.5v9",
  cancel: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11ZM4.2 4.2l7.6 7.6",
  check: "m3 8.5 3.5 3.5L13 4.5",
  chevron: "m6 3.5 4.5 4.5L6 12.5",
  clock: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11ZM8 5v3.2l2.2 1.3",
  close: "m4 4 8 8M12 4l-8 8",
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  dead: "M3 3h10v10H3zM6 6l4 4M10 6l-4 4",
  down: "M8 2.5V10M4.5 7 8 10.5 11.5 7M3 13.5h10",
  file: "M4 2.5h5L12 5.5v8H4zM9 2.5v3h3",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  hook: "M5 6.5a3 3 0 1 1 4.3 2.7L7 12.5M8 5.5l2.5 4.5M4.5 8.5a3 3 0 1 0 3 4.2h4",
  jobs: "M2.5 4h11M2.5 8h11M2.5 12h7",
  key: "M10.5 2.5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8.2 7.8 3 13M5 11l1.5 1.5",
  leave: "M6.5 2.5h-4v11h4M6 8h7.5M10.5 5l3 3-3 3",
  link: "M6.5 9.5l3-3M7 4.5l1-1a3.2 3.2 0 0 1 4.5 4.5l-1 1M9 11.5l-1 1A3.2 3.2 0 0 1 3.5 8l1-1",
  lock: "M4 7h8v6.5H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5Z",
  more: "M3.5 8v.1M8 8v.1M12.5 8v.1",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  picture: "M2.5 3h11v10h-11zM2.5 11l3.5-3.5 3 3 1.5-1.5 3 3M10.5 6v.1",
  play: "M5 3.5v9l7.5-4.5z",
  plus: "M8 3v10M3 8h10",
  pool: "M2.5 3h4.5v4.5H2.5zM9 3h4.5v4.5H9zM2.5 9.5h4.5V13H2.5zM9 9.5h4.5V13H9z",
  pulse: "M1.5 8.5h3l2-5 3 9 2-4h3",
  queue: "M2.5 5v6M5.5 5v6M8.5 5v6M11 8h3.5M12.5 6l2 2-2 2",
  refresh: "M13 8a5 5 0 1 1-1.5-3.5M12 2v3H9",
  retry: "M3 8a5 5 0 1 0 1.5-3.5M4 2v3h3",
  screen: "M2 3h12v8H2zM5.5 13.5h5",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.3 10.3l3.2 3.2",
  stop: "M4 4h8v8H4z",
  sun:
    "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5Z" +
    "M8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  text: "M3 4V3h10v1M8 3v10M6 13h4",
  trash: "M3 4.5h10M6 4.5v-2h4v2M4.5 4.5l.5 9h6l.5-9",
  up: "M8 11V3.5M4.5 6.5 8 3l3.5 3.5M3 13.5h10",
  worker: "M3 3.5h10v9H3zM5.5 6.5h.1M5.5 9.5h.1M8 6.5h3M8 9.5h3",
};

/** A small picture beside a word; it says nothing by itself, so screen readers pass it over. */
export function Icon({ name, size = 16 }) {
  return html`
    <svg class="icon" width=${size} height=${size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d=${PATHS[name] || PATHS.alert} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round"
        stroke-linejoin="round" />
    </svg>`;
}

/** The sign of the platform: three streams of water. */
export function Mark({ size = 18 }) {
  return html`
    <svg width=${size} height=${size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path
        d="M3 8c4.3 0 4.3-4 8.7-4S16 8 20.3 8 24.7 4 29 4M3 18c4.3 0 4.3-4 8.7-4s4.3 4 8.6 4 4.4-4 8.7-4
          M3 28c4.3 0 4.3-4 8.7-4s4.3 4 8.6 4 4.4-4 8.7-4"
        fill="none" stroke="currentColor" stroke-width="3.4" stroke-linecap="round" />
    </svg>`;
}
