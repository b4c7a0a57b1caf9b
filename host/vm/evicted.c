/* evicted.c - how far an evicted execution had come, so that its replay prints what is new and nothing twice.
 *
 * The records do not tell: a completion that is recorded may never have been delivered, and what was delivered last may
 * have left no record below this execution (a call with an id of its own). So the position at which an execution was
 * suspended is kept when its isolate is dropped: a replay is silent up to the first delivery behind it. Kept for the
 * last DA_EVICTED_MAX of them, in memory, since a suspended execution must cost none; for the others, and after the
 * death of the process, the records are asked. Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/limits.h"
#include "execution.h"

struct da_evicted {
  da_slice id; /* behind the struct */
  uint64_t position;
  size_t slot;
};

static void forget(da_worker *worker, da_evicted *evicted)
{
  (void)da_table_remove(&worker->evicted, evicted->id);
  worker->evicted_ring[evicted->slot] = NULL;
  free(evicted);
}

void da_evicted_put(da_worker *worker, da_slice of, uint64_t position)
{
  if (worker->evicted_ring == NULL) worker->evicted_ring = da_xcalloc(DA_EVICTED_MAX, sizeof *worker->evicted_ring);
  size_t slot = worker->evicted_next++ % DA_EVICTED_MAX;
  if (worker->evicted_ring[slot] != NULL) forget(worker, worker->evicted_ring[slot]);
  da_evicted *evicted = da_table_get(&worker->evicted, of);
  if (evicted != NULL) forget(worker, evicted);
  evicted = da_xmalloc(sizeof *evicted + of.len);
  char *id = (char *)(evicted + 1);
  memcpy(id, of.ptr, of.len);
  *evicted = (da_evicted){.id = da_slice_make(id, of.len), .position = position, .slot = slot};
  worker->evicted_ring[slot] = evicted;
  (void)da_table_put(&worker->evicted, evicted->id, evicted);
}

void da_evicted_keep(da_execution *execution)
{
  da_evicted_put(execution->worker, execution->id, execution->position);
}

void da_evicted_take(da_execution *execution)
{
  da_evicted *evicted = da_table_get(&execution->worker->evicted, execution->id);
  if (evicted == NULL) return;
  execution->ran_known = true;
  execution->ran_to = evicted->position;
  forget(execution->worker, evicted);
}

void da_evicted_delete(da_worker *worker)
{
  for (size_t i = 0; worker->evicted_ring != NULL && i < DA_EVICTED_MAX; i++) free(worker->evicted_ring[i]);
  free(worker->evicted_ring);
  worker->evicted_ring = NULL;
  worker->evicted_next = 0;
  da_table_free(&worker->evicted);
}
