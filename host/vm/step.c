/* step.c - attempts of a step: named ones on a step thread, inline ones in the isolate; repeated until one succeeds or
 * no more are wanted, then recorded.
 *
 * A step may begin before the record of the call that made its execution is flushed: it runs at least once in any case.
 * Attempts are counted in memory; after a restart they begin anew.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "closure_tables.h"
#include "far.h"
#include "fault.h"
#include "lib.h"

enum {
  SLOW_INLINE_MS = 20,
};

const da_retry da_retry_default = {.max = 5, .first = 1, .factor = 2, .cap = 30, .jitter = 0.2};

static void attempt(da_child *child);

/* ---- an end -------------------------------------------------------------------------------------------- */

/* The thread goes on with the step; nobody listens any more. */
static void let_go(da_child *child)
{
  da_step_job *job = child->job;
  if (job == NULL) return;
  child->job = NULL;
  job->user = NULL;
  bool async = job->native != NULL && job->native->kind == DA_NATIVE_ASYNC;
  if (job->native != NULL) job->native->cancel(job);
  if (async ? job->native->let_go(job) : da_step_pool_withdraw(child->execution->worker->steps, job))
    da_step_job_delete(job);
  da_execution_unref(child->execution);
}

static void stop_timer(da_timer **timer)
{
  da_timer_stop(*timer);
  *timer = NULL;
}

void da_step_stop(da_child *child)
{
  let_go(child);
  stop_timer(&child->timer);
  stop_timer(&child->limit);
}

static void free_args(da_child *child)
{
  char *args;
  memcpy(&args, &child->args.ptr, sizeof args); /* made by da_step_start() */
  free(args);
  child->args = DA_NONE;
}

void da_step_over(da_child *child)
{
  da_execution *execution = child->execution;
  if (child->under_way) {
    da_step_stop(child);
    execution->busy--;
    child->under_way = false;
  }
  free_args(child);
  free(child->cancel_why);
  child->cancel_why = NULL;
  if (child->closure_ref != LUA_NOREF && execution->L != NULL)
    luaL_unref(execution->L, LUA_REGISTRYINDEX, child->closure_ref);
  child->closure_ref = LUA_NOREF;
}

static void finish(da_child *child, da_promise_state state, da_slice data, da_slice rest)
{
  da_call_record(child, state, data, rest); /* first: it is busy all along */
  da_step_over(child);
}

/* ---- cancelled ------------------------------------------------------------------------------------------ */

static void end_canceled(da_child *child)
{
  da_buf json = {0};
  da_fault_json(&json, "canceled", da_slice_of(child->cancel_why));
  finish(child, DA_CANCELED, da_buf_slice(&json), DA_NONE);
  da_buf_free(&json);
}

static void limit_reached(void *arg);

void da_step_cancel(da_child *child, const char *why)
{
  const da_worker *worker = child->execution->worker;
  if (child->settled) child->canceled = true;      /* on a replay: the program wished it */
  if (child->settled || !child->under_way) return; /* recorded, or being recorded: its turn comes */
  child->canceled = true;
  child->cancel_why = da_xstrndup(da_slice_of(why));
  if (child->job == NULL || !da_step_pool_begun(worker->steps, child->job)) {
    end_canceled(child);
    return;
  }
  if (child->job->native != NULL) child->job->native->cancel(child->job);
  int64_t at = da_clock_now_ms() + DA_CANCEL_GRACE_MS;
  stop_timer(&child->limit);
  child->limit = da_timer_start(worker->sched, at < child->timeout_at ? at : child->timeout_at, limit_reached, child);
}

/* ---- one attempt, over --------------------------------------------------------------------------------- */

/* Milliseconds before the attempt after the nth: first * factor^(n-1), at most cap, spread by jitter. */
static int64_t retry_delay_ms(const da_child *child)
{
  const da_retry *retry = &child->retry;
  double seconds = retry->first * pow(retry->factor, child->attempt - 1);
  if (!(seconds < retry->cap)) seconds = retry->cap;
  double spread = (double)(da_hash64(child->id) + (uint64_t)child->attempt * 2654435761u) / 18446744073709551616.0;
  seconds *= 1 + retry->jitter * (2 * spread - 1);
  return (int64_t)(seconds * 1000);
}

/* Is the execution still one whose steps go on? While it is being parked nothing of it runs. */
static bool goes_on(const da_execution *execution)
{
  return execution->state == DA_EXECUTION_RUNNING && execution->park_code == NULL;
}

static void retry_now(void *arg)
{
  da_child *child = arg;
  da_execution *execution = child->execution;
  child->timer = NULL;
  if (!goes_on(execution)) return;
  da_execution_ref(execution);
  attempt(child);
  da_execution_pump(execution);
  da_execution_unref(execution);
}

