// guard.mjs - the SDK's own structural validators, asked about what the server said: one line of stdin each, "answer" or
// "message", the kind that was asked, a tab, the JSON. Says {"refused":} for each that they do not accept, then {"accepted":,
// "unknown":}, how many of each kind and status, and how many to questions of kinds that the SDK does not know.
//
//   node guard.mjs <lines
//
// SPDX-License-Identifier: Apache-2.0
import { text } from "node:stream/consumers";
import { isMessage, isResponse } from "@resonatehq/sdk";
import { say } from "./kit.mjs";

const knows = (kind) => isResponse({ kind, head: { corrId: "", status: 400, version: "" }, data: "" });
const accepted = {};
let unknown = 0;

// Not by readline, which would break lines at U+2028, too.
for (const line of (await text(process.stdin)).split("\n")) {
  if (line === "") continue;
  const tab = line.indexOf("\t");
  const [what, kind] = line.slice(0, tab).split(/ (.*)/s);
  if (what === "answer" && !knows(kind)) {
    unknown += 1;
    continue;
  }
  let value;
  try {
    value = JSON.parse(line.slice(tab + 1));
  } catch {
    // Refused below.
  }
  const fits = what === "message" ? isMessage(value) : isResponse(value) && value.kind === kind;
  if (!fits) {
    say({ refused: line.slice(0, 2000) });
  } else {
    const name = what === "message" ? `message ${value.kind}` : `${kind} ${value.head.status}`;
    accepted[name] = (accepted[name] ?? 0) + 1;
  }
}
say({ accepted, unknown });
