/* restore.c - going on from an image.
 * SPDX-License-Identifier: Apache-2.0 */
#include "restore.h"

#include "../base/id.h"
#include "../base/log.h"

/* ---- reading ------------------------------------------------------------------------------------------- */

static const char *open_image(const da_execution *execution, const da_promise *promise, da_slice bytes,
                              da_restore *restore, da_arena *arena)
{
  const da_imaging *imaging = &execution->worker->imaging;
  const char *doubt = da_image_open(&imaging->key, &imaging->abi, execution->id, bytes, arena, &restore->image);
  if (doubt != NULL) return doubt;
  if (restore->image.generation != da_again_number(promise)) return "generation";
  if (!promise->call.has_bundle || !da_digest_eq(&restore->image.bundle, &promise->call.bundle)) return "code";
  restore->state = da_image_state_read(restore->image.state, arena);
  return restore->state == NULL ? "damaged" : NULL;
}

/* The records of what was not delivered. A step that was under way may have none. */
static const char *read_pending(da_store *store, da_restore *restore, da_arena *arena)
{
  da_view *view = da_store_view(store);
  const da_slice *ids;
  size_t count = da_image_state_pending(restore->state, &ids);
  da_promise *pending = da_arena_zalloc(arena, (count + 1) * sizeof *pending);
  for (size_t i = 0; i < count; i++) {
    da_slice own = da_image_state_own_record(restore->state, i); /* that there is no such promise */
    int found = own.len > 0 ? view->ops->promise(view, own, arena, &pending[i]) : 0;
    if (found == 0) found = view->ops->promise(view, ids[i], arena, &pending[i]);
    if (found < 0) return "records";
    if (found == 0 && !da_image_state_may_lack(restore->state, i)) return "pending";
    if (found == 0) pending[i].id = DA_NONE;
  }
  restore->pending = pending;
  return NULL;
}

const da_restore *da_restore_read(da_store *store, const da_execution *execution, const da_promise *promise,
                                  da_arena *arena, da_store_visit *visit, void *user, const char **doubt)
{
  da_slice bytes;
  da_err err;
  da_restore *restore = da_arena_zalloc(arena, sizeof *restore);
  *doubt = NULL;
  int there = da_store_image_get(store, execution->id, arena, &bytes, &restore->reach);
  if (there == 0) return NULL;
  *doubt = there < 0 ? "damaged"
           : !execution->worker->imaging.on || execution->no_image
               ? "unwanted"
               : open_image(execution, promise, bytes, restore, arena);
  if (*doubt == NULL) *doubt = read_pending(store, restore, arena);
  if (*doubt != NULL) return NULL;
  da_table known = {0};
  da_tail tail = da_image_state_tail(restore->state, restore->reach, &known, arena);
  if (da_store_scan_tail(store, &tail, arena, visit, user, &err) != DA_OK) *doubt = "records";
  da_table_free(&known);
  return *doubt == NULL ? restore : NULL;
}

/* ---- taking -------------------------------------------------------------------------------------------- */

void da_restore_load(da_execution *execution, const da_restore *restore)
{
  const da_slice *ids;
  size_t count = da_image_state_pending(restore->state, &ids);
  da_image_state_take(execution, restore->state);
  execution->restore = restore;
  execution->restored = true;
  execution->reach = restore->reach;
  execution->imaged_made = execution->made;
  for (size_t i = 0; i < count; i++) {
    da_child *child = da_image_state_child(execution, restore->state, i);
    const da_promise *promise = &restore->pending[i];
    if (promise->id.len > 0 && promise->state != DA_PENDING)
      da_call_restored(child, promise);
    else if (child->foreign)
      da_foreign_wait(child);
  }
}

/* ---- entering ------------------------------------------------------------------------------------------ */

/* Is the slot held by one that only keeps warm? Then that goes cold. */
static bool make_room(da_worker *worker, size_t slot)
{
  const da_isolate *isolate = da_isolate_in_slot(worker->region, slot);
  da_execution *holder = isolate != NULL ? da_execution_of(da_isolate_lua(isolate)) : NULL;
  if (holder == NULL || holder->state != DA_EXECUTION_SUSPENDED) return false;
  da_execution_drop(holder);
  return true;
}

