// awaits.mjs - the SDK's other engine, whose workflows are async functions: all of its verbs once.
//
// SPDX-License-Identifier: Apache-2.0
import { Constant, Resonate } from "@resonatehq/sdk/async";
import { encode, outcome, until } from "../kit.mjs";

export const Client = Resonate;
export const group = "awaiters";

async function all(ctx, there) {
  const options = ctx.options({ target: there });
  const together = [ctx.run(async (_inner, n) => n + 1, 1), ctx.rpc("awaits.twice", 21, options), ctx.sleep(200)];
  const [one, two] = await Promise.all(together);
  let caught;
  try {
    await ctx.rpc("awaits.fails", options);
  } catch (error) {
    caught = error;
  }
  const gate = ctx.promise();
  const opened = await gate;
  let tries = 0;
  const retried = await ctx.run(async () => {
    tries += 1;
    if (tries < 3) throw new Error("again");
    return tries;
  }, ctx.options({ retryPolicy: new Constant({ delay: 2 }) }));
  return { one, two, caught, opened, retried };
}

async function twice(_ctx, n) {
  return 2 * n;
}

async function fails() {
  throw new RangeError("as it must");
}

export function register(resonate) {
  for (const f of [all, twice, fails]) resonate.register(`awaits.${f.name}`, f);
}

export async function main(resonate, id) {
  const there = "awaiters";
  const handle = await resonate.run(id, "awaits.all", there);
  const result = outcome(handle.result());
  // The gate is the fifth thing that the workflow does.
  await until(() => resonate.promises.resolve(`${id}:4`, { data: encode("open") }).catch(() => null));
  const remote = await resonate.rpc(`${id}-fails`, "awaits.fails", resonate.options({ target: there }));
  return { result: await result, remote: await outcome(remote.result()) };
}
