// retries.mjs - what fails is tried again as its policy says: each policy, here and by rpc, exhausted, not retryable, out of time.
//
// SPDX-License-Identifier: Apache-2.0
import { Constant, Exponential, Linear, Never } from "@resonatehq/sdk";
import { outcome } from "../kit.mjs";

const attempts = new Map();

function flaky(ctx, key, failures) {
  const n = (attempts.get(key) ?? 0) + 1;
  attempts.set(key, n);
  if (n <= failures) throw new TypeError(`attempt ${ctx.info.attempt}`);
  return { attempt: ctx.info.attempt, n };
}

// A workflow whose steps carry the policies.
function* steps(ctx) {
  const run = (key, failures, options) => ctx.run("retries.flaky", key, failures, ctx.options(options));
  const got = {};
  got.constant = yield* run("constant", 2, { retryPolicy: new Constant({ delay: 5, maxRetries: 3 }) });
  got.linear = yield* run("linear", 2, { retryPolicy: new Linear({ delay: 5 }) });
  got.exponential = yield* run("exponential", 2, { retryPolicy: new Exponential({ delay: 2, factor: 2, maxDelay: 10 }) });
  const failing = {
    never: [1, { retryPolicy: new Never() }],
    exhausted: [9, { retryPolicy: new Constant({ delay: 1, maxRetries: 2 }) }],
    notRetryable: [9, { nonRetryableErrors: [TypeError] }],
    outOfTime: [9, { timeout: 300, retryPolicy: new Constant({ delay: 1000 }) }],
  };
  for (const [key, [failures, options]] of Object.entries(failing)) {
    try {
      yield* run(key, failures, options);
    } catch (error) {
      got[key] = error;
    }
  }
  return got;
}

export function register(resonate) {
  resonate.register("retries.flaky", flaky);
  resonate.register("retries.steps", steps);
}

export async function main(resonate, id, there) {
  const by = (retryPolicy) => resonate.options({ target: there, retryPolicy });
  const steps = await resonate.run(`${id}-steps`, "retries.steps");
  const [constant, linear, never, exhausted] = await Promise.all([
    resonate.rpc(`${id}-constant`, "retries.flaky", "rpc-constant", 3, by(new Constant({ delay: 3 }))),
    resonate.rpc(`${id}-linear`, "retries.flaky", "rpc-linear", 2, by(new Linear({ delay: 3, maxRetries: 2 }))),
    outcome(resonate.rpc(`${id}-never`, "retries.flaky", "rpc-never", 1, by(new Never()))),
    outcome(resonate.rpc(`${id}-exhausted`, "retries.flaky", "rpc-exhausted", 9, by(new Exponential({ delay: 1, maxRetries: 2 })))),
  ]);
  return { steps, rpc: { constant, linear, never, exhausted } };
}
