/* step_pool.c - threads on which named steps run.
 *
 * One mutex guards everything but what a thread does with its Lua states. The pool outlives its owner while a thread is
 * busy or a line of output is on its way: it is counted.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "step_pool_parts.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "../base/clock.h"
#include "../base/limits.h"
#include "../base/signals.h"
#include "fault.h"

enum { FULL_PAUSES = 20 }; /* of 50 ms, before a full store is asked again */

void da_step_pool_unref(da_step_pool *pool)
{
  bool last = --pool->refs == 0;
  pthread_mutex_unlock(&pool->mutex);
  if (!last) return;
  pthread_cond_destroy(&pool->wake);
  pthread_cond_destroy(&pool->quiet);
  pthread_mutex_destroy(&pool->mutex);
  free(pool->threads);
  free(pool);
}

da_step_job *da_step_job_new(void)
{
  return da_xcalloc(1, sizeof(da_step_job));
}

void da_step_job_delete(da_step_job *job)
{
  if (job == NULL) return;
  da_bundle_unref(job->bundle);
  da_buf_free(&job->data);
  da_buf_free(&job->rest);
  da_arena_free(&job->arena);
  DA_ASSERT(job->report.timer == NULL);
  free(job);
}

da_step_job *da_step_job_of(lua_State *L)
{
  return da_step_state_of(L)->job;
}

/* False: the program is ending. */
static bool ask_store(da_step_pool *pool, da_op *op)
{
  pthread_mutex_lock(&pool->mutex);
  bool open = !pool->closing;
  if (open) pool->asking++;
  pthread_mutex_unlock(&pool->mutex);
  if (!open) {
    op->status = da_fail(&op->err, DA_ECLOSED, "the program is ending");
    return false;
  }
  da_sched_submit_wait(pool->sched, op);
  pthread_mutex_lock(&pool->mutex);
  pool->asking--;
  pthread_cond_signal(&pool->quiet);
  pthread_mutex_unlock(&pool->mutex);
  return true;
}

/* Until the op is the caller's alone, and a moment more. False: nobody waits for the step any more. */
static bool wait_for_room(da_step_pool *pool, const da_step_job *job, da_op *op)
{
  const struct timespec pause = {.tv_nsec = 50 * 1000000L};
  bool wanted = true;
  for (int i = 0; wanted && (i < FULL_PAUSES || atomic_load(&op->shared) > 0); i++) {
    (void)nanosleep(&pause, NULL);
    pthread_mutex_lock(&pool->mutex);
    wanted = !pool->closing && !job->given_up;
    pthread_mutex_unlock(&pool->mutex);
  }
  return wanted;
}

/* A full disk is no failure of the step: it waits, as the records of its execution do. */
void da_step_submit_wait(lua_State *L, da_op *op)
{
  const step_state *state = da_step_state_of(L);
  while (ask_store(state->pool, op) && op->status == DA_EFULL && wait_for_room(state->pool, state->job, op)) continue;
}

const da_native *da_step_native(lua_State *L, da_slice name)
{
  const da_worker_hooks *hooks = &da_step_state_of(L)->pool->hooks;
  return hooks->native != NULL ? hooks->native(hooks->natives, name) : NULL;
}

void da_step_start_request(lua_State *L, da_op *op, const da_root *root)
{
  const step_state *state = da_step_state_of(L);
  da_root whole = *root;
  if (root->target.len == 0) {
    whole.target = state->job->target;
    whole.bundle = &state->bundle->hash;
  }
  (void)da_worker_root_request(op, DA_REQ_PROMISE_CREATE, &whole);
}

/* package.searchers entry: a module of the bundle. Upvalue 1: the step state. */
static int search_bundle(lua_State *L)
{
  step_state *state = lua_touserdata(L, lua_upvalueindex(1));
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  const da_module *module = da_bundle_find(state->bundle, da_slice_make(name, len));
  if (module == NULL) {
    lua_pushfstring(L, "no module '%s' in the bundle", name);
    return 1;
  }
  char *chunk = da_xstrndup(module->file);
  lua_pushfstring(L, "@%s", chunk);
  free(chunk);
  if (luaL_loadbufferx(L, module->text.ptr, module->text.len, lua_tostring(L, -1), "t") != LUA_OK) return lua_error(L);
  return 1;
}

/* Puts search_bundle() first and the script's own directory on package.path, so that C modules beside it are found too.
 */