static void tell_attempt(const da_child *child, da_slice error, int64_t at)
{
  const da_worker *worker = child->execution->worker;
  if (worker->options.event == NULL) return;
  da_event event = {.kind = DA_EVENT_ATTEMPT,
                    .execution = child->execution->id,
                    .child = child->id,
                    .call = child->kind,
                    .func = child->call.func,
                    .attempt = child->attempt,
                    .at_ms = at,
                    .text = error};
  worker->options.event(worker->options.user, &event);
}

static bool wants_more(const da_child *child, int64_t at)
{
  const da_execution *execution = child->execution;
  if (child->attempt >= child->retry.max || at >= child->timeout_at) return false;
  return child->shelter != DA_UNSHELTERED || !(execution->cancel_requested || execution->deadline_passed);
}

/* One attempt ended badly: again later, or recorded as rejected. */
static void attempt_failed(da_child *child, da_slice error, bool fatal)
{
  da_execution *execution = child->execution;
  int64_t at = da_clock_now_ms() + retry_delay_ms(child);
  if (child->canceled) {
    end_canceled(child);
    return;
  }
  if (fatal || !wants_more(child, at)) {
    finish(child, DA_REJECTED, error, DA_NONE);
    return;
  }
  tell_attempt(child, error, at);
  child->timer = da_timer_start(execution->worker->sched, at, retry_now, child);
}

static bool first_remark(da_worker *worker, da_slice func)
{
  if (da_table_get(&worker->noted, func) != NULL) return false;
  da_slice *known = da_arena_alloc(&worker->arena, sizeof *known);
  *known = da_arena_dup(&worker->arena, func);
  (void)da_table_put(&worker->noted, *known, known);
  return true;
}

/* `return nil, "text"` is a success, which its author may not have meant: told once per function. The results are
 * canonical JSON: null, and a list that begins with a text. */
static void note_nil_and_text(const da_child *child, da_slice data, da_slice rest)
{
  da_worker *worker = child->execution->worker;
  if (!da_slice_eq(data, DA_LIT("null")) || !da_slice_starts(rest, DA_LIT("[\""))) return;
  if (worker->options.event == NULL || !first_remark(worker, child->call.func)) return;
  da_buf text = {0};
  da_buf_addf(&text,
              "note: step '%.*s' (%.*s:%u) returned nil and a text, which is recorded as a success; with "
              "`return assert(...)` it would fail and be tried again",
              DA_FMT(child->call.func), DA_FMT(child->call.file), child->call.line);
  da_event event = {
      .kind = DA_EVENT_OUTPUT, .execution = child->execution->id, .child = child->id, .text = da_buf_slice(&text)};
  worker->options.event(worker->options.user, &event);
  da_buf_free(&text);
}

static void attempt_ended(da_child *child, bool ok, da_slice data, da_slice rest, bool fatal)
{
  if (ok) {
    note_nil_and_text(child, data, rest);
    finish(child, DA_RESOLVED, data, rest);
  } else {
    attempt_failed(child, data, fatal);
  }
}

/* ---- named --------------------------------------------------------------------------------------------- */

static void job_progressed(da_step_job *job)
{
  const da_child *child = job->user;
  const da_worker *worker = child->execution->worker;
  if (worker->options.event == NULL || !goes_on(child->execution)) return;
  da_buf text = {0};
  da_progress progress = da_step_job_progress(job);
  da_progress_text(&progress, &text);
  da_event event = {.kind = DA_EVENT_PROGRESS,
                    .execution = child->execution->id,
                    .child = child->id,
                    .call = child->kind,
                    .func = child->call.func,
                    .text = da_buf_slice(&text)};
  worker->options.event(worker->options.user, &event);
  da_buf_free(&text);
}

/* The execution is not pumped; it is the caller's to unref. NULL: the job was let go. */
static da_execution *job_ended(da_step_job *job)
{
  da_child *child = job->user;
  da_execution *execution = child != NULL ? child->execution : NULL;
  if (child != NULL) {
    child->job = NULL;
    if (child->attempt_timeout_ms > 0 && !child->canceled) stop_timer(&child->limit);
    if (goes_on(execution))
      attempt_ended(child, job->ok, da_buf_slice(&job->data), da_buf_slice(&job->rest), job->fatal);
  }
  da_step_job_delete(job);
  return execution;
}

static void job_done(da_step_job *job)
{
  da_execution *execution = job_ended(job);
  if (execution == NULL) return;
  if (goes_on(execution)) da_execution_pump(execution);
  da_execution_unref(execution);
}

