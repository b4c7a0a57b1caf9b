/* scratch.c - see scratch.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "../../bindings/bind.h"
#include "plugins.h"

#define PID "local/scratch"

static void need_store(cli_scratch *scratch)
{
  if (scratch->store == NULL) scratch->store = da_store_open_memory();
}

da_status cli_scratch_fill(cli_scratch *scratch, const da_promise *promise, da_err *err)
{
  need_store(scratch);
  da_write write = {.table = DA_TABLE_PROMISE, .row.promise = promise};
  da_status status = da_store_begin(scratch->store, err);
  if (status != DA_OK) return status;
  status = da_store_write(scratch->store, &write, err);
  if (status == DA_OK) return da_store_commit(scratch->store, err);
  da_store_abort(scratch->store);
  return status;
}

da_status cli_scratch_open(cli_scratch *scratch, void (*hear)(void *user, const da_event *event), void *user,
                           da_err *err)
{
  need_store(scratch);
  da_sched_options sched = {.store = scratch->store,
                            .profile = da_profile_default,
                            .local_targets = &da_default_target,
                            .local_target_count = 1,
                            .pid = PID};
  da_status status = da_sched_new(&sched, &scratch->sched, err);
  if (status != DA_OK) return status;
  uint8_t secret[16];
  da_store_secret(scratch->store, secret);
  bind_setup();
  da_worker_options worker = {.sched = scratch->sched,
                              .hooks = cli_worker_hooks(),
                              .targets = &da_default_target,
                              .target_count = 1,
                              .pid = PID,
                              .secret = secret,
                              .step_threads = 1,
                              .rehearse = hear != NULL,
                              .event = hear,
                              .user = user};
  return da_worker_new(&worker, &scratch->worker, err);
}

void cli_scratch_close(cli_scratch *scratch)
{
  if (scratch->worker != NULL) da_worker_delete(scratch->worker);
  if (scratch->sched != NULL) da_sched_delete(scratch->sched);
  if (scratch->store != NULL) da_store_close(scratch->store);
  *scratch = (cli_scratch){0};
}
