// Light or dark: the system's, until somebody chooses; the choice is kept in this browser.

import { useState } from "./lib/preact.js";

const ORDER = ["system", "light", "dark"];

export const nextTheme = (theme) => ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];

export function useTheme() {
  const [theme, set] = useState(document.documentElement.dataset.theme || "system");
  function choose(next) {
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    keep(next);
    set(next);
  }
  return [theme, choose];
}

function keep(theme) {
  try {
    if (theme === "system") localStorage.removeItem("millrace.theme");
    else localStorage.setItem("millrace.theme", theme);
  } catch {
    // storage is forbidden: the choice holds until the page is left
  }
}
