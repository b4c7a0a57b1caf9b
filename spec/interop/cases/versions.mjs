// versions.mjs - two versions of one function: the newest by default, any by its number, none that does not exist.
//
// SPDX-License-Identifier: Apache-2.0
import { outcome } from "../kit.mjs";

function* asks(ctx, there) {
  const version = (v) => ctx.options({ target: there, version: v });
  return [
    yield* ctx.rpc("versions.f", version(1)),
    yield* ctx.rpc("versions.f", version(2)),
    yield* ctx.rpc("versions.f", ctx.options({ target: there })),
    yield* ctx.run("versions.f", ctx.options({ version: 1 })),
    yield* ctx.run("versions.f"),
  ];
}

export function register(resonate) {
  resonate.register("versions.f", (ctx) => `one as ${ctx.info.version}`, { version: 1 });
  resonate.register("versions.f", (ctx) => `two as ${ctx.info.version}`, { version: 2 });
  resonate.register("versions.asks", asks);
}

export async function main(resonate, id, there) {
  const version = (v) => resonate.options({ target: there, version: v });
  return {
    newest: await resonate.run(`${id}-newest`, "versions.f"),
    first: await resonate.run(`${id}-first`, "versions.f", resonate.options({ version: 1 })),
    none: await outcome(resonate.run(`${id}-none`, "versions.f", resonate.options({ version: 3 }))),
    rpc: [
      await resonate.rpc(`${id}-rpc1`, "versions.f", version(1)),
      await resonate.rpc(`${id}-rpc2`, "versions.f", version(2)),
      await resonate.rpc(`${id}-rpc`, "versions.f", resonate.options({ target: there })),
    ],
    inside: await resonate.run(`${id}-inside`, "versions.asks", there),
  };
}
