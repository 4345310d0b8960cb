// Where photos come in: dropped anywhere on the page, chosen by a click, or pasted.

import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { Icon } from "./icons.js";
import { bytes } from "./numbers.js";

export function Drop({ photos, onFiles, onRemove }) {
  const over = useDropped(onFiles);
  const input = useRef(null);
  function chosen(event) {
    onFiles(event.currentTarget.files);
    event.currentTarget.value = ""; // so that the same file can be chosen again
  }
  return html`
    <div class=${`drop${over ? " over" : ""}${photos.length ? " some" : ""}`}>
      <label class="drop-zone">
        <input class="visually-hidden" type="file" multiple accept="image/*,.heic,.heif,.avif,.pdf" ref=${input}
          onChange=${chosen} />
        <${Icon} name="picture" size=${20} />
        <span><strong>Drop photos here</strong>, choose or paste them</span>
        <span class="muted small">JPEG, PNG, WebP, GIF, TIFF, AVIF, HEIC, PDF</span>
      </label>
      ${photos.length > 0 && html`<ul class="photos" aria-label="Photos to send">${photos.map((photo) => html`<${Photo}
        key=${photo.id} photo=${photo} onRemove=${onRemove} />`)}</ul>`}
    </div>`;
}

function Photo({ photo, onRemove }) {
  return html`
    <li>
      <${Thumb} src=${photo.url} />
      <span class="clip" title=${photo.file.name}>${photo.file.name}</span>
      <span class="muted num">${bytes(photo.file.size)}</span>
      <button class="icon-button" type="button" aria-label=${`Remove ${photo.file.name}`}
        onClick=${() => onRemove(photo)}><${Icon} name="close" /></button>
    </li>`;
}

/** A small picture, or a sign for one that this browser cannot show. */
export function Thumb({ src, size = 28, alt = "" }) {
  const [broken, set] = useState(false);
  useEffect(() => set(false), [src]);
  return html`
    <span class="thumb" style=${{ width: `${size}px`, height: `${size}px` }}>
      ${src && !broken ? html`<img src=${src} alt=${alt} width=${size} height=${size} decoding="async"
        onError=${() => set(true)} />` : html`<${Icon} name="picture" />`}
    </span>`;
}

/** Files that are dropped anywhere, or pasted; returns whether some are held over the page now. */
function useDropped(onFiles) {
  const [over, set] = useState(false);
  const take = useRef(onFiles);
  take.current = onFiles;
  useEffect(() => {
    const handlers = {
      dragover(event) {
        if (!holdsFiles(event.dataTransfer)) return;
        event.preventDefault();
        event.dataTransfer.dropEffect = "copy";
        set(true);
      },
      dragleave(event) {
        if (event.relatedTarget === null) set(false); // it has left the window
      },
      drop(event) {
        set(false);
        if (!holdsFiles(event.dataTransfer)) return;
        event.preventDefault();
        take.current(event.dataTransfer.files);
      },
      paste(event) {
        if (event.clipboardData?.files.length) take.current(event.clipboardData.files);
      },
    };
    for (const [name, handler] of Object.entries(handlers)) addEventListener(name, handler);
    return () => {
      for (const [name, handler] of Object.entries(handlers)) removeEventListener(name, handler);
    };
  }, []);
  return over;
}

const holdsFiles = (transfer) => [...(transfer?.types || [])].includes("Files");
