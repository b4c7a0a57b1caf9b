/* worker.c - who drives executions: messages followed, interest in settlements, the warm cache.
 *
 * Interest: a promise somebody else settles is looked up by id among the executions that wait for it here; since every
 * settlement of the store is told in commit order, a completion reaches its execution in that order too.
 * Warm: a suspended isolate stays in memory, oldest evicted first, within warm_limit bytes. Recovery never needs it.
 * Slots: who finds none free queues up; a warm execution is evicted for it, a resting one suspended.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"
#include "restore.h"

#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "far.h"

enum {
  WARM_BYTES = 64 << 20,
  ENTER_NS = 5000000, /* waiting executions are entered at most this long before the loop gets a turn */
  TRIM_MS = 2000      /* after the last execution came to rest the memory of free slots is given back */
};

/* ---- interest ------------------------------------------------------------------------------------------ */

typedef struct da_interest {
  da_slice id; /* owned */
  da_execution **executions;
  size_t count, cap;
} da_interest;

void da_worker_interest(da_worker *worker, da_execution *execution, da_slice id)
{
  da_interest *interest = da_table_get(&worker->interest, id);
  if (interest == NULL) {
    interest = da_xcalloc(1, sizeof *interest);
    interest->id = da_slice_make(da_xstrndup(id), id.len);
    (void)da_table_put(&worker->interest, interest->id, interest);
  }
  if (interest->count == interest->cap) {
    interest->cap = interest->cap != 0 ? interest->cap * 2 : 1;
    interest->executions = da_xrealloc(interest->executions, interest->cap * sizeof(da_execution *));
  }
  interest->executions[interest->count++] = execution;
  da_far_listen(worker, execution->id, interest->id);
}

static void free_interest(da_interest *interest)
{
  char *id;
  memcpy(&id, &interest->id.ptr, sizeof id); /* made above */
  free(id);
  free(interest->executions);
  free(interest);
}

static void remove_interest(da_worker *worker, da_interest *interest, size_t i)
{
  interest->executions[i] = interest->executions[--interest->count];
  da_far_unlisten(worker, interest->id);
  if (interest->count > 0) return;
  (void)da_table_remove(&worker->interest, interest->id);
  free_interest(interest);
}

void da_worker_lose_interest(da_worker *worker, da_execution *execution, da_slice id)
{
  da_interest *interest = da_table_get(&worker->interest, id);
  for (size_t i = interest != NULL ? interest->count : 0; i > 0; i--) {
    if (interest->executions[i - 1] != execution) continue;
    remove_interest(worker, interest, i - 1);
    return;
  }
}

/* Tells every execution that waits for the promise. Telling one may end another. */
static void tell_interest(da_worker *worker, const da_promise *promise)
{
  for (;;) {
    da_interest *interest = da_table_get(&worker->interest, promise->id);
    if (interest == NULL) return;
    da_execution *execution = interest->executions[interest->count - 1];
    remove_interest(worker, interest, interest->count - 1);
    da_execution_ref(execution);
    da_replay_told(execution, promise);
    da_execution_pump(execution);
    da_execution_unref(execution);
  }
}

const da_native *da_worker_native(const da_worker *worker, da_slice name)
{
  const da_worker_hooks *hooks = &worker->options.hooks;
  return hooks->native != NULL ? hooks->native(hooks->natives, name) : NULL;
}

/* ---- cancellation -------------------------------------------------------------------------------------- */

/* If the promise asks an execution to cancel: that execution's id, else empty. */
static da_slice cancel_target(da_slice id)
{
  da_slice tail = DA_LIT("~cancel");
  if (id.len < tail.len + 2 || memcmp(id.ptr + id.len - tail.len, tail.ptr, tail.len) != 0) return DA_NONE;
  return da_slice_make(id.ptr, id.len - tail.len - 1);
}

void da_worker_tell_cancel(da_worker *worker, const da_promise *promise)
{
  da_slice target = cancel_target(promise->id);
  da_execution *execution = target.len != 0 ? da_table_get(&worker->executions, target) : NULL;
  if (execution == NULL || !execution->informed) return; /* one whose records are not read yet finds it there */
  da_slice why = da_arena_dup(&execution->arena, da_call_json(&execution->arena, &promise->value));
  uint64_t seq = promise->settle_seq;
  if (execution->far != NULL) {
    if (execution->cancel_told) return; /* it is looked for, and may be found more than once */
    seq = da_far_seq(execution, 0, false, promise);
  }
  execution->cancel_told = true;
  da_fiber_enqueue(execution,
                   (da_delivery){.seq = seq, .cancels = true, .cancel = why, .settled_at = promise->settled_at});
  da_execution_pump(execution);
}