static const char *put_back(da_execution *execution, bool *full)
{
  da_worker *worker = execution->worker;
  const da_isolate_image *image = &execution->restore->image.isolate;
  const da_digest *key = &execution->bundle->hash;
  da_load_context context = {.host = {.loading = true}, .worker = worker, .bundle = execution->bundle};
  da_err err = {{0}};
  if (!da_digest_eq(key, &execution->restore->image.bundle)) return "code";
  da_status status;
  do
    status =
        da_isolate_restore(worker->region, key, da_worker_open_isolate, &context, image, &execution->isolate, &err);
  while ((status == DA_EBUSY && make_room(worker, image->slot)) ||
         (status == DA_EQUEUE && da_worker_make_room(worker)));
  *full = status == DA_EQUEUE;
  if (status != DA_OK) return status == DA_EBUSY ? "slot" : "region";
  execution->L = da_isolate_lua(execution->isolate);
  da_isolate_set_host(execution->isolate, execution);
  return da_image_state_anchor(execution) ? NULL : "damaged";
}

/* What was under way goes on, in the order in which it was begun. */
static void go_on(da_execution *execution)
{
  const da_slice *ids;
  const da_restore *restore = execution->restore;
  size_t count = da_image_state_pending(restore->state, &ids);
  for (size_t i = 0; i < count && execution->park_code == NULL; i++) {
    da_child *child = da_image_state_child(execution, restore->state, i);
    da_execution_event(execution, DA_EVENT_REPLAYED, child);
    if (da_image_state_restarts(restore->state, i))
      da_step_restart(child);
    else if (child->open && child->kind == DA_CALL_WORKFLOW)
      da_start_attach(execution->worker, child->id);
    else if (child->open && child->record_id.len > 0) /* of another lineage */
      da_start_attach(execution->worker, da_id_root(child->id));
  }
}

da_restored da_restore_enter(da_execution *execution)
{
  bool full = false;
  const char *doubt = put_back(execution, &full);
  if (full) return DA_RESTORE_FULL;
  if (doubt != NULL) {
    da_restore_fall_back(execution, doubt);
    return DA_RESTORE_REPLAYED;
  }
  execution->worker->stats.restored++;
  da_log(DA_LOG_DEBUG, "image.restored", "id=%.*s calls=%llu behind=%zu", DA_FMT(execution->id),
         (unsigned long long)execution->made, execution->record_count);
  execution->state = DA_EXECUTION_RUNNING;
  da_execution_event(execution, DA_EVENT_RESTARTED, NULL);
  go_on(execution);
  execution->restore = NULL;
  return DA_RESTORED;
}

void da_restore_doubted(da_execution *execution, const char *doubt)
{
  if (strcmp(doubt, "unwanted") == 0 || strcmp(doubt, "generation") == 0) return; /* of another time */
  execution->worker->stats.images_refused++;
  da_log(DA_LOG_DEBUG, "image.refused", "id=%.*s why=%s", DA_FMT(execution->id), doubt);
}

void da_restore_fall_back(da_execution *execution, const char *doubt)
{
  da_worker *worker = execution->worker;
  int64_t version = execution->version;
  da_arena arena = {0};
  da_slice id = da_arena_dup(&arena, execution->id);
  da_restore_doubted(execution, doubt);
  if (execution->ran_known) da_evicted_put(worker, id, execution->ran_to);
  if (execution->after_death) da_crash_note(worker, id);
  da_execution_drop(execution);
  if (!worker->closing) {
    da_execution *again = da_execution_new(worker, id);
    again->no_image = true;
    da_execution_reread(again, version);
  }
  da_arena_free(&arena);
}

/* ---- of the worker ------------------------------------------------------------------------------------- */

bool da_worker_can_image(void)
{
  return da_image_possible();
}

void da_restore_create(da_worker *worker, const da_worker_options *options)
{
  da_imaging *imaging = &worker->imaging;
  if (options->image_key == NULL || options->far != NULL || options->rehearse) return;
  memcpy(imaging->key.bytes, options->image_key, sizeof imaging->key.bytes);
  imaging->after = options->image_after;
  imaging->every = options->image_every;
  imaging->on = da_image_abi(worker->region, &imaging->abi);
}
