// Reads lines of JSON and answers each with a line: "accepted", or "refused" and why.
//
//   {"secret": "whsec_…", "headers": {…}, "body": base64}        with the reference verifier of Standard Webhooks
//   {"public_key": "whpk_…", "headers": {…}, "body": base64}     with Node's own crypto: the reference knows no ed25519
//   … "now": seconds                                             as if it were then

import { createPublicKey, verify as signed } from "node:crypto";
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

const clock = Date.now;

function verifyHmac({ secret, headers, body }) {
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64"), headers);
  } catch (error) {
    // It parses the body once the signature has been found right: what is no JSON is still what was signed.
    if (!(error instanceof SyntaxError)) throw error;
  }
}

function verifyEd25519({ public_key: text, headers, body }) {
  const raw = Buffer.from(text.slice("whpk_".length), "base64");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
  const start = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`;
  const content = Buffer.concat([Buffer.from(start), Buffer.from(body, "base64")]);
  const signatures = headers["webhook-signature"].split(" ").map((one) => one.split(","));
  const matches = ([version, bytes]) => version === "v1a" && signed(null, content, key, Buffer.from(bytes, "base64"));
  if (!signatures.some(matches)) throw new Error("No matching signature found");
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  Date.now = "now" in asked ? () => asked.now * 1000 : clock;
  try {
    "public_key" in asked ? verifyEd25519(asked) : verifyHmac(asked);
    console.log("accepted");
  } catch (error) {
    console.log(`refused ${error.message}`);
  }
}