/* The deadline of the step, or of this attempt, has come, or a cancelled one has had its time. */
static void limit_reached(void *arg)
{
  da_child *child = arg;
  da_execution *execution = child->execution;
  child->limit = NULL;
  if (!goes_on(execution)) return;
  da_execution_ref(execution);
  let_go(child);
  da_buf json = {0};
  if (child->canceled) {
    end_canceled(child);
  } else if (da_clock_now_ms() >= child->timeout_at) {
    da_fault_json(&json, "timedout", DA_LIT("the step did not end before its deadline"));
    finish(child, DA_TIMEDOUT, da_buf_slice(&json), DA_NONE);
  } else {
    da_fault_json(&json, "timedout", DA_LIT("the attempt did not end in time"));
    attempt_failed(child, da_buf_slice(&json), false);
  }
  da_buf_free(&json);
  da_execution_pump(execution);
  da_execution_unref(execution);
}

static void arm_limit(da_child *child)
{
  stop_timer(&child->limit);
  int64_t at = child->timeout_at;
  if (child->attempt_timeout_ms > 0 && da_clock_now_ms() + child->attempt_timeout_ms < at)
    at = da_clock_now_ms() + child->attempt_timeout_ms;
  if (at < DA_TIME_MAX) child->limit = da_timer_start(child->execution->worker->sched, at, limit_reached, child);
}

/* The attempt as a thread is given it. */
static da_step_job *make_job(da_child *child)
{
  da_execution *execution = child->execution;
  da_step_job *job = da_step_job_new();
  job->version = child->version;
  job->target = da_arena_dup(&job->arena, execution->target);
  job->func = da_arena_dup(&job->arena, child->call.func);
  job->args = da_arena_dup(&job->arena, child->args);
  job->id = da_arena_dup(&job->arena, child->id);
  job->execution = da_arena_dup(&job->arena, execution->id);
  job->attempt = child->attempt;
  job->deadline_ms = da_deadline_told(child);
  job->done = job_done;
  job->progressed = job_progressed;
  job->user = child;
  child->job = job;
  da_execution_ref(execution);
  return job;
}

static void attempt_named(da_child *child)
{
  da_execution *execution = child->execution;
  da_step_job *job = make_job(child);
  job->bundle = da_bundle_ref(da_group_step_bundle(execution, child->call.func, child->version));
  const da_worker_options *options = &execution->worker->options;
  if (options->take_step == NULL || !options->take_step(options->user, job))
    da_step_pool_submit(execution->worker->steps, job);
  arm_limit(child);
}

/* ---- native -------------------------------------------------------------------------------------------- */

/* As attempt_named(). A native of the loop thread ends as it is called, some. */
static void attempt_native(da_child *child)
{
  const da_worker *worker = child->execution->worker;
  const da_worker_options *options = &worker->options;
  const da_native *native = da_worker_native(worker, child->call.func);
  da_step_job *job = make_job(child);
  if (options->take_step == NULL || !options->take_step(options->user, job)) {
    job->native = native;
    job->sched = worker->sched;
    if (native == NULL) { /* of a trial: elsewhere it is missed before */
      child->job = NULL;
      da_step_job_delete(job);
      da_execution_unref(child->execution);
      da_execution_park(child->execution, "native", "the native '%.*s' is not in this process",
                        DA_FMT(child->call.func));
      return;
    }
    if (native->kind != DA_NATIVE_POOL && native->run(job)) {
      da_execution_unref(job_ended(job)); /* whoever made the attempt pumps */
      return;
    }
    if (native->kind == DA_NATIVE_POOL) da_step_pool_submit(worker->steps, job);
  }
  arm_limit(child);
}

/* ---- inline -------------------------------------------------------------------------------------------- */

static void warn_if_slow(const da_child *child, uint64_t begin)
{
  uint64_t ms = (da_clock_mono_ns() - begin) / 1000000;
  if (ms > SLOW_INLINE_MS)
    da_log(DA_LOG_WARN, "inline.slow", "id=%.*s ms=%llu at=%.*s:%u mend=\"make it a named step\"", DA_FMT(child->id),
           (unsigned long long)ms, DA_FMT(child->call.file), child->call.line);
}

/* Takes the four results of the entry function, or an error that it let through, from the top of L. */
static void take_results(da_child *child, lua_State *L, int top, int status)
{
  size_t data_len = 0, rest_len = 0;
  bool ok = status == LUA_OK && lua_toboolean(L, top + 1) != 0;
  const char *data = lua_tolstring(L, status == LUA_OK ? top + 2 : -1, &data_len);
  const char *rest = status == LUA_OK ? lua_tolstring(L, top + 3, &rest_len) : NULL;
  bool fatal = status == LUA_OK && lua_toboolean(L, top + 4) != 0;
  if (status == LUA_OK) {
    attempt_ended(child, ok, da_slice_make(data, data_len), da_slice_make(rest, rest_len), fatal);
    return;
  }
  da_buf json = {0};
  da_fault_json(&json, "error", data != NULL ? da_slice_make(data, data_len) : DA_LIT("error without words"));
  attempt_ended(child, false, da_buf_slice(&json), DA_NONE, true);
  da_buf_free(&json);
}

