// job.mjs - a worker whose workflows leave a trace in the ledger: which step ran, and in which process.
//
//   node job.mjs URL GROUP PID [TTL [PREFIX]]      serves the functions below until it is ended, as PREFIX.step and so on
//                                                  ("job"); TTL: of its leases, in ms
//
// SPDX-License-Identifier: Apache-2.0
import { connect, ledger, say } from "./kit.mjs";

const [url, group, pid, ttl, prefix = "job"] = process.argv.slice(2);
const resonate = await connect({ url, group, pid, ttl: ttl && Number(ttl) });

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A step: a line when it begins, one when it has ended.
async function step(ctx, ms) {
  ledger(`${ctx.id} begin ${pid}`);
  await pause(ms);
  ledger(`${ctx.id} end ${pid}`);
  return 1;
}

// Here, elsewhere, here, ...; a timer and, at the end, two calls at once.
function* workflow(ctx, rounds, ms) {
  let sum = 0;
  const options = ctx.options({ target: group });
  for (let i = 0; i < rounds; i++) {
    sum += yield* ctx.run(step, ms);
    sum += yield* ctx.rpc("job.step", ms, options);
  }
  yield* ctx.sleep(ms);
  const both = [yield* ctx.beginRun(step, ms), yield* ctx.beginRpc("job.step", ms, options)];
  for (const one of both) sum += yield* one;
  return sum;
}

// Work that lets the loop turn, so that the SDK can say it is alive, and work that, for the first time, does not.
async function long(ctx, ms) {
  ledger(`${ctx.id} begin ${pid}`);
  await pause(ms);
  return pid;
}

let times = 0;

function busy(ctx, ms) {
  ledger(`${ctx.id} begin ${pid}`);
  times += 1;
  const end = Date.now() + ms;
  while (times === 1 && Date.now() < end);
  return times;
}

function* square(ctx, n) {
  const own = yield* ctx.run(() => n);
  ledger(`${ctx.id} begin ${pid}`);
  return own * (yield* ctx.rpc("job.same", n, ctx.options({ target: group })));
}

function same(ctx, n) {
  ledger(`${ctx.id} begin ${pid}`);
  return n;
}

for (const [name, f] of Object.entries({ step, workflow, long, busy, square, same })) resonate.register(`${prefix}.${name}`, f);
say({ serving: pid });
