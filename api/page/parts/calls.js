// The same as one does here, as a line for the shell and as a program.

import { html, useState } from "../lib/preact.js";
import { Code } from "./page.js";
import { Tabs } from "./controls.js";

const AUTHORIZED = '-H "Authorization: Bearer $KEY"';
const here = () => new URL(".", document.baseURI).href.replace(/\/$/, "");

/** Shell and Python for submitting a document, with a file of this name or none. */
export function SubmitCall({ document, filename }) {
  return html`<${Calls} name="submit" curl=${submitByCurl(document, filename)}
    python=${submitByPython(document, filename)} />`;
}

/** Shell and Python for reading a job and fetching what it has made. */
export function ReadCall({ job, outputs }) {
  return html`<${Calls} name="read" curl=${readByCurl(job, outputs)} python=${readByPython(job)} />`;
}

function Calls({ name, curl, python }) {
  const [kind, choose] = useState("curl");
  const tabs = [
    { name: `${name}-curl`, label: "curl" },
    { name: `${name}-python`, label: "Python" },
  ];
  const current = `${name}-${kind}`;
  return html`
    <div class="stack tight">
      <${Tabs} label="Language" tabs=${tabs} current=${current}
        onChange=${(chosen) => choose(chosen.slice(name.length + 1))} />
      <div role="tabpanel" id=${`panel-${current}`} aria-labelledby=${`tab-${current}`}>
        <${Code} text=${kind === "curl" ? curl : python} label=${kind === "curl" ? "shell command" : "Python program"}
          wrap />
      </div>
    </div>`;
}

function submitByCurl(document, filename) {
  const head = `export API=${here()} KEY=mk_…\n\ncurl "$API/v1/jobs" ${AUTHORIZED} \\\n`;
  const json = JSON.stringify(document);
  if (filename === null) return `${head}  -H 'Content-Type: application/json' \\\n  -d ${quoted(json)}`;
  const escaped = filename.replace(/[\\"]/g, "\\$&"); // curl reads @"…" so
  const job = `job=${json.replace(/;/g, "\\u003b")};type=application/json`; // a semicolon ends what curl sends
  return `${head}  -F ${quoted(job)} \\\n  -F ${quoted(`file=@"${escaped}"`)}`;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function submitByPython(document, filename) {
  const given = filename === null ? [] : [`file=Path(${python(filename)})`];
  if (document.template && Object.keys(document).every((name) => name === "template" || name === "with")) {
    given.push(`template=${python(document.template)}`);
    if (document.with) given.push(`overrides=${python(document.with)}`);
  } else {
    given.unshift(pythonBlock(document, "        "));
  }
  return `from pathlib import Path

from api.client import Millrace

with Millrace(${python(here())}, "mk_…") as millrace:
    job = millrace.submit(
${given.map((one) => `        ${one},`).join("\n")}
    )
    for output in millrace.wait(job.id).outputs:
        millrace.download(output, Path(output.name))`;
}

function readByCurl(job, outputs) {
  const lines = [
    `export API=${here()} KEY=mk_…`,
    "",
    `curl "$API/v1/jobs/${job.id}?wait=30" ${AUTHORIZED}`,
    `curl -N "$API/v1/jobs/${job.id}/events" ${AUTHORIZED}`,
  ];
  for (const { step, output } of outputs.slice(0, 3)) {
    const at = `$API/v1/jobs/${job.id}/outputs/${step}/${encodeURIComponent(output.name)}`;
    lines.push(`curl -o ${quoted(output.name)} "${at}" ${AUTHORIZED}`);
  }
  return lines.join("\n");
}

function readByPython(job) {
  return `from pathlib import Path

from api.client import Millrace

with Millrace(${python(here())}, "mk_…") as millrace:
    job = millrace.wait(${python(job.id)})
    print(job.state)
    for output in job.outputs:
        millrace.download(output, Path(output.name))`;
}

/** A JSON value as Python writes it. */
function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([name, one]) => `${JSON.stringify(name)}: ${python(one)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}

/** The same on several lines, where it is an object or a list of objects. */
function pythonBlock(value, indent) {
  const deep = `${indent}    `;
  if (Array.isArray(value) && value.some((one) => one && typeof one === "object")) {
    return `[\n${value.map((one) => `${deep}${pythonBlock(one, deep)},`).join("\n")}\n${indent}]`;
  }
  if (value && typeof value === "object" && !Array.isArray(value) && python(value).length > 72) {
    return `{\n${Object.entries(value)
      .map(([name, one]) => `${deep}${JSON.stringify(name)}: ${pythonBlock(one, deep)},`)
      .join("\n")}\n${indent}}`;
  }
  return python(value);
}
