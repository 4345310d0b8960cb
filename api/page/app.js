// The page: finds out who is signed in, and shows the view that the address names.

import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./lib/preact.js";
import { Button, Dialogs, Empty, Page, Problem, Skeleton, Toasts } from "./parts/index.js";
import { match, usePlace } from "./router.js";
import { load, useSession } from "./session.js";
import { Shell } from "./shell.js";
import { SignIn } from "./sign_in.js";
import { views } from "./views/index.js";

function App() {
  const { session, ended } = useSession();
  const [error, setError] = useState(null);
  useEffect(() => void begin(setError), []);
  if (session === undefined) {
    if (!error) return html`<div class="sign-in" aria-busy="true"></div>`;
    return html`<main class="main"><${Problem} error=${error} retry=${() => begin(setError)} /></main>`;
  }
  if (session === null) return html`<${SignIn} ended=${ended} />`;
  return html`<${Signed} session=${session} />`;
}

async function begin(setError) {
  setError(null);
  try {
    await load();
  } catch (error) {
    setError(error);
  }
}

function Signed({ session }) {
  const place = usePlace();
  const found = match(views, place.path);
  const main = useRef(null);
  const first = useRef(true);
  useEffect(() => {
    scrollTo(0, 0);
    if (!first.current) main.current?.focus({ preventScroll: true }); // screen readers begin with the new view
    first.current = false;
  }, [place.path]);
  useEffect(() => {
    document.title = found ? `${found.view.title} · Millrace` : "Millrace";
  }, [found?.view]);
  return html`
    <${Shell} session=${session} current=${found?.view} main=${main}>
      ${found ? html`<${Guarded} key=${`${place.path} ${session.acting}`} session=${session} view=${found.view}
        params=${{ ...place.query, ...found.params }} />` : html`<${Nowhere} />`}
    <//>
    <${Dialogs} />
    <${Toasts} />`;
}

function Guarded({ session, view, params }) {
  const [error, again] = useErrorBoundary((thrown) => console.error(thrown));
  if (view.scope && !session.may(view.scope)) {
    return html`<${Page} title=${view.title}>
      <${Empty} title="Your key may not see this" icon="lock">It needs the scope <code>${view.scope}</code>.<//>
    <//>`;
  }
  if (error) {
    return html`<${Page} title=${view.title}>
      <${Empty} title="This view has failed" icon="alert">
        <p>${String(error.message || error)}</p>
        <${Button} onClick=${again}>Try again<//>
      <//>
    <//>`;
  }
  return html`<${Loaded} session=${session} view=${view} params=${params} />`;
}

const loaded = new Map(); // view → component

function Loaded({ session, view, params }) {
  const [state, set] = useState({ View: loaded.get(view), error: null });
  useEffect(() => {
    if (state.View) return;
    view.load().then(
      (module) => {
        loaded.set(view, module.default);
        set({ View: module.default, error: null });
      },
      (error) => set({ View: null, error }),
    );
  }, [view]);
  useEffect(() => {
    if (state.View) document.querySelector("main")?.setAttribute("data-ready", view.path);
    return () => document.querySelector("main")?.removeAttribute("data-ready");
  }, [state.View]);
  if (state.error) {
    return html`<${Page} title=${view.title}>
      <${Empty} title="This part of the page could not be loaded" icon="alert">
        <p>Perhaps the platform has just been updated.</p>
        <${Button} onClick=${() => location.reload()}>Load the page again<//>
      <//>
    <//>`;
  }
  if (!state.View) return html`<${Page} title=${view.title}><${Skeleton} rows=${6} /><//>`;
  return html`<${state.View} params=${params} session=${session} />`;
}

function Nowhere() {
  return html`<${Page} title="Nothing here">
    <${Empty} title="There is no such view" icon="alert"><a href="#/">Go to the start</a><//>
  <//>`;
}

render(html`<${App} />`, document.getElementById("app"));
