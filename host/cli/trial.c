/* trial.c - one execution run for a test. See trial.h.
 *
 * A life: open(), the loop until the promise settles, somebody stops it, or it dies, close(). The worker goes first and
 * lets go of its jobs, then what mocks still hold is dropped, then the sched tells what it still has to tell.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "../../bindings/bind.h"
#include "../base/clock.h"
#include "../base/limits.h"
#include "history.h"
#include "plugins.h"

enum {
  STEP_THREADS = 2,
  SLOTS = 64,         /* a small region is mapped and unmapped sooner, life by life */
  QUIET_NS = 200000,  /* how often it is looked whether the steps of a life that died have ended */
  QUIET_TIMES = 10000 /* ... and how many times: 2 s */
};

/* 36,000 years: what falls due later does so for the sake of form. */
#define NEVER_MS (INT64_C(1) << 50)

/* A job that a mock does. */
typedef struct taken {
  cli_trial *trial;
  da_step_job *job;
  bool posted; /* run_mock() is to come, in any case */
  struct taken *prev, *next;
} taken;

typedef struct act {
  cli_trial *trial;
  size_t index;
  bool begun;
  bool done;
} act;

struct cli_trial {
  cli_trial_options options;
  cli_trial_result result;
  da_arena arena;
  da_store *store;
  da_sched *sched;
  da_worker *worker;
  uv_timer_t limit;
  char pid[32];
  size_t life; /* from 0 */
  bool running;
  bool over;    /* the end is known */
  bool settled; /* ... but that of detached workflows is waited for */
  bool closing;
  taken *taken;
  act *acts;
};

static cli_trial *under_way; /* of the loop thread */

cli_trial *cli_trial_now(void)
{
  return under_way;
}

int64_t cli_trial_elapsed_ms(const cli_trial *t)
{
  return da_clock_now_ms() - t->options.begin_ms;
}

bool cli_trial_died(const cli_trial *t)
{
  return t->sched != NULL && da_sched_died(t->sched);
}

static void end(cli_trial *t, cli_trial_end how, da_slice text)
{
  if (t->over || t->closing) return;
  t->over = true;
  t->result.end = how;
  t->result.text = da_arena_dup(&t->arena, text);
  if (!t->settled) t->result.elapsed_ms = cli_trial_elapsed_ms(t);
  if (t->sched != NULL) da_sched_stop(t->sched);
}

void cli_trial_stop(cli_trial *t)
{
  end(t, CLI_TRIAL_STOPPED, DA_NONE);
}

/* ---- steps --------------------------------------------------------------------------------------------- */

static void drop_taken(taken *item)
{
  cli_trial *t = item->trial;
  *(item->prev != NULL ? &item->prev->next : &t->taken) = item->next;
  if (item->next != NULL) item->next->prev = item->prev;
  free(item);
}

static void job_over(void *arg)
{
  taken *item = arg;
  da_step_job *job = item->job;
  drop_taken(item);
  job->done(job);
}

static void run_mock(void *arg)
{
  taken *item = arg;
  cli_trial *t = item->trial;
  int64_t takes_ms = 0;
  item->posted = false;
  if (t->closing || t->over || item->job->user == NULL) {
    job_over(item);
    return;
  }
  t->options.hooks.mock(t->options.hooks.user, item->job, &takes_ms);
  if (takes_ms > 0)
    (void)da_timer_start(t->sched, da_clock_now_ms() + takes_ms, job_over, item);
  else
    job_over(item);
}

static bool take_step(void *user, da_step_job *job)
{
  cli_trial *t = user;
  if (!t->options.hooks.step(t->options.hooks.user, job)) return false;
  taken *item = da_xcalloc(1, sizeof *item);
  *item = (taken){.trial = t, .job = job, .posted = true, .next = t->taken};
  if (t->taken != NULL) t->taken->prev = item;
  t->taken = item;
  da_sched_post(t->sched, run_mock, item);
  return true;
}

/* ---- what happens -------------------------------------------------------------------------------------- */

static void count_writes(cli_trial *t)
{
  t->result.writes = da_sched_get_stats(t->sched).commits;
  if (t->result.writes > t->options.writes_max) end(t, CLI_TRIAL_WRITES, DA_NONE);
}

static void hear(void *user, const da_event *event)
{
  cli_trial *t = user;
  if (!t->running || t->closing || t->over) return;
  if (event->kind == DA_EVENT_PARKED) {
    end(t, CLI_TRIAL_PARKED, event->text);
  } else if (event->kind == DA_EVENT_CALLED || event->kind == DA_EVENT_REPLAYED || event->kind == DA_EVENT_OUTPUT) {
    count_writes(t);
    t->options.hooks.event(t->options.hooks.user, event);
  }
}

