// What is found in a job's document: the files that its steps made, and what was seen in its picture.

/** [{step, output}] of all steps, in their order. */
export function outputsOf(job) {
  return Object.entries(job.steps).flatMap(([step, { result }]) =>
    Array.isArray(result?.outputs)
      ? result.outputs.filter((output) => output?.href).map((output) => ({ step, output }))
      : [],
  );
}

const SHOWN = new Set([
  "image/jpeg",
  "image/png",
  "image/webp",
  "image/gif",
  "image/avif",
  "image/svg+xml",
  "image/bmp",
]);

/** Whether browsers show this content type as a picture. */
export const isPicture = (contentType) => SHOWN.has(contentType);

/** [{step, result}] of the steps that have looked at a picture. */
export function analysesOf(job) {
  return Object.entries(job.steps)
    .filter(([, step]) => step.kind === "image.analyze" && step.result?.picture)
    .map(([step, { result }]) => ({ step, result }));
}

/** What was seen, in a few words. */
export function seenIn(job) {
  const words = [];
  for (const { result } of analysesOf(job)) {
    words.push(...(result.labels || []).slice(0, 2).map((label) => label.name));
    if (result.faces?.length) words.push(result.faces.length === 1 ? "1 face" : `${result.faces.length} faces`);
    words.push(...new Set((result.objects || []).map((object) => object.name)));
  }
  return [...new Set(words)].slice(0, 4).join(", ");
}

export function contentOf(job) {
  return `/v1/jobs/${job.id}/input`;
}
