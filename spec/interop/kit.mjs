// kit.mjs - what the programs of this folder share: a client of the SDK that says when it is connected, and one way to
// show any value.
//
// Here:    connect(), show(), say(), ledger(). Everything else the programs say in the SDK's own words.
// May not: change or reach into the SDK.
//
// SPDX-License-Identifier: Apache-2.0
import { appendFileSync } from "node:fs";
import { Resonate } from "@resonatehq/sdk";

// A client (or worker) of the server at `url`; without url the SDK's own server in this process. Resolves once messages
// can reach it: what is sent to a group before anybody is there comes only with the next round.
export async function connect({ url, group, pid, ttl, Client = Resonate }) {
  const quiet = () => {};
  let resonate;
  const connected = new Promise((resolve) => {
    const logger = {
      debug: quiet,
      info: (fields, text) => {
        if (text === "adapter connected") resolve();
        if (text === "adapter reconnected") say({ reconnected: fields.attempt });
      },
      warn: (fields, text) => process.stderr.write(`warn ${JSON.stringify(fields)} ${text}\n`),
      error: (fields, text) => process.stderr.write(`error ${JSON.stringify(fields)} ${text}\n`),
    };
    resonate = new Client({ url, group, pid, ttl, logger });
  });
  if (url) await connected;
  return resonate;
}

// One line on stdout, JSON.
export function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

// A line in a file outside of the server: who ran what, whatever died later.
export function ledger(line) {
  appendFileSync(process.env.LEDGER, `${line}\n`);
}

// A value as JSON, with what JSON has no word for; keys sorted.
export function show(value) {
  if (value === undefined) return { $: "undefined" };
  if (typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))) {
    return { $: Object.is(value, -0) ? "-0" : String(value) };
  }
  if (typeof value === "string" && value.length > 200) return { $: "string", length: value.length, begins: value.slice(0, 8) };
  if (value instanceof AggregateError) {
    return { $: "AggregateError", name: value.name, message: value.message, errors: value.errors.map(show) };
  }
  if (value instanceof Error) return { $: "Error", name: value.name, message: value.message };
  if (Array.isArray(value)) return value.map(show);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.keys(value).sort().map((key) => [key, show(value[key])]));
  }
  return value;
}

// What a promise comes to: {value} or {error}.
export async function outcome(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    return { error };
  }
}

// The base64 of JSON, as the SDK writes the data of a promise.
export function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64");
}

// Asks until `probe` answers something true.
export async function until(probe) {
  for (;;) {
    const got = await probe();
    if (got) return got;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