/* ---- what the sched tells ------------------------------------------------------------------------------ */

static void tell_owner(da_worker *worker, const da_promise *promise)
{
  da_execution *execution = da_table_get(&worker->executions, promise->id);
  if (execution != NULL) {
    if (worker->options.event != NULL) {
      da_event event = {.kind = DA_EVENT_COMPLETED,
                        .execution = execution->id,
                        .func = execution->func,
                        .state = promise->state,
                        .at_ms = promise->settled_at};
      worker->options.event(worker->options.user, &event);
    }
    if (execution->state != DA_EXECUTION_FINISHING)
      da_execution_drop(execution); /* settled from outside, or its deadline */
  }
}

static void on_settled(void *user, const da_promise *promise)
{
  da_worker *worker = user;
  if (worker->closing) return;
  da_abroad_settled(worker, promise->id);
  tell_owner(worker, promise);
  tell_interest(worker, promise);
  da_worker_tell_cancel(worker, promise);
  da_start_tell_follows(worker, promise);
}

static bool admitted(da_worker *worker, da_slice id)
{
  return worker->driving && (worker->driving_all || da_table_get(&worker->admitted, da_id_root(id)) != NULL);
}

static void on_execute(void *user, const da_message *message)
{
  da_worker *worker = user;
  if (worker->closing) return;
  da_execution *execution = da_table_get(&worker->executions, message->id);
  if (execution != NULL && execution->far != NULL && execution->state == DA_EXECUTION_SUSPENDED &&
      execution->version != message->version) {
    da_execution_drop(execution); /* somebody else had it meanwhile */
    execution = NULL;
  }
  if (execution == NULL && da_is_far(worker)) {
    da_far_execute(worker, message);
  } else if (execution == NULL && admitted(worker, message->id)) {
    if (worker->options.shared && !message->pinned)
      da_abroad_consider(worker, message);
    else
      da_execution_claim(da_execution_new(worker, message->id), message->version);
  } else if (execution != NULL && execution->state == DA_EXECUTION_SUSPENDED) {
    da_execution_claim(execution, message->version);
  } else if (execution != NULL && execution->state == DA_EXECUTION_SUSPENDING) {
    execution->recalled = true; /* by the very op that suspended it: its answer comes next */
    execution->recalled_version = message->version;
  }
}

static void on_offered(void *user, da_slice prefix)
{
  da_abroad_offered(user, prefix);
}

static void on_recovered(void *user, da_slice id)
{
  da_worker *worker = user;
  if (worker->options.after_death && !worker->closing) da_crash_note(worker, id);
}

/* What runs here is of a store that is no more. Its ops under way are answered, and mean nothing. */
static void on_reset(void *user)
{
  da_worker *worker = user;
  void *value;
  if (worker->closing) return;
  for (size_t i = 0; da_table_next(&worker->executions, &i, &value);) da_execution_drop(value);
  da_image_finish_all(worker); /* another execution may get the same id */
  da_evicted_delete(worker);
  da_abroad_free(worker);
}

da_sched_events da_worker_events(da_worker *worker)
{
  return (da_sched_events){.settled = on_settled,
                           .execute = on_execute,
                           .recovered = on_recovered,
                           .reset = on_reset,
                           .offered = on_offered,
                           .user = worker};
}

void da_worker_drive(da_worker *worker, bool all)
{
  worker->driving = true;
  worker->driving_all = all;
}

void da_worker_admit(da_worker *worker, da_slice root_id)
{
  if (worker->driving_all || da_table_get(&worker->admitted, root_id) != NULL) return;
  da_slice *key = da_arena_alloc(&worker->arena, sizeof *key);
  *key = da_arena_dup(&worker->arena, root_id);
  (void)da_table_put(&worker->admitted, *key, key);
}

/* ---- the warm cache ------------------------------------------------------------------------------------ */

static void list_add(da_execution **first, da_execution **last, da_execution *execution)
{
  execution->list_prev = *last;
  execution->list_next = NULL;
  *(*last != NULL ? &(*last)->list_next : first) = execution;
  *last = execution;
}

static void list_remove(da_execution **first, da_execution **last, da_execution *execution)
{
  *(execution->list_prev != NULL ? &execution->list_prev->list_next : first) = execution->list_next;
  *(execution->list_next != NULL ? &execution->list_next->list_prev : last) = execution->list_prev;
  execution->list_prev = execution->list_next = NULL;
}

