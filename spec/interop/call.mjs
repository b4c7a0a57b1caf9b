// call.mjs - a client that calls a function of another group and says what came of it, each id in a line of its own.
//
//   node call.mjs URL GROUP FUNCTION IDS ARGS      IDS: "a,b", or "a*200" for a1 to a200; ARGS: a JSON array, in which "$n"
//                                                  is the number of the id
//
// SPDX-License-Identifier: Apache-2.0
import { connect, say, show } from "./kit.mjs";

const [url, group, name, list, args] = process.argv.slice(2);
const [stem, count] = list.split("*");
const ids = count ? Array.from({ length: Number(count) }, (_, i) => `${stem}${i + 1}`) : list.split(",");

const resonate = await connect({ url, group: "callers" });
const options = resonate.options({ target: group });

const handles = await Promise.all(ids.map((id, i) => {
  const own = JSON.parse(args).map((one) => (one === "$n" ? i + 1 : one));
  return resonate.beginRpc(id, name, ...own, options);
}));
say({ called: handles.length });
await Promise.all(handles.map(async (handle) => {
  try {
    say({ id: handle.id, value: show(await handle.result()) });
  } catch (error) {
    say({ id: handle.id, error: show(error) });
  }
}));
process.exit(0);
