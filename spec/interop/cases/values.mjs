// values.mjs - values there and back: as arguments and results, by rpc and by run, small and large.
//
// SPDX-License-Identifier: Apache-2.0
const samples = {
  undefined: undefined, null: null, true: true, zero: 0, minusZero: -0, largest: 9007199254740991, least: -9007199254740991,
  beyond: 2 ** 60, tenth: 0.1, tiny: 5e-324, huge: 1.7976931348623157e308, infinity: Infinity, minusInfinity: -Infinity,
  notANumber: NaN, empty: "", nul: "a\u0000b", unicode: "日本語 \u{1F600} \u00e9 e\u0301", surrogate: "\ud800",
  quotes: "\"\\/\b\f\n\r\t\u2028", date: new Date(0), list: [], lists: [[], [[]], [1, [2, [3]]]], hole: [1, undefined, 3],
  object: {}, nested: { a: { b: { c: [Infinity, { d: null }] } } }, absent: { here: 1, gone: undefined },
  keys: { "": 1, "__proto": 2, "a.b": 3, "日本": 4 }, looksTagged: { __type: "neither", message: "stays" },
  base64: "aGVsbG8=", json: "{\"a\":1}",
};

function echo(_ctx, ...args) {
  return { count: args.length, args };
}

function* echoes(ctx, there, ...args) {
  const options = ctx.options({ target: there });
  return { run: yield* ctx.run("values.echo", ...args), rpc: yield* ctx.rpc("values.echo", ...args, options) };
}

function large(_ctx, n, text) {
  return { got: text.length, back: "日".repeat(n) };
}

function nothing() {}

function same(_ctx, value) {
  return value;
}

export function register(resonate) {
  resonate.register("values.echo", echo);
  resonate.register("values.echoes", echoes);
  resonate.register("values.large", large);
  resonate.register("values.nothing", nothing);
  resonate.register("values.same", same);
}

export async function main(resonate, id, there) {
  const options = resonate.options({ target: there });
  const each = Object.entries(samples);
  const same = await Promise.all(each.map(async ([name, value]) => [
    name, await resonate.rpc(`${id}-same-${name}`, "values.same", value, options),
  ]));
  const deep = Array(200).fill(0).reduce((inner) => [inner], "deep");
  return {
    same: Object.fromEntries(same),
    echoed: await resonate.rpc(`${id}-echo`, "values.echo", ...Object.values(samples), options),
    inside: await resonate.run(`${id}-inside`, "values.echoes", there, 1, undefined, null, "x"),
    large: await resonate.rpc(`${id}-large`, "values.large", 300000, "x".repeat(1000000), options),
    deep: JSON.stringify(await resonate.rpc(`${id}-deep`, "values.same", deep, options)).length,
    nothing: await resonate.rpc(`${id}-nothing`, "values.nothing", options),
    none: await resonate.rpc(`${id}-none`, "values.echo", options),
  };
}
