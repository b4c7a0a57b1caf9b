// worker.mjs - serves the functions of all cases in a group, until it is ended.
//
//   node worker.mjs URL GROUP
//
// SPDX-License-Identifier: Apache-2.0
import { cases } from "./all.mjs";
import { connect, say } from "./kit.mjs";

const [url, group] = process.argv.slice(2);
const clients = new Map(); // one per engine of the SDK

for (const one of Object.values(cases)) {
  if (!clients.has(one.Client)) clients.set(one.Client, await connect({ url, group: one.group ?? group, Client: one.Client }));
  one.register(clients.get(one.Client));
}
say({ serving: clients.size });
