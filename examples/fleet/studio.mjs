// studio.mjs - the titles of front.lua's films, by a worker of the published TypeScript SDK: node studio.mjs URL
//
// SPDX-License-Identifier: Apache-2.0
import { Resonate } from "@resonatehq/sdk";

const resonate = new Resonate({ url: process.argv[2], group: "studio", ttl: 2000 });

resonate.register("title", function* (ctx, name, count) {
  const poster = yield* ctx.rpc("render", name, 0, ctx.options({ target: "poll://any@gpu" }));
  return `${name}, ${count} frames, with poster ${poster}`;
});