static bool busy(void *user)
{
  const cli_trial *t = user;
  return da_worker_steps_run(t->worker);
}

static bool pass(void *user, int64_t at_ms)
{
  cli_trial *t = user;
  count_writes(t);
  bool scheduled = t->options.func.len == 0;
  if (scheduled && at_ms - t->options.begin_ms > t->options.horizon_ms)
    end(t, CLI_TRIAL_COMPLETED, DA_NONE);
  else if (at_ms >= NEVER_MS)
    end(t, t->settled ? CLI_TRIAL_COMPLETED : CLI_TRIAL_STALLED, DA_NONE);
  else if (at_ms - t->options.begin_ms > t->options.horizon_ms)
    end(t, CLI_TRIAL_LATE, DA_NONE);
  return !t->over;
}

static void on_limit(uv_timer_t *timer)
{
  end(timer->data, CLI_TRIAL_HUNG, DA_NONE);
}

static void on_act(void *arg)
{
  act *a = arg;
  cli_trial *t = a->trial;
  if (t->over) return;
  bool again = a->begun;
  a->begun = true;
  t->options.hooks.act(t->options.hooks.user, a->index, again);
  a->done = !da_sched_died(t->sched);
}

static void settled(void *user, const da_promise *promise)
{
  cli_trial *t = user;
  if (promise == NULL || t->over || t->closing) return;
  const da_slice *rest = da_map_get(promise->value.headers, DA_LIT("da-rest"));
  t->settled = t->options.detached;
  if (!t->settled) end(t, CLI_TRIAL_COMPLETED, DA_NONE);
  t->result.state = promise->state;
  t->result.data = da_arena_dup(&t->arena, promise->value.data);
  t->result.rest = rest != NULL ? da_arena_dup(&t->arena, *rest) : DA_NONE;
  t->result.elapsed_ms = promise->settled_at - t->options.begin_ms;
}

/* ---- asking -------------------------------------------------------------------------------------------- */

typedef struct soon {
  cli_trial *trial;
  da_op *op;
} soon;

static void submit_soon(void *arg)
{
  soon s = *(soon *)arg;
  da_sched_submit(s.trial->sched, s.op, false); /* the op holds arg: it may be gone now */
}

void cli_trial_fill_settle(da_op *op, da_request *request, da_slice id, da_promise_state state, da_slice data,
                           da_slice rest)
{
  request->id = da_arena_dup(&op->arena, id);
  request->state = state;
  request->value = (da_value){.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, data)};
  if (rest.len > 0) {
    da_pair *pair = da_arena_alloc(&op->arena, sizeof *pair);
    *pair = (da_pair){DA_LIT("da-rest"), da_arena_dup(&op->arena, rest)};
    request->value.has_headers = true;
    request->value.headers = (da_map){pair, 1};
  }
}

void cli_trial_settle_soon(cli_trial *t, da_slice id, da_promise_state state, da_slice data, da_slice rest)
{
  da_op *op = da_op_new();
  cli_trial_fill_settle(op, da_op_request(op, DA_REQ_PROMISE_SETTLE), id, state, data, rest);
  soon *s = da_arena_alloc(&op->arena, sizeof *s);
  *s = (soon){t, op};
  da_sched_post(t->sched, submit_soon, s);
}

void cli_trial_ask(cli_trial *t, da_op *op)
{
  da_sched_submit_wait(t->sched, op);
}

/* ---- a life -------------------------------------------------------------------------------------------- */

static da_status open_worker(cli_trial *t, da_err *err)
{
  uint8_t secret[16];
  da_store_secret(t->store, secret);
  bind_setup();
  da_worker_options worker = {.sched = t->sched,
                              .hooks = cli_worker_hooks(),
                              .targets = t->options.targets,
                              .target_count = t->options.target_count,
                              .pid = t->pid,
                              .secret = secret,
                              .step_threads = STEP_THREADS,
                              .warm_bytes = t->options.evict ? 0 : SIZE_MAX,
                              .after_death = t->life > 0,
                              .slots = SLOTS,
                              .watch_tables = t->options.watch_tables,
                              .take_step = take_step,
                              .event = hear,
                              .user = t};
  da_status status = da_worker_new(&worker, &t->worker, err);
  if (status != DA_OK) return status;
  da_sched_events events = da_worker_events(t->worker);
  da_sched_set_events(t->sched, &events);
  da_worker_drive(t->worker, true);
  for (size_t i = 0; status == DA_OK && i < t->options.target_count; i++)
    status = da_worker_serve_in(t->worker, i, t->options.bundles[i], err);
  return status;
}

