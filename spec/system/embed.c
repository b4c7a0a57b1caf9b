/* embed.c - a program that embeds dahost: runs async.main of a script once and prints what it resolved to.
 * Compiled and linked against an installed libdahost by library_spec.lua.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include <dahost/bindings/bind.h>
#include <dahost/host/vm/worker.h>

static da_sched *sched;

static void check(da_status status, const da_err *err)
{
  if (status == DA_OK) return;
  (void)fprintf(stderr, "%s: %s\n", da_status_text(status), err->text);
  exit(1);
}

static void settled(void *user, const da_promise *promise)
{
  (void)user;
  (void)printf("%s %.*s\n", da_promise_state_name(promise->state), DA_FMT(promise->value.data));
  da_sched_stop(sched);
}

static void started(void *user, const da_promise *promise, bool created, da_status status, const da_err *err)
{
  (void)created;
  if (promise == NULL) check(status, err);
  da_worker_follow(user, promise->id, settled, NULL);
}

int main(int argc, char **argv)
{
  if (argc != 3) return 2;
  da_err err = {{0}};
  da_store *store;
  da_store_options store_options = {.create = true};
  check(da_store_open(argv[1], &store_options, &store, &err), &err);
  uint8_t secret[16];
  da_store_secret(store, secret);
  da_sched_options options = {.store = store,
                              .profile = da_profile_default,
                              .local_targets = &da_default_target,
                              .local_target_count = 1,
                              .pid = "local/embed"};
  check(da_sched_new(&options, &sched, &err), &err);
  bind_setup();
  da_worker_options worker_options = {.sched = sched,
                                      .hooks = {bind_open_isolate, bind_open_step},
                                      .targets = &da_default_target,
                                      .target_count = 1,
                                      .pid = options.pid,
                                      .secret = secret,
                                      .warm_bytes = SIZE_MAX};
  da_worker *worker;
  check(da_worker_new(&worker_options, &worker, &err), &err);
  da_sched_events events = da_worker_events(worker);
  da_sched_set_events(sched, &events);
  da_worker_drive(worker, true);
  da_bundle *bundle;
  check(da_bundle_read(argv[2], &bundle, &err), &err);
  check(da_worker_serve(worker, bundle, &err), &err);
  da_worker_start(worker, DA_LIT("embedded"), DA_LIT("main"), 1, DA_LIT("[]"), bundle, started, worker);
  da_sched_run(sched);
  da_worker_delete(worker);
  da_sched_delete(sched);
  da_store_close(store);
  da_bundle_unref(bundle);
  return 0;
}
