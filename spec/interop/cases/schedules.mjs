// schedules.mjs - schedules: made, read, fired, replaced by nothing, deleted.
//
// SPDX-License-Identifier: Apache-2.0
import { encode, outcome, until } from "../kit.mjs";

function fired(_ctx, word) {
  return `fired ${word}`;
}

export function register(resonate) {
  resonate.register("schedules.fired", fired);
}

export async function main(resonate, id, there) {
  const { schedules, promises } = resonate;
  const target = resonate.options({ target: there }).target;
  const param = { promiseData: encode({ func: "schedules.fired", args: ["by hand"], version: 1 }), promiseTags: { "resonate:target": target, a: "b" } };
  const made = await schedules.create(`${id}-hand`, "* * * * * *", "{{.id}}-once", 60000, param);
  const again = await schedules.create(`${id}-hand`, "0 0 1 1 *", "other", 5, param);
  const read = await schedules.get(`${id}-hand`);
  const promise = await until(() => promises.get(`${id}-hand-once`).catch(() => null));
  const result = await (await resonate.get(`${id}-hand-once`)).result();
  const afterwards = await until(async () => {
    const one = await schedules.get(`${id}-hand`);
    return one.lastRunAt !== undefined && one;
  });
  await schedules.delete(`${id}-hand`);
  const gone = await outcome(schedules.get(`${id}-hand`));
  const goneTwice = await outcome(schedules.delete(`${id}-hand`));

  const verb = await resonate.schedule(`${id}-verb`, "0 12 * * *", "schedules.fired", "by verb", resonate.options({ target: there }));
  const verbs = await schedules.get(`${id}-verb`);
  await verb.delete();
  const bad = await outcome(schedules.create(`${id}-bad`, "every day", "x", 5, param));
  return {
    made: [made.id, made.cron, made.promiseId, made.promiseTimeout, made.promiseParam, made.promiseTags.a, made.lastRunAt],
    soon: made.nextRunAt - made.createdAt <= 1000,
    again: [again.cron, again.createdAt === made.createdAt], read: read.id,
    promise: [promise.tags.a, promise.timeoutAt % 1000, promise.timeoutAt - afterwards.lastRunAt <= 60000],
    result, onwards: afterwards.nextRunAt > afterwards.lastRunAt,
    gone: gone.error.serverError, goneTwice: goneTwice.error.serverError.code,
    verb: [verbs.promiseId, verbs.cron, JSON.parse(atob(verbs.promiseParam.data))],
    // The status alone: over HTTP the SDK tells of a 400 as of a platform that failed.
    bad: bad.error.serverError?.code ?? Number(bad.error.message.match(/HTTP (\d+)/)[1]),
  };
}
