// concurrency.mjs - what a workflow begins and does not wait for has ended before the workflow has.
//
// SPDX-License-Identifier: Apache-2.0
import { outcome } from "../kit.mjs";

async function slow(_ctx, ms) {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return ms;
}

function* begins(ctx, there) {
  const options = ctx.options({ target: there });
  const remote = yield* ctx.beginRpc("concurrency.slow", 150, options);
  const local = yield* ctx.beginRun(slow, 100);
  const below = yield* ctx.beginRun(beginsBelow, there);
  return [remote.id, local.id, below.id];
}

function* beginsBelow(ctx, there) {
  yield* ctx.beginRpc("concurrency.slow", 250, ctx.options({ target: there }));
  return "below";
}

// Fails at once, while something it began is under way.
function* fails(ctx, there) {
  yield* ctx.beginRpc("concurrency.slow", 200, ctx.options({ target: there }));
  throw new Error("at once");
}

// All of them under way together, awaited in the order of their beginning.
function* fans(ctx, n, there) {
  const calls = [];
  for (let i = 0; i < n; i++) {
    calls.push(i % 2 ? yield* ctx.beginRun(slow, 10 * (n - i)) : yield* ctx.beginRpc("concurrency.slow", 10 * (n - i), ctx.options({ target: there })));
  }
  const got = [];
  for (const call of calls) got.push(yield* call);
  return got;
}

export function register(resonate) {
  for (const f of [slow, begins, fails, fans]) resonate.register(`concurrency.${f.name}`, f);
}

export async function main(resonate, id, there) {
  const states = async (ids) => Promise.all(ids.map(async (one) => [one, (await resonate.promises.get(one)).state]));
  const begun = await resonate.run(`${id}-begins`, "concurrency.begins", there);
  const after = await states([...begun, `${begun[2]}.0`]);
  const failed = await outcome(resonate.run(`${id}-fails`, "concurrency.fails", there));
  const afterFailure = await states([`${id}-fails:0`]);
  const fan = await resonate.run(`${id}-fans`, "concurrency.fans", 12, there);
  return { after, failed, afterFailure, fan };
}
