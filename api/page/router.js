// Where one is: the hash of the address, "#/jobs/job_1?tab=logs", matched against the views' paths.

import { useEffect, useState } from "./lib/preact.js";

/** The place that the address names: {path, query}. */
export function here() {
  const [path, search = ""] = location.hash.replace(/^#/, "").split("?");
  return { path: path || "/", query: Object.fromEntries(new URLSearchParams(search)) };
}

/** What stands in href for a place. */
export function link(path, query = null) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query || {})) {
    if (value !== null && value !== undefined && value !== "") search.set(name, value);
  }
  const text = search.toString();
  return `#${path}${text ? `?${text}` : ""}`;
}

export function go(path, query = null) {
  location.hash = link(path, query);
}

/** Change some of the place's query, null removes; no step for the browser's way back. */
export function replaceQuery(changes) {
  const { path, query } = here();
  const target = link(path, { ...query, ...changes });
  if (target === location.hash) return;
  history.replaceState(null, "", target);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** The first view whose path fits, with its parameters; null if none does. */
export function match(views, path) {
  for (const view of views) {
    const params = fit(view.path, path);
    if (params) return { view, params };
  }
  return null;
}

function fit(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const params = {};
  for (const [index, part] of wanted.entries()) {
    if (part.startsWith(":")) params[part.slice(1)] = plain(given[index]);
    else if (part !== given[index]) return null;
  }
  return params;
}

function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function usePlace() {
  const [place, set] = useState(here);
  useEffect(() => {
    const moved = () => set(here());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return place;
}