static void set_searchers(lua_State *L, step_state *state)
{
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  for (lua_Integer i = luaL_len(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushlightuserdata(L, state);
  lua_pushcclosure(L, search_bundle, 1);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 1);
  if (state->bundle->directory != NULL) {
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", state->bundle->directory, state->bundle->directory,
                    lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pop(L, 1);
    lua_getfield(L, -1, "cpath");
    lua_pushfstring(L, "%s/?.so;%s", state->bundle->directory, lua_tostring(L, -1));
    lua_setfield(L, -3, "cpath");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* Lua seeds chance from the clock's second and addresses, which two processes may share. */
static void seed_chance(lua_State *L)
{
  lua_Integer seed[2] = {0, 0};
  (void)getrandom(seed, sizeof seed, 0); /* 16 bytes are never refused once the system is up */
  lua_getglobal(L, "math");
  lua_getfield(L, -1, "randomseed");
  lua_pushinteger(L, seed[0]);
  lua_pushinteger(L, seed[1]);
  lua_call(L, 2, 0);
  lua_pop(L, 1);
}

/* Runs protected: opens the libraries and runs the script. */
static int open_state(lua_State *L)
{
  step_state *state = lua_touserdata(L, 1);
  luaL_openlibs(L);
  seed_chance(L);
  set_searchers(L, state);
  state->pool->hooks.open_step(L);
  const da_module *script = &state->bundle->modules[0];
  lua_pushfstring(L, "@%s", lua_pushlstring(L, script->file.ptr, script->file.len));
  if (luaL_loadbufferx(L, script->text.ptr, script->text.len, lua_tostring(L, -1), "t") != LUA_OK) return lua_error(L);
  lua_call(L, 0, 0);
  return 0;
}

static void state_delete(step_state *state)
{
  if (state == NULL) return;
  lua_close(state->L);
  da_bundle_unref(state->bundle);
  free(state);
}

/* Memory of a step state, within DA_STEP_MEMORY. */
static void *state_alloc(void *user, void *block, size_t before, size_t wanted)
{
  step_state *state = user;
  if (block == NULL) before = 0; /* then it tells the kind of object */
  if (wanted > before && wanted - before > DA_STEP_MEMORY - state->memory) {
    state->outgrown = true;
    return NULL;
  }
  void *moved = NULL;
  if (wanted == 0)
    free(block);
  else if ((moved = realloc(block, wanted)) == NULL)
    return NULL;
  state->memory += wanted - before;
  return moved;
}

/* A new state for the job's bundle, or NULL with the job failed. */
static step_state *state_new(da_step_pool *pool, da_step_job *job)
{
  step_state *state = da_xcalloc(1, sizeof *state);
  state->pool = pool;
  state->bundle = da_bundle_ref(job->bundle);
  state->L = lua_newstate(state_alloc, state);
  DA_ASSERT(state->L != NULL);
  memcpy(lua_getextraspace(state->L), &state, sizeof(void *));
  lua_pushcfunction(state->L, open_state);
  lua_pushlightuserdata(state->L, state);
  if (lua_pcall(state->L, 1, 0, 0) == LUA_OK) return state;
  size_t len = 0;
  const char *text = luaL_tolstring(state->L, -1, &len);
  da_fault_json(&job->data, "error", da_slice_make(text, len));
  job->ok = false;
  job->fatal = true;
  state_delete(state);
  return NULL;
}

static step_state *state_for(step_thread *thread, da_step_job *job)
{
  static _Atomic uint64_t tick;
  int oldest = 0;
  for (int i = 0; i < DA_STEP_STATES; i++) {
    step_state *state = thread->states[i];
    if (state != NULL && da_digest_eq(&state->bundle->hash, &job->bundle->hash)) {
      state->used = ++tick;
      return state;
    }
    if (thread->states[oldest] != NULL && (state == NULL || state->used < thread->states[oldest]->used)) oldest = i;
  }
  state_delete(thread->states[oldest]);
  thread->states[oldest] = state_new(thread->pool, job);
  if (thread->states[oldest] != NULL) thread->states[oldest]->used = ++tick;
  return thread->states[oldest];
}

static void add_string(lua_State *L, int index, da_buf *out)
{
  size_t len = 0;
  const char *text = lua_tolstring(L, index, &len);
  if (text != NULL) da_buf_add(out, text, len);
}

static void run_job(step_thread *thread, da_step_job *job)
{
  if (job->native != NULL) {
    (void)job->native->run(job);
    return;
  }
  step_state *state = state_for(thread, job);
  if (state == NULL) return;
  lua_State *L = state->L;
  state->job = job;
  lua_settop(L, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_STEP_MAIN);
  lua_pushlstring(L, job->func.ptr, job->func.len);
  lua_pushlstring(L, job->args.ptr, job->args.len);
  lua_pushinteger(L, job->version);
  if (lua_pcall(L, 3, 4, 0) == LUA_OK) {
    job->ok = lua_toboolean(L, 1) != 0;
    add_string(L, 2, &job->data);
    add_string(L, 3, &job->rest);
    job->fatal = lua_toboolean(L, 4) != 0;
  } else { /* out of memory, or a fault in an error handler */
    size_t len = 0;
    const char *text = luaL_tolstring(L, -1, &len);
    job->ok = false;
    da_fault_json(&job->data, "error", da_slice_make(text, len));
  }
  lua_settop(L, 0);
  state->job = NULL;
  if (!state->outgrown) return;
  for (int i = 0; i < DA_STEP_STATES; i++)
    if (thread->states[i] == state) thread->states[i] = NULL;
  state_delete(state);
}

static void job_done(void *arg)
{
  da_step_job *job = arg;
  da_step_report_stop(job);
  job->done(job);
}

/* ---- threads ------------------------------------------------------------------------------------------- */

static void *thread_main(void *arg);

/* With the mutex held. Joins one that ended in the place it takes. */
static bool thread_start(da_step_pool *pool)
{
  for (int i = 0; i < pool->places; i++) {
    step_thread *thread = &pool->threads[i];
    if (thread->used && !thread->ended) continue;
    if (thread->used) pthread_join(thread->thread, NULL);
    *thread = (step_thread){.pool = pool};
    thread->used = pthread_create(&thread->thread, NULL, thread_main, thread) == 0;
    if (!thread->used) return false;
    (void)pthread_setname_np(thread->thread, "dahost-step");
    pool->alive++;
    pool->refs++;
    return true;
  }
  return false;
}

static void queue_remove(da_step_pool *pool, da_step_job *job)
{
  *(job->prev != NULL ? &job->prev->next : &pool->first) = job->next;
  *(job->next != NULL ? &job->next->prev : &pool->last) = job->prev;
  job->prev = job->next = NULL;
  job->queued = false;
}

/* To wake a thread costs more than a small step. */
void da_step_wake_one(da_step_pool *pool)
{
  if (pool->waking || pool->idle == 0 || (pool->first == NULL && pool->chore_first == NULL)) return;
  pool->waking = true;
  pthread_cond_signal(&pool->wake);
}

static void sleep_until_woken(da_step_pool *pool)
{
  pool->idle++;
  pthread_cond_wait(&pool->wake, &pool->mutex);
  pool->idle--;
  pool->waking = false;
}

/* With the mutex held, which it gives up while the job runs. */
static void take_job(step_thread *thread, da_step_job *job)
{
  da_step_pool *pool = thread->pool;
  queue_remove(pool, job);
  da_step_wake_one(pool);
  job->running = true;
  job->begun_ms = da_clock_now_ms();
  thread->job = job;
  pool->busy++;
  pthread_mutex_unlock(&pool->mutex);
  run_job(thread, job);
  pthread_mutex_lock(&pool->mutex);
  pool->busy--;
  job->running = false;
  thread->job = NULL;
  if (job->given_up) pool->lost--;
  if (pool->closing)
    da_step_job_delete(job);
  else
    da_sched_post(pool->sched, job_done, job);
}

static bool surplus(const da_step_pool *pool)
{
  return pool->closing || pool->alive - pool->lost > pool->wanted;
}

static void *thread_main(void *arg)
{
  step_thread *thread = arg;
  da_step_pool *pool = thread->pool;
  (void)pthread_sigmask(SIG_SETMASK, &pool->signals, NULL);
  pthread_mutex_lock(&pool->mutex);
  while (!surplus(pool)) {
    if (pool->first != NULL)
      take_job(thread, pool->first);
    else if (pool->chore_first != NULL)
      da_step_take_chore(pool);
    else
      sleep_until_woken(pool);
  }
  pool->alive--;
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < DA_STEP_STATES; i++) state_delete(thread->states[i]);
  pthread_mutex_lock(&pool->mutex);
  thread->ended = true;
  da_step_pool_unref(pool);
  return NULL;
}

/* ---- the loop's side ----------------------------------------------------------------------------------- */

static void on_sigpipe(int number)
{
  (void)number;
}

/* A step that writes to a program which has ended must get an error; the signal would end the process. A handler, since
 * to ignore the signal would be passed on to the programs that steps start. Who embeds this and has a disposition of
 * its own keeps it. */
static void survive_sigpipe(void)
{
  struct sigaction now;
  if (!da_signals_ours()) return; /* then the threads hold it back, and what they start finds it so */
  if (sigaction(SIGPIPE, NULL, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL) return;
  struct sigaction action = {.sa_handler = on_sigpipe, .sa_flags = SA_RESTART};
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGPIPE, &action, NULL);
}

da_step_pool *da_step_pool_new(da_sched *sched, const da_worker_hooks *hooks, int threads,
                               void (*output)(void *user, da_slice execution, da_slice step, da_slice text), void *user)
{
  da_step_pool *pool = da_xcalloc(1, sizeof *pool);
  pool->sched = sched;
  pool->hooks = *hooks;
  pool->output = output;
  pool->user = user;
  pool->refs = 1;
  pool->wanted = threads;
  pool->places = threads * DA_STEP_THREADS_FACTOR;
  pool->threads = da_xcalloc((size_t)pool->places, sizeof *pool->threads);
  (void)pthread_sigmask(SIG_SETMASK, NULL, &pool->signals);
  if (!da_signals_ours()) (void)sigaddset(&pool->signals, SIGPIPE);
  survive_sigpipe();
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pthread_cond_init(&pool->quiet, NULL);
  pthread_mutex_lock(&pool->mutex);
  while (pool->alive < threads && thread_start(pool)) continue;
  DA_ASSERT_OP(pool->alive, >, 0);
  pthread_mutex_unlock(&pool->mutex);
  return pool;
}

static void delete_queue(da_step_pool *pool)
{
  for (da_step_job *job = pool->first, *next; job != NULL; job = next) {
    next = job->next;
    da_step_job_delete(job);
  }
  pool->first = pool->last = NULL;
}

/* An idle thread ends soon. A busy one may never. The mutex is held. */
static void end_threads(da_step_pool *pool)
{
  for (int i = 0; i < pool->places; i++) {
    step_thread *thread = &pool->threads[i];
    if (!thread->used) continue;
    if (thread->job != NULL) {
      da_step_report_stop(thread->job);
      pthread_detach(thread->thread);
      continue;
    }
    pthread_mutex_unlock(&pool->mutex);
    pthread_join(thread->thread, NULL);
    pthread_mutex_lock(&pool->mutex);
  }
}

void da_step_pool_delete(da_step_pool *pool)
{
  if (pool == NULL) return;
  pthread_mutex_lock(&pool->mutex);
  pool->closing = true;
  delete_queue(pool);
  pthread_cond_broadcast(&pool->wake);
  while (pool->asking > 0) pthread_cond_wait(&pool->quiet, &pool->mutex);
  end_threads(pool);
  da_step_pool_unref(pool);
}

void da_step_pool_submit(da_step_pool *pool, da_step_job *job)
{
  pthread_mutex_lock(&pool->mutex);
  job->queued = true;
  job->report.pool = pool;
  job->prev = pool->last;
  job->next = NULL;
  *(pool->last != NULL ? &pool->last->next : &pool->first) = job;
  pool->last = job;
  da_step_wake_one(pool);
  pthread_mutex_unlock(&pool->mutex);
}

bool da_step_pool_begun(da_step_pool *pool, const da_step_job *job)
{
  pthread_mutex_lock(&pool->mutex);
  bool begun = !job->queued;
  pthread_mutex_unlock(&pool->mutex);
  return begun;
}

bool da_step_job_given_up(const da_step_job *job)
{
  da_step_pool *pool = job->report.pool;
  pthread_mutex_lock(&pool->mutex);
  bool given_up = pool->closing || job->given_up;
  pthread_mutex_unlock(&pool->mutex);
  return given_up;
}

bool da_step_pool_withdraw(da_step_pool *pool, da_step_job *job)
{
  pthread_mutex_lock(&pool->mutex);
  bool queued = job->queued;
  if (queued) {
    queue_remove(pool, job);
  } else if (job->running && !job->given_up) {
    job->given_up = true;
    pool->lost++;
    if (pool->alive - pool->lost < pool->wanted) (void)thread_start(pool);
  }
  pthread_mutex_unlock(&pool->mutex);
  return queued;
}

int da_step_pool_busy(da_step_pool *pool)
{
  pthread_mutex_lock(&pool->mutex);
  int busy = pool->busy;
  pthread_mutex_unlock(&pool->mutex);
  return busy;
}

bool da_step_pool_at_work(da_step_pool *pool)
{
  pthread_mutex_lock(&pool->mutex);
  bool at_work = pool->first != NULL || pool->busy > pool->lost;
  pthread_mutex_unlock(&pool->mutex);
  return at_work;
}
