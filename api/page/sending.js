// Photos that were dropped, and the jobs that were made of them: kept while the page is open, whatever view is shown.

import { address, connection, refused, unreachable } from "./api.js";
import { useEffect, useState } from "./lib/preact.js";

const AT_ONCE = 2; // files under way
const TRIES = 3;
const MOST_SHOWN = 60; // jobs that are remembered here
const PAUSE = 1000; // ms before another try

let photos = []; // chosen, and not sent yet
// Newest first: {id, name, url, state: "waiting" | "sending" | "accepted" | "refused", share, job, error}.
let sent = [];
let number = 0;
const listeners = new Set();

function changed() {
  for (const listener of listeners) listener();
}

export function useSending() {
  const [, set] = useState(0);
  useEffect(() => {
    const listener = () => set((n) => n + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return { photos, sent };
}

export function addPhotos(files) {
  photos = [...photos, ...[...files].map((file) => ({ id: (number += 1), file, url: URL.createObjectURL(file) }))];
  changed();
}

export function removePhoto(photo) {
  photos = photos.filter((other) => other !== photo);
  URL.revokeObjectURL(photo.url);
  changed();
}

export function forgetSent() {
  forget(sent.filter(isOver));
  changed();
}

function forget(some) {
  for (const { url } of some) if (url) URL.revokeObjectURL(url);
  sent = sent.filter((one) => !some.includes(one));
}

const isOver = (one) => one.state === "accepted" || one.state === "refused";

/**
 * Submit a document once for each chosen photo, or alone. The first goes ahead: if its document is flawed, the photos
 * stay where they are, and the error is thrown. Later errors stand at their photo.
 */
export async function submit(document) {
  const chosen = photos.length ? photos : [{ file: null, url: null }];
  const entries = chosen.map(({ file, url }) => ({
    id: (number += 1),
    file,
    url,
    document,
    key: newKey(),
    name: file ? file.name : nameOf(document),
    state: "waiting",
    share: 0,
    job: null,
    error: null,
  }));
  const before = photos;
  photos = [];
  sent = [...entries, ...sent];
  forget(sent.slice(MOST_SHOWN).filter(isOver));
  changed();
  try {
    await deliver(entries[0]);
  } catch (error) {
    sent = sent.filter((one) => !entries.includes(one));
    photos = [...before, ...photos];
    changed();
    throw error;
  }
  const rest = entries.slice(1);
  const lane = async () => {
    for (let one = rest.shift(); one; one = rest.shift()) await attempt(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

/** Once more, with the same key: what has arrived after all makes no second job. */
export const again = (one) => attempt(one);

async function attempt(one) {
  try {
    await deliver(one);
  } catch (error) {
    change(one, { state: "refused", error });
  }
}

async function deliver(one) {
  for (let left = TRIES - 1; ; left -= 1) {
    change(one, { state: "sending", share: 0, error: null });
    try {
      const job = await post(one, (share) => change(one, { share }));
      change(one, { state: "accepted", share: 1, job, file: null });
      return;
    } catch (error) {
      if (left === 0 || (error.status !== 0 && error.status !== 503)) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/** By XMLHttpRequest, since fetch tells nothing of how far a body has come. */
function post(one, told) {
  const request = new XMLHttpRequest();
  request.open("POST", address("/v1/jobs"));
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("Idempotency-Key", one.key);
  if (connection.csrf) request.setRequestHeader("X-CSRF-Token", connection.csrf);
  request.upload.addEventListener("progress", (event) => event.lengthComputable && told(event.loaded / event.total));
  return new Promise((resolve, reject) => {
    request.addEventListener("error", () => reject(unreachable()));
    request.addEventListener("load", () => {
      const answer = parsed(request.responseText);
      if (request.status >= 200 && request.status < 300) resolve(answer);
      else reject(refused(request.status, answer || { code: `http_${request.status}` }, "/v1/jobs"));
    });
    if (!one.file) request.setRequestHeader("Content-Type", "application/json");
    request.send(one.file ? form(one) : JSON.stringify(one.document));
  });
}

/** The part `job` goes first, so that its flaws are told before the file is sent. */
function form(one) {
  const parts = new FormData();
  parts.append("job", new Blob([JSON.stringify(one.document)], { type: "application/json" }));
  parts.append("file", one.file, one.file.name);
  return parts;
}

function change(one, changes) {
  Object.assign(one, changes);
  changed();
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function newKey() {
  const random = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is missing where the page comes by plain http
  return `page-${[...random].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

const nameOf = (document) => document.template || Object.keys(document.steps || {}).join(", ") || "job";
