/* image_take.c - when an image of an execution is made, and what is written of it.
 *
 * An image is taken when an isolate goes cold, and of one that never does each time it has made so many calls; never of
 * a short history, which is run again faster than an image is written, nor more often than its heap is worth. It is
 * taken between two turns of the program, when every fiber waits; a step may run meanwhile, and is begun anew by
 * whoever goes on from the image, unless it was recorded. It is sealed on a step thread, when no step wants that. Its
 * op lies behind those that recorded what it presupposes, so it is never durable before them. What follows is found by
 * numbers: see host/store/image.c for the reach. Threads: the loop thread; write_image() and write_reach() on the store
 * thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/log.h"
#include "image_state.h"
#include "restore.h"

enum {
  WINDOW = 128,        /* calls before the reach is raised again: so many ids of each name are looked for */
  LARGE = 256 << 10,   /* a heap beyond that is large: */
  WAITING = 16 << 20,  /* of heaps that wait to be sealed; beyond it the loop thread does so itself */
  BYTES_A_CALL = 2048, /* its image waits for as many more calls as its making costs */
};

/* ---- writing ------------------------------------------------------------------------------------------- */

typedef struct image_write {
  da_slice id;
  uint32_t generation;
  uint64_t reach;
  da_slice bytes;
} image_write;

/* Whoever ended or began again meanwhile needs none. */
static da_status write_image(da_store *store, da_op *op, da_err *err)
{
  const image_write *write = op->call_argument;
  da_view *view = da_store_view(store);
  da_task task;
  da_promise promise;
  int found = view->ops->task(view, write->id, &op->arena, &task);
  if (found > 0) found = view->ops->promise(view, write->id, &op->arena, &promise);
  if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
  if (found == 0 || task.state == DA_TASK_FULFILLED || da_again_number(&promise) != write->generation) return DA_OK;
  return da_store_image_put(store, write->id, write->bytes, write->reach, err);
}

static da_status write_reach(da_store *store, da_op *op, da_err *err)
{
  const image_write *write = op->call_argument;
  return da_store_image_reach(store, write->id, write->reach, err);
}

/* A cache that cannot be written is one that is not there. */
static void note_written(da_worker *worker, da_op *op)
{
  da_worker_stats *stats = &worker->stats;
  const image_write *write = op->call_argument;
  if (op->status == DA_OK && write->bytes.len > 0) {
    stats->images++;
    stats->image_bytes += write->bytes.len;
  } else if (op->status != DA_OK && op->status != DA_EFULL && op->status != DA_ECLOSED) {
    da_log(DA_LOG_WARN, "image.failed", "id=%.*s text=\"%s\"", DA_FMT(write->id), op->err.text);
    op->status = DA_OK;
  }
}

static void cold_written(da_op *op)
{
  da_worker *worker = op->user;
  note_written(worker, op);
  da_op_delete(op);
  da_worker_unref(worker);
}

/* On a full disk it retreats, as after any op of its own: what it knows as its reach is not what is stored. */
static void written(da_op *op)
{
  note_written(((const da_op_context *)op->user)->execution->worker, op);
  da_execution_op_over(op);
}

/* execution: whose op it is; NULL: it went cold. */
static void submit(da_worker *worker, da_execution *execution, const image_write *write,
                   da_status (*call)(da_store *, da_op *, da_err *))
{
  da_op *op = da_op_new();
  image_write *copy = da_arena_alloc(&op->arena, sizeof *copy);
  *copy = *write;
  copy->id = da_arena_dup(&op->arena, write->id);
  copy->bytes = da_arena_dup(&op->arena, write->bytes);
  op->call = call;
  op->call_argument = copy;
  if (execution != NULL) {
    execution->reach = write->reach;
    da_execution_submit(execution, op, NULL, written);
    return;
  }
  op->done = cold_written;
  op->user = worker;
  da_worker_ref(worker);
  da_sched_submit(worker->sched, op, false);
}

void da_image_reach(da_execution *execution)
{
  const image_write write = {.id = execution->id, .reach = execution->made + WINDOW};
  submit(execution->worker, execution, &write, write_reach);
}

/* ---- sealing, on a thread ------------------------------------------------------------------------------ */

/* An image that was taken. As long as it is being sealed no other process of the same execution may begin here: that
 * one would not know of it (da_image_finish()). */
typedef struct da_seal {
  da_chore chore; /* first: it is its seal */
  da_worker *worker;
  da_execution *execution; /* NULL: it went cold since */
  da_slice id;             /* in the arena */
  da_arena arena;
  uint64_t made;
  bool given; /* done() is of no use any more */
  da_buf state, bytes;
  da_image image;
  bool sealed;
  bool lost; /* it is not to be written */
} da_seal;

static void seal_work(da_chore *chore)
{
  da_seal *seal = (da_seal *)(void *)chore;
  const da_imaging *imaging = &seal->worker->imaging;
  seal->image.state = da_buf_slice(&seal->state);
  seal->sealed = da_image_seal(&imaging->key, &imaging->abi, seal->id, &seal->image, &seal->bytes);
}

static void seal_delete(da_seal *seal)
{
  da_worker *worker = seal->worker;
  da_isolate_image_free(&seal->image.isolate);
  da_buf_free(&seal->state);
  da_buf_free(&seal->bytes);
  da_arena_free(&seal->arena);
  free(seal);
  da_worker_unref(worker);
}

