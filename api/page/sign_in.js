// The way in: an API key, which becomes a session.

import { html, useEffect, useRef, useState } from "./lib/preact.js";
import { Button, Field, Mark } from "./parts/index.js";
import { signIn } from "./session.js";

const REASONS = {
  key_invalid: "This key is unknown or revoked.",
  key_missing: "Enter a key.",
};

export function SignIn({ ended }) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const input = useRef(null);
  useEffect(() => {
    document.title = "Sign in · Millrace";
    input.current.focus();
  }, []);
  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await signIn(key.trim());
    } catch (refusal) {
      setError(REASONS[refusal.code] || refusal.detail);
      setBusy(false);
      input.current.focus();
    }
  }
  return html`
    <main class="sign-in">
      <form onSubmit=${submit}>
        <div class="stack tight">
          <span class="mark"><${Mark} size=${28} /></span>
          <h1>Sign in to Millrace</h1>
          ${!ended && html`<p class="muted">With an API key. This browser keeps a session, not the key.</p>`}
        </div>
        ${ended && !error && html`<p class="note"
          role="status">Your session has ended. Sign in to go on where you were.</p>`}
        <${Field} label="API key" error=${error}>
          ${(id, described) => html`
            <input id=${id} class="input mono" type="password" name="key" autocomplete="current-password"
              spellcheck="false" required placeholder="mk_…"
              ref=${input} value=${key} aria-invalid=${error ? "true" : undefined} aria-describedby=${described}
              onInput=${(event) => setKey(event.currentTarget.value)} />`}
        <//>
        <${Button} type="submit" tone="primary" busy=${busy}>Sign in<//>
      </form>
    </main>`;
}
