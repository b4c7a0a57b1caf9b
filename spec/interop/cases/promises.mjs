// promises.mjs - promises that nobody's function settles: made by a workflow or by hand, settled from outside in every way.
//
// SPDX-License-Identifier: Apache-2.0
import { encode, outcome, until } from "../kit.mjs";

function* waits(ctx, options) {
  const promise = yield* ctx.promise(options);
  return yield* promise;
}

// Waits for several in an order that is not that of their ends.
function* waitsForAll(ctx) {
  const promises = [];
  for (let i = 0; i < 4; i++) promises.push(yield* ctx.promise());
  const got = [];
  for (const promise of promises) got.push(yield* promise);
  return got;
}

export function register(resonate) {
  resonate.register("promises.waits", waits);
  resonate.register("promises.waitsForAll", waitsForAll);
}

export async function main(resonate, id) {
  const { promises } = resonate;
  const there = (promise) => until(() => promises.get(promise).catch(() => null));
  const start = async (name, ...args) => {
    const handle = await resonate.beginRun(`${id}-${name}`, "promises.waits", ...args);
    return [outcome(handle.result()), await there(`${id}-${name}:0`)];
  };

  const [resolved, record] = await start("resolve", { data: { for: "me" }, tags: { colour: "red" } });
  await promises.resolve(`${id}-resolve:0`, { data: encode({ by: "hand" }) });
  const [rejected] = await start("reject", {});
  await promises.reject(`${id}-reject:0`, { data: encode({ __type: "error", message: "no", name: "RangeError" }) });
  const [canceled] = await start("cancel", {});
  await promises.cancel(`${id}-cancel:0`);
  const [timedOut] = await start("timeout", { timeout: 150 });
  // The SDK's own server notices only when it is asked.
  await until(async () => (await promises.get(`${id}-timeout:0`)).state !== "pending");

  const all = await resonate.beginRun(`${id}-all`, "promises.waitsForAll");
  await there(`${id}-all:3`);
  for (const n of [2, 0, 3, 1]) await promises.resolve(`${id}-all:${n}`, { data: encode(n) });

  // By hand alone.
  const far = Number.MAX_SAFE_INTEGER;
  const made = await promises.create(`${id}-made`, far, { data: "raw", headers: { a: "b" }, tags: { colour: "blue" } });
  const again = await promises.create(`${id}-made`, 5, { data: "other" });
  const settled = await promises.settle(`${id}-made`, "rejected", { data: "", headers: { c: "d" } });
  const late = await promises.resolve(`${id}-made`, { data: "late" });
  const dead = await promises.create(`${id}-dead`, 1);
  const missing = await outcome(promises.get(`${id}-missing`));
  const unsettled = await outcome(promises.resolve(`${id}-missing`));

  return {
    record: { state: record.state, scope: record.tags["resonate:scope"], colour: record.tags.colour, data: record.param.data },
    resolved: await resolved, rejected: await rejected, canceled: await canceled, timedOut: await timedOut,
    all: await all.result(),
    made: [made.state, made.param, made.timeoutAt === far, made.tags, made.settledAt],
    again: [again.param.data, again.createdAt === made.createdAt],
    settled: [settled.state, settled.value, settled.settledAt >= settled.createdAt],
    late: [late.state, late.value.data],
    dead: [dead.state, dead.createdAt, dead.settledAt],
    missing: [missing.error.code, missing.error.serverError.code],
    unsettled: unsettled.error.serverError.code,
  };
}
