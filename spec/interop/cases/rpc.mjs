// rpc.mjs - functions that another process runs: called by a client, by a workflow, by themselves.
//
// SPDX-License-Identifier: Apache-2.0
function* fibonacci(ctx, n, there) {
  if (n < 2) return n;
  const options = ctx.options({ target: there });
  const left = yield* ctx.beginRpc("rpc.fibonacci", n - 1, there, options);
  const right = yield* ctx.beginRpc("rpc.fibonacci", n - 2, there, options);
  return (yield* left) + (yield* right);
}

function* greet(ctx, name, there) {
  const word = yield* ctx.rpc("rpc.word", ctx.options({ target: there }));
  const local = yield* ctx.run(() => "!");
  return `${word}, ${name}${local}`;
}

function word(ctx) {
  return `hello from ${ctx.id}`;
}

export function register(resonate) {
  resonate.register("rpc.fibonacci", fibonacci);
  resonate.register("rpc.greet", greet);
  resonate.register("rpc.word", word);
}

export async function main(resonate, id, there) {
  const options = resonate.options({ target: there });
  const plain = await resonate.rpc(`${id}-word`, "rpc.word", options);
  const local = await resonate.run(`${id}-greet`, "rpc.greet", "world", there);
  const remote = await resonate.rpc(`${id}-greet-rpc`, "rpc.greet", "all", there, options);
  const fibonacci = await resonate.rpc(`${id}-fibonacci`, "rpc.fibonacci", 6, there, options);
  return { plain, local, remote, fibonacci };
}
