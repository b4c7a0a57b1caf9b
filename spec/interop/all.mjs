// all.mjs - the cases of this folder, by name. Each has register(resonate), the functions it is about, and main(resonate,
// id, there), what a client does: `id` is unused, `there` the group whose workers have the functions too. What main
// returns is shown, and must be the same whoever the server is.
//
// SPDX-License-Identifier: Apache-2.0
import * as awaits from "./cases/awaits.mjs";
import * as concurrency from "./cases/concurrency.mjs";
import * as detached from "./cases/detached.mjs";
import * as errors from "./cases/errors.mjs";
import * as ids from "./cases/ids.mjs";
import * as promises from "./cases/promises.mjs";
import * as recorded from "./cases/recorded.mjs";
import * as retries from "./cases/retries.mjs";
import * as rpc from "./cases/rpc.mjs";
import * as run from "./cases/run.mjs";
import * as schedules from "./cases/schedules.mjs";
import * as sleep from "./cases/sleep.mjs";
import * as values from "./cases/values.mjs";
import * as versions from "./cases/versions.mjs";

export const cases = {
  awaits, concurrency, detached, errors, ids, promises, recorded, retries, rpc, run, schedules, sleep, values, versions,
};