static da_status open_life(cli_trial *t, da_err *err)
{
  da_sched_trial trial = {.busy = busy, .pass = pass, .user = t};
  if (t->life < t->options.death_count) {
    trial.die_at = t->options.deaths[t->life].at;
    trial.die_after = t->options.deaths[t->life].after;
  }
  (void)snprintf(t->pid, sizeof t->pid, "local/%zu", t->life + 1);
  da_sched_options sched = {.store = t->store,
                            .profile = da_profile_default,
                            .local_targets = t->options.targets,
                            .local_target_count = t->options.target_count,
                            .pid = t->pid,
                            .fires = t->options.func.len == 0,
                            .trial = &trial};
  /* A task is taken up at once, or its group is not here. Later in each life: recovery leaves alone what was dispatched
   * at its own instant, and between two lives no time passes. */
  sched.profile.retry_timeout_ms = 2 * NEVER_MS + (int64_t)t->life;
  da_status status = da_sched_new(&sched, &t->sched, err);
  if (status == DA_OK) status = open_worker(t, err);
  return status;
}

static void started(void *user, const da_promise *promise, bool created, da_status status, const da_err *err)
{
  cli_trial *t = user;
  (void)promise;
  (void)created;
  if (status != DA_OK && status != DA_ECLOSED) end(t, CLI_TRIAL_FAILED, da_slice_of(err->text));
}

static void follow_started(void *user, const da_promise *promise)
{
  cli_trial *t = user;
  if (promise != NULL) {
    settled(t, promise);
    return;
  }
  da_worker_start(t->worker, t->options.id, t->options.func, 0, t->options.args, t->options.bundles[0], started, t);
  da_worker_follow(t->worker, t->options.id, settled, t);
}

static void arm_acts(cli_trial *t)
{
  for (size_t i = 0; i < t->options.act_count; i++)
    if (!t->acts[i].done) (void)da_timer_start(t->sched, t->options.begin_ms + t->options.acts[i], on_act, &t->acts[i]);
}

typedef struct turns {
  cli_trial *trial;
  int left;
} turns;

static void turn_over(da_op *op);

/* Actions begin when what was asked so far, and what that asked in its turn, is answered: the execution is there. */
static void act_soon(cli_trial *t, int left)
{
  da_op *op = da_op_new();
  turns *state = da_arena_alloc(&op->arena, sizeof *state);
  *state = (turns){t, left};
  op->user = state;
  op->done = turn_over;
  da_sched_submit(t->sched, op, false);
}

static void turn_over(da_op *op)
{
  turns state = *(turns *)op->user;
  bool good = op->status == DA_OK && !state.trial->closing;
  da_op_delete(op);
  if (good && state.left > 0)
    act_soon(state.trial, state.left - 1);
  else if (good)
    arm_acts(state.trial);
}

static void declared(void *user, da_slice id, const da_schedule *schedule, bool changed, const da_err *err)
{
  cli_trial *t = user;
  (void)id;
  (void)changed;
  if (schedule == NULL && !cli_trial_died(t)) end(t, CLI_TRIAL_FAILED, da_slice_of(err->text));
}

static void recovered(void *user)
{
  cli_trial *t = user;
  if (t->closing) return;
  for (size_t i = 0; t->options.func.len == 0 && i < t->options.target_count; i++)
    da_worker_declare(t->worker, i, t->options.bundles[i], declared, t);
  if (t->options.func.len > 0) da_worker_follow(t->worker, t->options.id, follow_started, t);
  act_soon(t, 1);
}

/* Steps that were under way when it died have no one to tell any more, but they run: one at a time, as far as the next
 * life can know. */
static void wait_for_steps(const cli_trial *t)
{
  for (int i = 0; i < QUIET_TIMES && da_worker_get_stats(t->worker).step_threads_busy > 0; i++)
    (void)nanosleep(&(struct timespec){.tv_nsec = QUIET_NS}, NULL);
}

static void close_life(cli_trial *t)
{
  t->closing = true;
  if (t->worker != NULL) {
    wait_for_steps(t);
    da_worker_delete(t->worker);
  }
  for (taken *item = t->taken, *next; item != NULL; item = next) {
    next = item->next;
    if (!item->posted) job_over(item);
  }
  if (t->sched != NULL) da_sched_delete(t->sched);
  t->worker = NULL;
  t->sched = NULL;
  t->closing = false;
}

static void run_life(cli_trial *t)
{
  (void)uv_timer_init(da_sched_loop(t->sched), &t->limit);
  t->limit.data = t;
  (void)uv_timer_start(&t->limit, on_limit, (uint64_t)t->options.real_ms, 0);
  t->running = true;
  da_sched_recover(t->sched, recovered, t);
  da_sched_run(t->sched);
  t->running = false;
  uv_close((uv_handle_t *)&t->limit, NULL); /* gone with the loop */
  t->result.writes = da_sched_get_stats(t->sched).commits;
}

