// recorded.mjs - what a workflow sees of time and chance is the same however often it runs again from its top.
//
// SPDX-License-Identifier: Apache-2.0
let tops = 0;

function* draws(ctx, there) {
  tops += 1;
  const now = yield* ctx.date.now();
  const chance = yield* ctx.math.random();
  const seen = yield* ctx.run(() => tops);
  for (let i = 0; i < 3; i++) yield* ctx.rpc("recorded.nothing", ctx.options({ target: there }));
  return { now, chance, seen };
}

function nothing() {}

export function register(resonate) {
  resonate.register("recorded.draws", draws);
  resonate.register("recorded.nothing", nothing);
}

export async function main(resonate, id, there) {
  const got = await resonate.run(id, "recorded.draws", there);
  const stored = async (n) => JSON.parse(atob((await resonate.promises.get(`${id}:${n}`)).value.data));
  return {
    ranAgain: tops > 1, seen: got.seen,
    now: got.now === (await stored(0)), chance: got.chance === (await stored(1)),
  };
}
