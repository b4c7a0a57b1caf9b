// peer.mjs - TypeScript over against workflows in Lua (peer.lua): a client that calls them, a worker that they call.
//
//   node peer.mjs URL worker | client
//
// SPDX-License-Identifier: Apache-2.0
import { Never } from "@resonatehq/sdk";
import { connect, ledger, outcome, say, show } from "./kit.mjs";

const [url, role] = process.argv.slice(2);

const thrown = {
  error: () => new RangeError("out of range"),
  aggregate: () => new AggregateError([new Error("one"), new Error("two")], "several"),
  string: () => "a string",
  object: () => ({ code: 7 }),
};

function* pong(ctx, n) {
  if (n === 0) return "ts";
  return `ts ${yield* ctx.rpc("ping", n - 1, ctx.options({ target: "lua" }))}`;
}

// Slept by a process that the timers of the SDK name nobody in: their group is "default", which Lua serves.
function* greet(ctx, name) {
  yield* ctx.sleep(50);
  return { hello: name, from: yield* ctx.run(() => "TypeScript") };
}

async function serve() {
  const resonate = await connect({ url, group: "typescript" });
  resonate.register("square", (ctx, n) => {
    ledger(`${ctx.id} begin ts`);
    return n * n;
  });
  resonate.register("add", (_ctx, a, b) => a + b);
  resonate.register("throws", function* throws(ctx, kind) {
    throw thrown[kind]();
  });
  resonate.register("pong", pong);
  resonate.register("greet", greet);
  say({ serving: "typescript" });
}

async function call() {
  const resonate = await connect({ url, group: "callers" });
  const options = resonate.options({ target: "lua" });
  let calls = 0;
  const lua = (name, ...args) => resonate.rpc(`call-${(calls += 1)}-${name}`, name, ...args, options);
  const each = async (names, f) => Object.fromEntries(await Promise.all(names.map(async (name) => [name, show(await f(name))])));
  const samples = {
    undefined: undefined, null: null, true: true, integer: 7, negative: -9007199254740991, half: 0.5, huge: Infinity,
    least: -Infinity, large: 1e21, empty: "", unicode: "日本 \u{1F600} \u0000", list: [1, [2, []]], object: { a: { b: [] }, c: {} },
    megabyte: "x".repeat(1000000), error: new TypeError("of a type"), tagged: { __type: "neither" },
  };
  say({ case: "twice", got: show(await lua("twice", 10)) });
  say({ case: "echo", got: await each(Object.keys(samples), (name) => lua("echo", samples[name])) });
  say({ case: "describe", got: await lua("describe", ...Object.values(samples)) });
  say({ case: "values", got: show(await lua("values")) });
  say({ case: "fails", got: await each(["coded", "plain", "step", "index"], (kind) => outcome(lua("fails", kind))) });
  say({ case: "missing", got: show(await lua("echo")) });
  say({ case: "asks", got: show(await lua("asks", 3)) });
  say({ case: "catches", got: await each(Object.keys(thrown), (kind) => lua("catches", kind)) });
  say({ case: "passes", got: await each(Object.keys(thrown), (kind) => outcome(lua("passes", kind))) });
  say({ case: "ping", got: await lua("ping", 6) });
  resonate.register("inside", function* inside(ctx) {
    const there = ctx.options({ target: "lua" });
    const both = [yield* ctx.beginRpc("twice", 1, there), yield* ctx.beginRpc("twice", 2, there)];
    let caught;
    try {
      yield* ctx.rpc("fails", "coded", there);
    } catch (error) {
      caught = error;
    }
    return { both: [yield* both[0], yield* both[1]], caught };
  });
  say({ case: "inside", got: show(await resonate.run("inside", "inside")) });
  const never = resonate.options({ target: "lua", retryPolicy: new Never() });
  say({ case: "retry", got: show(await outcome(resonate.rpc("retry", "fails", "coded", never))) });
  process.exit(0);
}

await (role === "worker" ? serve() : call());
