/* image_take.c - when an image of an execution is made, and what is written of it.
 *
 * An image is taken when an isolate goes cold, and of one that never does each time it has made so many calls; never of
 * a short history, which is run again faster than an image is written, nor more often than its heap is worth. It is
 * taken between two turns of the program, when every fiber waits; a step may run meanwhile, and is begun anew by
 * whoever goes on from the image, unless it was recorded. Its op lies behind those that recorded what the image
 * presupposes, so it is never durable before them.
 * What follows is found by numbers: see host/store/image.c for the reach.
 * Threads: the loop thread; write_image() and write_reach() on the store thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/log.h"
#include "image_state.h"
#include "restore.h"

enum {
  WINDOW = 128,        /* calls before the reach is raised again: so many ids of each name are looked for */
  BYTES_A_CALL = 2048, /* of the heap: an image of a large one waits for as many calls as its making costs */
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
static void written(da_op *op)
{
  da_worker *worker = op->user;
  const image_write *write = op->call_argument;
  if (op->status == DA_OK && write->bytes.len > 0) {
    worker->stats.images++;
    worker->stats.image_bytes += write->bytes.len;
  } else if (op->status != DA_OK && op->status != DA_EFULL && op->status != DA_ECLOSED) {
    da_log(DA_LOG_WARN, "image.failed", "id=%.*s text=\"%s\"", DA_FMT(write->id), op->err.text);
  }
  da_op_delete(op);
  da_worker_unref(worker);
}

static void submit(da_execution *execution, da_status (*call)(da_store *store, da_op *op, da_err *err), da_slice bytes)
{
  da_op *op = da_op_new();
  image_write *write = da_arena_alloc(&op->arena, sizeof *write);
  execution->reach = execution->made + WINDOW;
  *write = (image_write){.id = da_arena_dup(&op->arena, execution->id),
                         .generation = execution->generation,
                         .reach = execution->reach,
                         .bytes = da_arena_dup(&op->arena, bytes)};
  op->call = call;
  op->call_argument = write;
  op->done = written;
  op->user = execution->worker;
  da_worker_ref(execution->worker);
  da_sched_submit(execution->worker->sched, op, false);
}

void da_image_reach(da_execution *execution)
{
  submit(execution, write_reach, DA_NONE);
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
  uint64_t heap = da_isolate_used(execution->isolate) / BYTES_A_CALL;
  uint64_t since = execution->made - execution->imaged_made;
  return calls == 0 ? since > 0 : since >= (calls > heap ? calls : heap);
}

static void take(da_execution *execution)
{
  const da_imaging *imaging = &execution->worker->imaging;
  da_buf state = {0}, bytes = {0};
  da_isolate_tidy(execution->isolate);
  da_execution_prune(execution);
  execution->imaged_made = execution->made;
  if (da_image_state_put(execution, &state)) {
    da_image image = {
        .bundle = execution->bundle->hash, .generation = execution->generation, .state = da_buf_slice(&state)};
    da_isolate_save(execution->isolate, &execution->bundle->hash, &image.isolate);
    if (da_image_seal(&imaging->key, &imaging->abi, execution->id, &image, &bytes)) {
      submit(execution, write_image, da_buf_slice(&bytes));
      da_isolate_set_imaged(execution->isolate);
      da_log(DA_LOG_DEBUG, "image.taken", "id=%.*s calls=%llu heap=%zu base=%d state=%zu bytes=%zu",
             DA_FMT(execution->id), (unsigned long long)execution->made, image.isolate.size, image.isolate.has_base,
             state.len, bytes.len);
    }
    da_isolate_image_free(&image.isolate);
  } else {
    execution->unimageable = true;
  }
  da_buf_free(&bytes);
  da_buf_free(&state);
}

void da_image_consider(da_execution *execution)
{
  if (!is_quiet(execution) || !is_due(execution, execution->worker->imaging.every) || is_ending(execution)) return;
  take(execution);
}

void da_image_cold(da_execution *execution)
{
  if (!is_quiet(execution) || !is_due(execution, execution->worker->imaging.after) || is_ending(execution)) return;
  take(execution);
}
