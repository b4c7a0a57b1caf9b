// detached.mjs - a call that outlives its caller: the caller ends first, the call later.
//
// SPDX-License-Identifier: Apache-2.0
import { encode } from "../kit.mjs";

function* child(ctx) {
  const gate = yield* ctx.promise();
  return `opened: ${yield* gate}`;
}

function* parent(ctx, there) {
  const call = yield* ctx.detached("detached.child", ctx.options({ target: there }));
  return call.id;
}

export function register(resonate) {
  resonate.register("detached.child", child);
  resonate.register("detached.parent", parent);
}

export async function main(resonate, id, there) {
  const called = await resonate.run(id, "detached.parent", there);
  const state = (await resonate.promises.get(called)).state;
  const handle = await resonate.get(called);
  const gate = `${called}.0`;
  for (;;) {
    // The gate is there once the child has come so far.
    const got = await resonate.promises.resolve(gate, { data: encode("gladly") }).catch((error) => error);
    if (got.state) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { called, state, result: await handle.result() };
}
