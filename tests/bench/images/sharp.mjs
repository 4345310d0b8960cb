// node sharp.mjs WAY FORMAT EFFORT ROUNDS SIZES FILE FOLDER: makes the variants ROUNDS times; prints a JSON line of figures.
// `usual` is what sharp's documentation shows: a clone per size. `tuned` decodes once, makes the smaller from the larger
// and leaves out what costs time without showing: optimised Huffman tables, full chroma in AVIF.
import { readFileSync, writeFileSync } from "node:fs";
import sharp from "sharp";

const [way, format, effort, rounds, sizes, file, folder] = process.argv.slice(2);
const SIZES = sizes.split(",").map(Number);
const QUALITY = { jpeg: 80, webp: 80, avif: 60 };

sharp.concurrency(1);
sharp.cache(false);

function encoded(image) {
  switch (format) {
    case "jpeg":
      return image.jpeg({ quality: QUALITY.jpeg, optimiseCoding: way === "usual" });
    case "webp":
      return image.webp({ quality: QUALITY.webp, effort: Number(effort) });
    case "png":
      return image.png({ compressionLevel: Number(effort) });
    case "avif":
      return image.avif({
        quality: QUALITY.avif,
        effort: Number(effort),
        chromaSubsampling: way === "usual" ? "4:4:4" : "4:2:0", // ours is 4:2:0, too
      });
  }
}

async function usual(data) {
  const image = sharp(data);
  return Promise.all(SIZES.map((width) => encoded(image.clone().resize(width)).toBuffer()));
}

async function tuned(data) {
  const made = [];
  let image = sharp(data);
  for (const width of SIZES) {
    const raw = await image.resize(width).raw().toBuffer({ resolveWithObject: true });
    image = sharp(raw.data, { raw: { width: raw.info.width, height: raw.info.height, channels: raw.info.channels } });
    made.push(await encoded(image.clone()).toBuffer());
  }
  return made;
}

const make = way === "usual" ? usual : tuned;
const data = readFileSync(file);
let made = await make(data);
const cpu = [];
const wall = [];
for (let round = 0; round < Number(rounds); round++) {
  const [began, used] = [performance.now(), process.cpuUsage()];
  made = await make(readFileSync(file));
  const spent = process.cpuUsage(used);
  cpu.push((spent.user + spent.system) / 1000);
  wall.push(performance.now() - began);
}
made.forEach((bytes, index) => writeFileSync(`${folder}/${SIZES[index]}.${format}`, bytes));
console.log(JSON.stringify({ cpu, wall, peak_mib: process.resourceUsage().maxRSS / 1024 }));