void da_worker_unlist(da_worker *worker, da_execution *execution)
{
  if (execution->resting) {
    execution->resting = false;
    list_remove(&worker->rest_first, &worker->rest_last, execution);
  } else if (execution->state == DA_EXECUTION_SUSPENDED) {
    list_remove(&worker->warm_first, &worker->warm_last, execution);
    worker->warm_bytes -= execution->warm_bytes;
    worker->stats.warm--;
  }
}

static bool at_rest(const da_worker *worker)
{
  return worker->stats.executions == worker->stats.warm;
}

static void trim(void *arg)
{
  da_worker *worker = arg;
  worker->trim_timer = NULL;
  if (at_rest(worker)) da_region_trim(worker->region);
}

void da_worker_look_at_rest(da_worker *worker)
{
  if (worker->closing || worker->trim_timer != NULL || !at_rest(worker)) return;
  worker->trim_timer = da_timer_start(worker->sched, da_clock_now_ms() + TRIM_MS, trim, worker);
}

bool da_worker_make_room(da_worker *worker)
{
  if (worker->warm_first != NULL) {
    da_execution_drop(worker->warm_first);
    return true;
  }
  /* Room as soon as that is written. */
  for (size_t wanted = worker->waiting_count - worker->waiting_head + 1; wanted > 0 && worker->rest_first != NULL;
       wanted--)
    da_execution_rest_over(worker->rest_first);
  return false;
}

void da_worker_rest(da_worker *worker, da_execution *execution)
{
  execution->resting = true;
  list_add(&worker->rest_first, &worker->rest_last, execution);
}

void da_worker_warm(da_worker *worker, da_execution *execution)
{
  execution->warm_bytes = da_isolate_used(execution->isolate) + da_arena_size(&execution->arena) +
                          execution->child_count * sizeof(da_child);
  worker->warm_bytes += execution->warm_bytes;
  worker->stats.warm++;
  list_add(&worker->warm_first, &worker->warm_last, execution);
  while (worker->warm_bytes > worker->warm_limit && worker->warm_first != NULL) (void)da_worker_make_room(worker);
  da_worker_slot_freed(worker);
  da_worker_look_at_rest(worker);
  da_far_freed(worker);
}

/* ---- waiting for a slot -------------------------------------------------------------------------------- */

static void post_entering(da_worker *worker);

static void enter_waiting(void *arg)
{
  da_worker *worker = arg;
  worker->entering = false;
  uint64_t begin = da_clock_mono_ns();
  while (!worker->closing && worker->waiting_head < worker->waiting_count) {
    da_execution *execution = worker->waiting[worker->waiting_head];
    if (!da_execution_enter(execution)) break;
    worker->waiting_head++;
    da_execution_unref(execution);
    if (da_clock_mono_ns() - begin < ENTER_NS) continue;
    post_entering(worker);
    break;
  }
  if (worker->waiting_head == worker->waiting_count) worker->waiting_head = worker->waiting_count = 0;
  da_worker_unref(worker);
}

static void post_entering(da_worker *worker)
{
  if (worker->entering) return;
  worker->entering = true;
  da_worker_ref(worker);
  da_sched_post(worker->sched, enter_waiting, worker);
}

void da_worker_slot_freed(da_worker *worker)
{
  if (worker->waiting_head < worker->waiting_count && !worker->closing) post_entering(worker);
}

static void wait_for_slot(da_worker *worker, da_execution *execution)
{
  if (worker->waiting_count == worker->waiting_cap && worker->waiting_head > worker->waiting_cap / 2) {
    worker->waiting_count -= worker->waiting_head;
    memmove(worker->waiting, worker->waiting + worker->waiting_head, worker->waiting_count * sizeof *worker->waiting);
    worker->waiting_head = 0;
  }
  if (worker->waiting_count == worker->waiting_cap) {
    worker->waiting_cap = worker->waiting_cap != 0 ? worker->waiting_cap * 2 : 16;
    worker->waiting = da_xrealloc(worker->waiting, worker->waiting_cap * sizeof *worker->waiting);
  }
  da_execution_ref(execution);
  worker->waiting[worker->waiting_count++] = execution;
}

void da_worker_enter(da_worker *worker, da_execution *execution)
{
  if (worker->waiting_head < worker->waiting_count || !da_execution_enter(execution)) {
    wait_for_slot(worker, execution);
    if (worker->rest_first != NULL || worker->warm_first != NULL) post_entering(worker);
  }
}

