// far.mjs - the workflow `mixed` of far_front.lua in the published TypeScript SDK: both groups in one program.
//
// node far.mjs URL ID: runs it once in group "sdk-front" and prints its result.
// SPDX-License-Identifier: Apache-2.0
import { connect } from "./kit.mjs";

const [url, id] = process.argv.slice(2);
const back = await connect({ url, group: "sdk-back", pid: "back" });
back.register("echo", async (_, x) => x);
const front = await connect({ url, group: "sdk-front", pid: "front" });
front.register("mixed", function* (ctx) {
  let sum = 0;
  for (let i = 1; i <= 10; i++) {
    sum = yield* ctx.run(async () => sum + i);
    if (i % 5 === 0) sum += yield* ctx.rpc("echo", i, ctx.options({ target: "poll://any@sdk-back" }));
  }
  yield* ctx.sleep(300);
  return sum;
});
console.log(await front.run(id, "mixed"));
process.exit(0);
