// client.mjs - does what the cases do, side by side, and says what each came to: one line {"case":, "got":} each.
//
//   node client.mjs [URL GROUP]      GROUP: of worker.mjs; without URL: against the SDK's own server, within this process
//
// SPDX-License-Identifier: Apache-2.0
import { cases } from "./all.mjs";
import { connect, say, show } from "./kit.mjs";

const [url, there = "workers"] = process.argv.slice(2);
// The SDK's own server gives every message to everybody, so one process is client and worker there.
const group = url ? "clients" : there;

await Promise.all(Object.entries(cases).map(async ([name, one]) => {
  const resonate = await connect({ url, group, Client: one.Client });
  one.register(resonate);
  let got;
  try {
    got = show(await one.main(resonate, name, there));
  } catch (error) {
    got = { failed: error instanceof Error ? error.stack : show(error) };
  }
  say({ case: name, got });
  await resonate.stop();
}));
process.exit(0);
