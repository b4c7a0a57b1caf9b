// run.mjs - functions run by the client that starts them: plain ones, workflows, what is below them, and again by the
// same id.
//
// SPDX-License-Identifier: Apache-2.0
let runs = 0;

function count(_ctx, by) {
  runs += by;
  return runs;
}

function* leaf(ctx, n) {
  return [ctx.id, yield* ctx.run(async (inner) => [inner.id, n])];
}

function* tree(ctx, n) {
  const first = yield* ctx.run((_inner, m) => m + 1, n);
  const second = yield* ctx.run(leaf, first);
  return { id: ctx.id, origin: ctx.originId, parent: ctx.parentId, first, second, version: ctx.info.version };
}

export function register(resonate) {
  resonate.register("run.count", count);
  resonate.register("run.tree", tree);
}

export async function main(resonate, id) {
  const first = await resonate.run(`${id}-count`, "run.count", 5);
  const again = await resonate.run(`${id}-count`, "run.count", 7); // recorded, so it does not run
  const other = await resonate.run(`${id}-count2`, "run.count", 7);
  const handle = await resonate.beginRun(`${id}-tree`, "run.tree", 40);
  const got = await handle.result();
  const later = await (await resonate.get(`${id}-tree`)).result();
  return { first, again, other, handle: handle.id, done: await handle.done(), tree: got, later, runs };
}
