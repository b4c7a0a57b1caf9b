// sleep.mjs - timers: for a while, until an instant, several at once, in the past.
//
// SPDX-License-Identifier: Apache-2.0
function* naps(ctx) {
  const began = yield* ctx.date.now();
  yield* ctx.sleep(400);
  const first = yield* ctx.date.now();
  yield* ctx.sleep({ until: new Date(first + 300) });
  const second = yield* ctx.date.now();
  yield* ctx.sleep({ for: 0 });
  yield* ctx.sleep({ until: new Date(1) });
  return { first: first - began >= 400, second: second - first >= 300 };
}

function* nap(ctx, ms) {
  yield* ctx.sleep(ms);
  return ms;
}

// Eight at once last about as long as one, far from as long as all, also on a busy machine.
function* together(ctx) {
  const began = yield* ctx.date.now();
  const all = [];
  for (let i = 0; i < 8; i++) all.push(yield* ctx.beginRun(nap, 1200));
  let sum = 0;
  for (const one of all) sum += yield* one;
  const took = (yield* ctx.date.now()) - began;
  return { sum, together: took >= 1200 && took < 8 * 1200 };
}

export function register(resonate) {
  resonate.register("sleep.naps", naps);
  resonate.register("sleep.together", together);
}

export async function main(resonate, id) {
  const [naps, together] = await Promise.all([
    resonate.run(`${id}-naps`, "sleep.naps"),
    resonate.run(`${id}-together`, "sleep.together"),
  ]);
  return { naps, together };
}
