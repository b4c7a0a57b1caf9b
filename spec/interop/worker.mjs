// worker.mjs - serves the functions of all cases in the group "workers", until it is ended.
//
//   node worker.mjs URL
//
// SPDX-License-Identifier: Apache-2.0
import { cases } from "./all.mjs";
import { connect, say } from "./kit.mjs";

const url = process.argv[2];
const clients = new Map(); // one per engine of the SDK

for (const one of Object.values(cases)) {
  if (!clients.has(one.Client)) clients.set(one.Client, await connect({ url, group: one.group ?? "workers", Client: one.Client }));
  one.register(clients.get(one.Client));
}
say({ serving: clients.size });
