// gate.mjs - workflows that wait at a promise, run by the process that starts them; says what each was let through with.
//
//   node gate.mjs URL ID...      the promise of ID is ID:0
//
// SPDX-License-Identifier: Apache-2.0
import { connect, say, show } from "./kit.mjs";

const [url, ...ids] = process.argv.slice(2);

function* waits(ctx, timeout) {
  const gate = yield* ctx.promise({ timeout, data: { asks: ctx.id }, tags: { kind: "approval" } });
  try {
    return { opened: yield* gate };
  } catch (error) {
    return { shut: error ?? "with nothing" };
  }
}

const resonate = await connect({ url, group: "gates" });
resonate.register("gate.waits", waits);
const handles = await Promise.all(ids.map((id) => resonate.beginRun(id, "gate.waits", id.startsWith("late") ? 300 : undefined)));
// Once a workflow waits, its promise is there.
for (const id of ids) {
  for (;;) {
    const got = await resonate.promises.get(`${id}:0`).catch(() => null);
    if (got) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
say({ waiting: ids.length });
await Promise.all(handles.map(async (handle) => say({ id: handle.id, value: show(await handle.result()) })));
process.exit(0);
