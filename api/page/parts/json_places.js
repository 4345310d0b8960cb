// Where in a JSON text its values stand: so that what is wrong with one is said beside it.

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SCALAR = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;
const DEEPEST = 64;

/**
 * {value, places, flaw} of a text: `places` leads from JSON pointers to offsets (of a member its name's); `flaw` is
 * {offset, detail} of the first place that is no JSON, and null if there is none.
 */
export function readPlaces(text) {
  const reading = { text, at: 0, places: new Map(), depth: 0 };
  try {
    readValue(reading, "");
    skip(reading);
    if (reading.at < text.length) refuse(reading, "there is something after the document's end");
    return { value: JSON.parse(text), places: reading.places, flaw: null };
  } catch (error) {
    if (!(error instanceof Flaw)) throw error;
    return { value: undefined, places: reading.places, flaw: { offset: error.offset, detail: error.message } };
  }
}

class Flaw extends Error {
  constructor(offset, detail) {
    super(detail);
    this.offset = offset;
  }
}

function refuse(reading, detail) {
  throw new Flaw(reading.at, detail);
}

function take(reading, pattern) {
  pattern.lastIndex = reading.at;
  const found = pattern.exec(reading.text);
  if (!found) return null;
  reading.at += found[0].length;
  return found[0];
}

const skip = (reading) => take(reading, SPACE);

function readValue(reading, pointer) {
  skip(reading);
  if (!reading.places.has(pointer)) reading.places.set(pointer, reading.at);
  const first = reading.text[reading.at];
  if (first === "{") return readMembers(reading, pointer);
  if (first === "[") return readElements(reading, pointer);
  if (first === '"') return void (take(reading, STRING) ?? refuse(reading, "this text does not end in its line"));
  if (first === undefined) return refuse(reading, "the document ends too early");
  return void (
    take(reading, SCALAR) ??
    refuse(reading, "here has to stand a value: text in double quotes, a number, true, false, null, { or [")
  );
}

function readMembers(reading, pointer) {
  inside(reading, "}", () => {
    const at = reading.at;
    const name = take(reading, STRING);
    if (name === null) refuse(reading, "here has to stand a name in double quotes");
    const member = `${pointer}/${JSON.parse(name).replaceAll("~", "~0").replaceAll("/", "~1")}`;
    if (reading.places.has(member)) {
      reading.at = at;
      refuse(reading, `${name} stands here twice`);
    }
    reading.places.set(member, at);
    skip(reading);
    if (reading.text[reading.at] !== ":") refuse(reading, "a colon is missing");
    reading.at += 1;
    readValue(reading, member);
  });
}

function readElements(reading, pointer) {
  let index = 0;
  inside(reading, "]", () => readValue(reading, `${pointer}/${index++}`));
}

/** What stands between two brackets, with commas between. */
function inside(reading, end, readOne) {
  if ((reading.depth += 1) > DEEPEST) refuse(reading, "this is nested too deeply");
  reading.at += 1;
  skip(reading);
  while (reading.text[reading.at] !== end) {
    readOne();
    skip(reading);
    if (reading.text[reading.at] === end) break;
    if (reading.text[reading.at] !== ",") refuse(reading, `a comma or ${end} is missing`);
    reading.at += 1;
    skip(reading);
    if (reading.text[reading.at] === end) refuse(reading, "a comma too many");
  }
  reading.at += 1;
  reading.depth -= 1;
}

/** The offset of a pointer's place, or of the nearest place around it that is there. */
export function placeOf(places, pointer) {
  let near = pointer;
  while (near && !places.has(near)) near = near.slice(0, near.lastIndexOf("/"));
  return places.get(near) ?? 0;
}

/** The line of an offset, from 0. */
export function lineOf(text, offset) {
  let line = 0;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line += 1;
  return line;
}