static void park_for_closure(const da_child *child, const char *name)
{
  da_execution_park(child->execution, "closure",
                    "inline step '%.*s' (%.*s:%u) assigned to '%s', a local outside of it. A replay does not run the "
                    "step again, so '%s' would keep its old value there. Return the value from the step instead: "
                    "%s = await(step(...))",
                    DA_FMT(child->call.func), DA_FMT(child->call.file), child->call.line, name, name, name);
}

/* In a trial: did it change a table? */
static bool park_for_table(const da_child *child, const da_closure_tables *tables, const da_closure_watch *watch)
{
  da_buf way = {0};
  bool changed = da_closure_tables_changed(tables, watch, child->execution->L, &way);
  if (changed)
    da_execution_park(child->execution, "closure",
                      "inline step '%.*s' (%.*s:%u) changed the table '%.*s', which lies outside of it. A replay does "
                      "not run the step again, so the change would be missing there. Return what is new from the step "
                      "and put it into the table behind the await",
                      DA_FMT(child->call.func), DA_FMT(child->call.file), child->call.line, DA_FMT(da_buf_slice(&way)));
  da_buf_free(&way);
  return changed;
}

/* Runs the closure on the isolate's main thread, where it cannot yield. */
static void attempt_inline(da_child *child)
{
  da_execution *execution = child->execution;
  lua_State *L = execution->L;
  int top = lua_gettop(L);
  uint64_t begin = da_clock_mono_ns();
  lua_checkstack(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, child->closure_ref);
  da_closure_watch watch;
  da_closure_watch_begin(&watch, L);
  da_closure_tables *tables = execution->worker->options.watch_tables ? da_closure_tables_new(&watch, L) : NULL;
  lua_checkstack(L, 8);
  int base = lua_gettop(L);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_INLINE);
  lua_pushvalue(L, top + 1);
  execution->inline_child = child;
  da_isolate_set_inline(execution->isolate, true);
  da_watched before = da_watch_enter(execution->worker->watch, L);
  uint32_t span = execution->span_ticks;
  execution->span_ticks = 0; /* its time is its own */
  int status = lua_pcall(L, 1, 4, 0);
  execution->span_ticks = span;
  (void)da_watch_leave(execution->worker->watch, before);
  da_isolate_set_inline(execution->isolate, false);
  execution->inline_child = NULL;
  warn_if_slow(child, begin);
  bool poisoned = da_isolate_poisoned(L) != DA_POISON_NONE || (status != LUA_OK && da_lib_out_of_memory(L, status));
  const char *assigned = poisoned ? NULL : da_closure_watch_changed(&watch, L);
  if (poisoned)
    da_execution_park_poisoned(execution);
  else if (assigned != NULL)
    park_for_closure(child, assigned);
  else if (tables == NULL || !park_for_table(child, tables, &watch))
    take_results(child, L, base, status);
  da_closure_tables_delete(tables);
  lua_settop(L, top);
}

static void attempt(da_child *child)
{
  child->attempt++;
  if (child->kind == DA_CALL_INLINE)
    attempt_inline(child);
  else if (child->native)
    attempt_native(child);
  else
    attempt_named(child);
}

void da_step_start(da_child *child, const da_call_spec *spec)
{
  da_execution *execution = child->execution;
  child->retry = spec->retry != NULL ? *spec->retry : da_retry_default;
  child->attempt_timeout_ms = spec->attempt_timeout_ms;
  child->timeout_ms = spec->timeout_ms;
  child->native = spec->native;
  if (child->kind != DA_CALL_INLINE) child->args = da_slice_make(da_xstrndup(spec->args), spec->args.len);
  child->under_way = true;
  execution->busy++;
  if (!da_far_ask(child) && !da_crash_guard(child)) attempt(child);
}

/* Its time begins anew, as it does where a replay makes the call again. */
void da_step_restart(da_child *child)
{
  const da_call_spec spec = {.timeout_ms = child->timeout_ms, .at_ms = -1};
  child->under_way = true;
  if (!child->settled) da_deadline_set(child, &spec);
  child->execution->busy++;
  if (child->settled)
    da_step_over(child);
  else if (!da_crash_guard(child))
    attempt(child);
}

void da_step_go(da_child *child)
{
  if (child->under_way && goes_on(child->execution)) attempt(child);
}
