// Who is signed in here. The key itself is sent once and kept nowhere; what stays is a cookie that scripts cannot read.

import { api, connection } from "./api.js";
import { useEffect, useState } from "./lib/preact.js";

let current = undefined; // undefined: not known yet; null: nobody
let ended = false; // there was a session, and it is over
const listeners = new Set();

connection.lost = () => {
  if (!current) return;
  ended = true;
  become(null);
};

function become(next) {
  current = next;
  connection.csrf = next && next.csrf;
  connection.acting = next && next.acting;
  for (const listener of listeners) listener();
}

function sessionOf(document, acting = null) {
  const scopes = new Set(document.scopes);
  if (scopes.has("operate")) scopes.add("operate:read");
  return { ...document, scopes, acting, may: (scope) => scopes.has(scope) };
}

/** Find out whether the cookie is good; throws where the API does not answer. */
export async function load() {
  const document = await api.get("/v1/session", { query: { optional: true } });
  become(document && sessionOf(document));
}

/** Exchange an API key for a session. Throws ApiError. */
export async function signIn(key) {
  const document = await api.post("/v1/session", { key });
  ended = false;
  become(sessionOf(document));
}

export async function signOut() {
  try {
    await api.delete("/v1/session");
  } catch (error) {
    if (error.status !== 401) throw error; // it was over already
  }
  ended = false;
  become(null);
}

/** Look at, and act for, another tenant; null: the key's own. */
export function actFor(tenant) {
  become({ ...current, acting: tenant });
}

/** {session, ended}: undefined while unknown, null for nobody. */
export function useSession() {
  const [, changed] = useState(0);
  useEffect(() => {
    const listener = () => changed((n) => n + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return { session: current, ended };
}
