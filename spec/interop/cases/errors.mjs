// errors.mjs - what is thrown arrives as what it was, over processes, and can be caught where it is awaited.
//
// SPDX-License-Identifier: Apache-2.0
import { Never } from "@resonatehq/sdk";
import { outcome } from "../kit.mjs";

class OwnError extends Error {
  constructor(message) {
    super(message);
    this.name = "OwnError";
    this.extra = "is not carried";
  }
}

const thrown = {
  error: () => new Error("plain"),
  type: () => new TypeError("of a type"),
  own: () => new OwnError("own"),
  empty: () => new Error(""),
  aggregate: () => new AggregateError([new Error("one"), new RangeError("two"), "three"], "several"),
  string: () => "a string",
  object: () => ({ code: 7, nested: { error: new Error("inside") } }),
  undefined: () => undefined,
  unicode: () => new Error("日本 \u0000 \u{1F600} \"quoted\"\n"),
};

function throws(_ctx, kind) {
  throw thrown[kind]();
}

function* catches(ctx, kind, there) {
  const got = {};
  for (const [name, call] of [
    ["run", () => ctx.run("errors.throws", kind, ctx.options({ retryPolicy: new Never() }))],
    ["rpc", () => ctx.rpc("errors.throws", kind, ctx.options({ target: there, retryPolicy: new Never() }))],
  ]) {
    try {
      yield* call();
      got[name] = "not thrown";
    } catch (error) {
      got[name] = error;
    }
  }
  return got;
}

// Not caught: it is what becomes of the workflow.
function* passes(ctx, kind, there) {
  return yield* ctx.rpc("errors.throws", kind, ctx.options({ target: there, retryPolicy: new Never() }));
}

function* late(ctx) {
  yield* ctx.sleep(100000);
}

export function register(resonate) {
  for (const f of [throws, catches, passes, late]) resonate.register(`errors.${f.name}`, f);
}

export async function main(resonate, id, there) {
  const kinds = Object.keys(thrown);
  const each = async (f) => Object.fromEntries(await Promise.all(kinds.map(async (kind) => [kind, await f(kind)])));
  const canceled = await resonate.beginRun(`${id}-canceled`, "errors.late");
  await resonate.promises.cancel(`${id}-canceled`);
  return {
    client: await each((kind) => outcome(resonate.rpc(`${id}-rpc-${kind}`, "errors.throws", kind,
      resonate.options({ target: there, retryPolicy: new Never() })))),
    caught: await each((kind) => resonate.run(`${id}-catches-${kind}`, "errors.catches", kind, there)),
    passed: await outcome(resonate.run(`${id}-passes`, "errors.passes", "own", there)),
    canceled: await outcome(canceled.result()),
    timedOut: await outcome(resonate.run(`${id}-late`, "errors.late", resonate.options({ timeout: 200 }))),
    unregistered: await outcome(resonate.run(`${id}-unregistered`, "errors.nobody")),
  };
}