bool da_worker_forget(da_worker *worker, da_slice id, da_slice *busy)
{
  void *value;
  for (size_t i = 0; da_table_next(&worker->executions, &i, &value);) {
    da_execution *execution = value;
    if (!da_slice_eq(execution->id, id) && !da_id_below(execution->id, id)) continue;
    if (execution->state != DA_EXECUTION_SUSPENDED) {
      if (execution->resting) da_execution_rest_over(execution); /* it can be forgotten soon */
      *busy = execution->id;
      return false;
    }
    da_execution_drop(execution);
  }
  return true;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void step_output(void *user, da_slice execution, da_slice step, da_slice text)
{
  da_worker *worker = user;
  if (worker->options.event == NULL) return;
  da_event event = {.kind = DA_EVENT_OUTPUT, .execution = execution, .child = step, .text = text};
  worker->options.event(worker->options.user, &event);
}

da_status da_worker_new(const da_worker_options *options, da_worker **out, da_err *err)
{
  da_worker *worker = da_xcalloc(1, sizeof *worker);
  worker->refs = 1;
  worker->options = *options;
  worker->sched = options->sched;
  if (options->far != NULL) {
    worker->far = *options->far;
    worker->options.far = &worker->far;
  }
  worker->pid = da_arena_dup(&worker->arena, da_slice_of(options->pid));
  worker->warm_limit = options->warm_bytes == SIZE_MAX ? WARM_BYTES : options->warm_bytes;
  worker->span_limit_ms = options->span_limit_ms > 0 ? options->span_limit_ms : DA_WATCH_SPAN_MS;
  worker->watch = da_watch_new();
  da_groups_create(worker);
  da_isolates_options isolates = {.seed = options->secret != NULL ? da_get_u32(options->secret) : 0,
                                  .slot_count = options->slots};
  da_status status = da_region_new(&isolates, &worker->region, err);
  if (status != DA_OK) {
    da_watch_delete(worker->watch);
    da_groups_destroy(worker);
    da_arena_free(&worker->arena);
    free(worker);
    return status;
  }
  worker->steps =
      da_step_pool_new(worker->sched, &options->hooks,
                       options->step_threads > 0 ? options->step_threads : DA_STEP_THREADS, step_output, worker);
  da_restore_create(worker, options);
  *out = worker;
  return DA_OK;
}

void da_worker_steps(da_worker *worker, bool (*visit)(void *user, const da_step_row *row), void *user)
{
  da_step_pool_each(worker->steps, visit, user);
}

void da_worker_ref(da_worker *worker)
{
  worker->refs++;
}

static void free_served(da_worker *worker)
{
  void *value;
  for (size_t i = 0; da_table_next(&worker->bundles, &i, &value);) {
    da_served *served = value;
    da_bundle_unref(served->bundle);
    free(served->functions);
    free(served->declared);
    da_arena_free(&served->declared_arena);
    da_arena_free(&served->arena);
    free(served);
  }
  da_table_free(&worker->bundles);
}

void da_worker_unref(da_worker *worker)
{
  if (--worker->refs > 0) return;
  DA_ASSERT(worker->closing);
  DA_ASSERT_OP(worker->interest.count, ==, 0);
  da_table_free(&worker->executions);
  da_table_free(&worker->interest);
  da_table_free(&worker->admitted);
  da_table_free(&worker->died);
  da_table_free(&worker->attached);
  da_table_free(&worker->told);
  da_far_free_worker(worker);
  da_table_free(&worker->noted);
  da_history_free(worker);
  da_abroad_free(worker);
  da_evicted_delete(worker);
  da_groups_destroy(worker);
  free_served(worker);
  da_region_delete(worker->region);
  da_watch_delete(worker->watch);
  da_arena_free(&worker->arena);
  free(worker);
}

/* What is under way keeps the worker until the sched has told it; nothing is followed any more. */
void da_worker_delete(da_worker *worker)
{
  worker->closing = true;
  da_sched_set_events(worker->sched, &(da_sched_events){0});
  void *value;
  for (size_t i = 0; da_table_next(&worker->executions, &i, &value);) da_execution_drop(value);
  for (size_t i = worker->waiting_head; i < worker->waiting_count; i++) da_execution_unref(worker->waiting[i]);
  free(worker->waiting);
  worker->waiting = NULL;
  worker->waiting_head = worker->waiting_count = 0;
  da_timer_stop(worker->trim_timer);
  worker->trim_timer = NULL;
  da_retreat_free_all(worker);
  da_image_finish_all(worker);
  da_step_pool_delete(worker->steps);
  da_start_free_follows(worker);
  da_worker_unref(worker);
}

bool da_worker_steps_run(const da_worker *worker)
{
  return da_step_pool_at_work(worker->steps);
}

da_worker_stats da_worker_get_stats(const da_worker *worker)
{
  da_worker_stats stats = worker->stats;
  stats.warm_bytes = worker->warm_bytes;
  stats.running = stats.executions - stats.warm;
  stats.step_threads_busy = da_step_pool_busy(worker->steps);
  return stats;
}
