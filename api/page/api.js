// The HTTP API as the page calls it: JSON in and out, errors with their code, the session's token where it is needed.

// The page may stand behind a proxy's prefix: everything is asked for beside it.
const HERE = new URL(".", document.baseURI).pathname;
const UNSAFE = new Set(["POST", "PUT", "PATCH", "DELETE"]);
const OF_A_TENANT = /^\/v1\/(jobs|dead-letters|schedules|webhooks|audit)(?=[/?]|$)/;

// Set by session.js: the token against forged requests, the tenant acted for, and what happens without a session.
export const connection = { csrf: null, acting: null, lost: () => {} };

/** Why the API refused, or that it did not answer (`status` 0). `errors` point at places in what was sent. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || "the request failed");
    this.status = status;
    this.code = problem.code || "unknown";
    this.detail = this.message;
    this.errors = problem.errors || [];
  }
}

/** The address of a path of the API, with its query and the tenant that is acted for. */
export function address(path, query = null) {
  const at = new URL(path.replace(/^\//, ""), new URL(HERE, location.origin));
  for (const [name, value] of Object.entries(query || {})) {
    if (value !== null && value !== undefined && value !== "") at.searchParams.set(name, value);
  }
  if (connection.acting && OF_A_TENANT.test(path)) at.searchParams.set("tenant", connection.acting);
  return at.pathname.replace(/^\/+/, "/") + at.search; // two slashes would name another host
}

/** The address here of a link that stands in one of the API's documents, whatever host it names. */
export function href(link) {
  const at = new URL(link, location.origin);
  const path = at.pathname.slice(Math.max(at.pathname.indexOf("/v1/"), 0));
  return address(path, Object.fromEntries(at.searchParams));
}

async function ask(method, path, body, { query = null, signal = undefined, headers = {} } = {}) {
  const sent = { method, signal, credentials: "same-origin", headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    sent.body = JSON.stringify(body);
    sent.headers["Content-Type"] ??= "application/json";
  }
  if (UNSAFE.has(method) && connection.csrf) sent.headers["X-CSRF-Token"] = connection.csrf;
  let answer;
  try {
    answer = await fetch(address(path, query), sent);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (!answer.ok) throw refused(answer.status, await problemOf(answer), path);
  return answer.status === 204 ? null : answer.json();
}

export function unreachable() {
  return new ApiError(0, { code: "unreachable", detail: "The API does not answer. It is asked again." });
}

/** The error for an answer; without a session the page goes to sign-in, but for the session's own requests. */
export function refused(status, problem, path) {
  if (status === 401 && path !== "/v1/session") connection.lost();
  return new ApiError(status, problem);
}

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return { code: `http_${answer.status}`, detail: `The API answered with status ${answer.status}.` };
  }
}

export const api = {
  get: (path, options) => ask("GET", path, undefined, options),
  post: (path, body, options) => ask("POST", path, body, options),
  put: (path, body, options) => ask("PUT", path, body, options),
  patch: (path, body, options) => ask("PATCH", path, body, options),
  delete: (path, options) => ask("DELETE", path, undefined, options),
  href,
};
