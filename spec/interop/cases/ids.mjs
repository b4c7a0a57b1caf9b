// ids.mjs - ids of every kind: which the SDK refuses, which it makes, which a call may be given.
//
// SPDX-License-Identifier: Apache-2.0
import { outcome } from "../kit.mjs";

function* names(ctx, there, given) {
  const own = ctx.options({ id: `${given}-local` });
  const other = ctx.options({ id: `${given}-remote`, target: there });
  const local = yield* ctx.beginRun(where, own);
  const remote = yield* ctx.beginRpc("ids.where", other);
  const next = yield* ctx.run(where); // a given id counts as one
  return { id: ctx.id, local: [local.id, yield* local], remote: [remote.id, yield* remote], next };
}

function where(ctx) {
  return { id: ctx.id, origin: ctx.originId, parent: ctx.parentId, branch: ctx.branchId };
}

export function register(resonate) {
  resonate.register("ids.names", names);
  resonate.register("ids.where", where);
}

export async function main(resonate, id, there) {
  const options = resonate.options({ target: there });
  const used = {};
  for (const one of ["a.b.c", "with space", "sl/ash?q=1#f", "日本 \u{1F600}", "pro%63ent", "\"quoted\"", "{{.id}}", "-", "x".repeat(200)]) {
    used[one.slice(0, 30)] = (await resonate.rpc(`${id}-${one}`, "ids.where", options)).id.slice(0, 40);
  }
  const refused = {};
  for (const one of ["", "a:b", "nul\u0000"]) refused[one] = (await outcome(resonate.run(one, "ids.where"))).error;
  const tree = await resonate.run(`${id}.tree`, "ids.names", there, `${id}-given`);
  const tags = (await resonate.promises.get(`${id}.tree`)).tags;
  delete tags["resonate:target"];
  return { used, refused, tree, tags };
}