static void run(cli_trial *t)
{
  for (bool died = true; died && !t->over; t->life++) {
    da_err err = {{0}};
    died = false;
    if (open_life(t, &err) != DA_OK) {
      end(t, CLI_TRIAL_FAILED, da_slice_of(err.text));
    } else {
      run_life(t);
      died = da_sched_died(t->sched);
      if (died) t->result.died++;
    }
    close_life(t);
  }
}

da_status cli_trial_functions(da_bundle *bundle, void (*visit)(void *user, const da_function *function), void *user,
                              da_err *err)
{
  cli_trial t = {.options = {.targets = &da_default_target, .bundles = &bundle, .target_count = 1},
                 .store = da_store_open_memory()};
  da_status status = open_life(&t, err);
  size_t count = 0;
  const da_function *functions = status == DA_OK ? da_worker_functions(t.worker, bundle, &count) : NULL;
  for (size_t i = 0; i < count; i++) visit(user, &functions[i]);
  close_life(&t);
  da_store_close(t.store);
  return status;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

typedef struct waiting {
  da_buf ids;
} waiting;

static bool add_waiting(void *user, const da_promise *promise)
{
  waiting *w = user;
  bool function = promise->call.has_bundle || promise->call.kind == DA_CALL_MARK;
  if (promise->state != DA_PENDING || function) return true;
  da_buf_addf(&w->ids, "%.*s\t%s\t%.*s\n", DA_FMT(promise->id), da_call_kind_name(promise->call.kind),
              DA_FMT(promise->call.func));
  return true;
}

typedef da_status writer(da_store *store, const cli_trial *t, da_buf *out, da_err *err);

static da_status write_history(da_store *store, const cli_trial *t, da_buf *out, da_err *err)
{
  return cli_history_write(store, t->options.id, out, err);
}

static da_status write_steps(da_store *store, const cli_trial *t, da_buf *out, da_err *err)
{
  (void)t;
  return cli_history_kinds(store, 1u << DA_CALL_STEP | 1u << DA_CALL_INLINE, out, err);
}

static da_status write_roots(da_store *store, const cli_trial *t, da_buf *out, da_err *err)
{
  (void)t;
  return cli_history_kinds(store, 1u << DA_CALL_ROOT, out, err);
}

static da_status write_waits(da_store *store, const cli_trial *t, da_buf *out, da_err *err)
{
  (void)t;
  waiting w = {0};
  da_arena arena = {0};
  da_status status = da_store_scan_ids(store, DA_NONE, DA_NONE, &arena, add_waiting, &w, err);
  da_buf_add_slice(out, da_buf_slice(&w.ids));
  da_buf_free(&w.ids);
  da_arena_free(&arena);
  return status;
}

/* Nothing, where there is none. */
static da_slice read_result(cli_trial *t, writer *write)
{
  da_err err = {{0}};
  da_buf text = {0};
  da_slice kept = write(t->store, t, &text, &err) == DA_OK ? da_arena_dup(&t->arena, da_buf_slice(&text)) : DA_NONE;
  da_buf_free(&text);
  return kept;
}

static void read_results(cli_trial *t)
{
  da_err err = {{0}};
  if (da_store_begin(t->store, &err) != DA_OK) return;
  if (t->options.func.len > 0) t->result.history = read_result(t, write_history);
  if (t->options.func.len == 0) t->result.roots = read_result(t, write_roots);
  if (t->result.end == CLI_TRIAL_STALLED) t->result.waits = read_result(t, write_waits);
  t->result.steps = read_result(t, write_steps);
  da_store_abort(t->store);
}

cli_trial *cli_trial_run(const cli_trial_options *options, const cli_trial_result **result)
{
  DA_ASSERT(under_way == NULL);
  cli_trial *t = da_xcalloc(1, sizeof *t);
  t->options = *options;
  t->acts = da_xcalloc(options->act_count + 1, sizeof *t->acts);
  for (size_t i = 0; i < options->act_count; i++) t->acts[i] = (act){.trial = t, .index = i};
  t->store = da_store_open_memory();
  under_way = t;
  da_clock_stand(options->begin_ms);
  run(t);
  da_clock_go();
  under_way = NULL;
  read_results(t);
  *result = &t->result;
  return t;
}

void cli_trial_delete(cli_trial *t)
{
  da_store_close(t->store);
  free(t->acts);
  da_arena_free(&t->arena);
  free(t);
}