/* Nothing is submitted of an execution that did not end as it should: its records may lie behind what was taken. */
static void seal_over(da_seal *seal)
{
  da_worker *worker = seal->worker;
  (void)da_table_remove(&worker->seals, seal->id);
  worker->seal_bytes -= seal->image.isolate.size;
  da_execution *execution = seal->execution;
  if (execution != NULL) execution->seal = NULL;
  if (!seal->sealed && !worker->imaging.told) {
    worker->imaging.told = true;
    da_log(DA_LOG_WARN, "image.none",
           "text=\"images are sealed with OpenSSL 3 (Debian's package libssl3), which is not here\"");
  }
  if (!seal->sealed || seal->lost || worker->closing) return;
  uint64_t made = execution != NULL ? execution->made : seal->made;
  const image_write write = {.id = seal->id,
                             .generation = seal->image.generation,
                             .reach = made + WINDOW,
                             .bytes = da_buf_slice(&seal->bytes)};
  submit(worker, execution, &write, write_image);
  da_log(DA_LOG_DEBUG, "image.taken", "id=%.*s calls=%llu heap=%zu base=%d state=%zu bytes=%zu", DA_FMT(seal->id),
         (unsigned long long)seal->made, seal->image.isolate.size, seal->image.isolate.has_base, seal->state.len,
         seal->bytes.len);
}

static void seal_done(da_chore *chore)
{
  da_seal *seal = (da_seal *)(void *)chore;
  if (!seal->given) seal_over(seal);
  seal_delete(seal);
}

static void finish(da_seal *seal, bool wanted)
{
  bool told = da_step_pool_hurry(seal->worker->steps, &seal->chore);
  seal->lost = !wanted;
  seal_over(seal);
  seal->given = true;
  if (!told) seal_delete(seal);
}

/* Heaps that wait take memory. */
static void hurry_if_many(da_seal *seal)
{
  if (seal->worker->seal_bytes > WAITING) finish(seal, true);
}

void da_image_finish(da_worker *worker, da_slice id)
{
  da_seal *seal = da_table_get(&worker->seals, id);
  if (seal != NULL) finish(seal, true);
}

void da_image_dropped(da_execution *execution)
{
  da_seal *seal = execution->seal;
  if (seal == NULL) return;
  if (execution->state == DA_EXECUTION_SUSPENDED) {
    seal->execution = NULL;
    execution->seal = NULL;
    hurry_if_many(seal);
  } else {
    finish(seal, false);
  }
}

void da_image_finish_all(da_worker *worker)
{
  void *value;
  for (size_t i = 0; da_table_next(&worker->seals, &i, &value);) finish(value, false);
  da_table_free(&worker->seals);
}

/* ---- taking -------------------------------------------------------------------------------------------- */

/* Is every fiber waiting, and nothing known of it that an image would not hold? */
static bool is_quiet(const da_execution *execution)
{
  const da_worker *worker = execution->worker;
  if (!worker->imaging.on || execution->far != NULL || execution->unimageable || worker->options.rehearse) return false;
  if (execution->L == NULL || execution->current != NULL || execution->inline_child != NULL) return false;
  if (execution->ready_first != NULL || execution->sliced || execution->holds > 0 || execution->unreached > 0)
    return false;
  if (execution->finished || execution->park_code != NULL) return false;
  return da_isolate_imageable(execution->isolate) && da_isolate_poisoned(execution->L) == DA_POISON_NONE;
}

/* A step that was cancelled and has a moment to end is neither to be begun again nor over. */
static bool is_ending(const da_execution *execution)
{
  for (size_t i = 0; i < execution->child_count; i++) {
    const da_child *child = execution->children[i];
    if (child != NULL && child->under_way && child->canceled) return true;
  }
  return false;
}

static bool is_due(const da_execution *execution, uint64_t calls)
{
  size_t used = da_isolate_used(execution->isolate);
  uint64_t heap = used > LARGE ? (used - LARGE) / BYTES_A_CALL : 0;
  uint64_t since = execution->made - execution->imaged_made;
  return calls == 0 ? since > 0 : since >= (calls > heap ? calls : heap);
}

static void take(da_execution *execution)
{
  da_worker *worker = execution->worker;
  if (execution->seal != NULL) finish(execution->seal, true);
  da_isolate_tidy(execution->isolate, &execution->bundle->hash);
  da_execution_prune(execution);
  execution->imaged_made = execution->made;
  da_seal *seal = da_xcalloc(1, sizeof *seal);
  seal->worker = worker;
  da_worker_ref(worker);
  if (!da_image_state_put(execution, &seal->state)) {
    execution->unimageable = true;
    seal_delete(seal);
    return;
  }
  seal->chore = (da_chore){.work = seal_work, .done = seal_done};
  seal->execution = execution;
  seal->id = da_arena_dup(&seal->arena, execution->id);
  seal->made = execution->made;
  seal->image = (da_image){.bundle = execution->bundle->hash, .generation = execution->generation};
  da_isolate_save(execution->isolate, &execution->bundle->hash, &seal->image.isolate);
  da_isolate_set_imaged(execution->isolate);
  execution->seal = seal;
  (void)da_table_put(&worker->seals, seal->id, seal);
  worker->seal_bytes += seal->image.isolate.size;
  da_step_pool_chore(worker->steps, &seal->chore);
}

void da_image_consider(da_execution *execution)
{
  if (!is_quiet(execution) || !is_due(execution, execution->worker->imaging.every) || is_ending(execution)) return;
  take(execution);
  if (execution->seal != NULL) hurry_if_many(execution->seal);
}

void da_image_cold(da_execution *execution)
{
  if (!is_quiet(execution) || !is_due(execution, execution->worker->imaging.after) || is_ending(execution)) return;
  take(execution);
}
