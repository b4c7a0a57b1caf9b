/* bind_call.c - calls of natives: their life, their tokens, and the Lua states that their values lie in.
 *
 * A call has a Lua state of its own, without libraries, that is used again by later ones; so its values are copies, and
 * whatever thread has the call works on them without a lock. What several threads may look at at once (has it been
 * cancelled, is it claimed) is guarded by one mutex, held for a few instructions.
 *
 * A token is a place among the calls that are deferred and a serial number that no other call ever has: one that is
 * over, or whose host is gone, is found out.
 *
 * Life of a deferred call:  begun --dahost_defer()--> waiting --dahost_claim()--> claimed --dahost_complete()--> over
 *                           waiting --let go--> over;  claimed --let go--> dead --dahost_complete()--> over
 *
 * Threads:  as dahost.h says of each function.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../host/base/clock.h"
#include "../host/base/limits.h"
#include "../host/base/log.h"
#include "../host/vm/fault.h"
#include "bind_error.h"
#include "bind_native.h"
#include "bind_value.h"

enum {
  FREE_MAX = 64,            /* calls that are kept for later ones */
  FREE_MEMORY = 256 * 1024, /* a state that has grown beyond is not kept */
};

/* Recursive: what is called when a call is cancelled may claim and complete it. */
static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER; /* a call is begun, or completed */
/* Those deferred and not over, by the place that their tokens name; a free place has the next free one, or 0. */
static struct place {
  dahost_call *call;
  size_t next;
} * places;
static size_t place_count, free_place;
static dahost_call *free_calls;
static int free_count;
static uint64_t last_serial;

/* ---- states --------------------------------------------------------------------------------------------- */

/* Memory that ends is the end of the process, as everywhere outside of isolates and steps: an error of Lua must not
 * jump over a function that knows nothing of it. */
static void *allocate(void *user, void *block, size_t before, size_t wanted)
{
  (void)user;
  (void)before;
  if (wanted == 0) {
    free(block);
    return NULL;
  }
  return da_xrealloc(block, wanted);
}

static void push_id(lua_State *L, da_slice id)
{
  lua_createtable(L, 0, 1);
  lua_pushlstring(L, id.ptr, id.len);
  lua_setfield(L, -2, "id");
}

static void push_name(lua_State *L, da_slice name)
{
  lua_pushlstring(L, name.ptr, name.len);
}

static dahost_call *new_call(void)
{
  static const bind_value_hooks hooks = {NULL, push_id, NULL, push_name, true};
  dahost_call *call = da_xcalloc(1, sizeof *call);
  call->L = lua_newstate(allocate, NULL);
  bind_value_open(call->L, &hooks);
  call->R = lua_newthread(call->L);
  lua_setfield(call->L, LUA_REGISTRYINDEX, "results");
  return call;
}

static void close_call(dahost_call *call)
{
  lua_close(call->L);
  free(call);
}

static dahost_call *take_call(void)
{
  pthread_mutex_lock(&mutex);
  dahost_call *call = free_calls;
  if (call != NULL) {
    free_calls = call->next;
    free_count--;
  }
  pthread_mutex_unlock(&mutex);
  if (call == NULL) call = new_call();
  *call = (dahost_call){.L = call->L, .R = call->R};
  return call;
}

static void give_back(dahost_call *call)
{
  bind_library_unref(call->native->library);
  free(call->id);
  lua_settop(call->L, 0);
  lua_settop(call->R, 0);
  bool small = lua_gc(call->L, LUA_GCCOUNT) < FREE_MEMORY / 1024;
  pthread_mutex_lock(&mutex);
  bool keep = small && free_count < FREE_MAX;
  if (keep) {
    call->next = free_calls;
    free_calls = call;
    free_count++;
  }
  pthread_mutex_unlock(&mutex);
  if (!keep) close_call(call);
}

/* At the end of the process a leak checker is to find nothing. Threads may still run then, which keep nothing any more
 * and whose tokens name nothing. */
__attribute__((destructor)) static void close_free(void)
{
  pthread_mutex_lock(&mutex);
  dahost_call *call = free_calls;
  free_calls = NULL;
  free_count = FREE_MAX;
  free(places);
  places = NULL;
  place_count = free_place = 0;
  pthread_mutex_unlock(&mutex);
  while (call != NULL) {
    dahost_call *next = call->next;
    close_call(call);
    call = next;
  }
}

/* ---- the end of a call ---------------------------------------------------------------------------------- */

/* What the call comes to, put into the job. R holds results, or the error. */
static void fill(dahost_call *call)
{
  da_step_job *job = call->job;
  da_err err = {{0}};
  da_buf_clear(&job->data);
  da_buf_clear(&job->rest);
  job->ok = !call->failed &&
            bind_value_encode_results(call->R, 1, lua_gettop(call->R), "result", &job->data, &job->rest, &err) == DA_OK;
  if (job->ok) return;
  if (!call->failed) {
    dahost_fail(call, "unserializable", "%s", err.text);
    dahost_fail_fatal(call); /* as a step in Lua */
  }
  lua_settop(call->R, 1);
  if (job->attempt > 0) {
    lua_pushinteger(call->R, job->attempt);
    lua_setfield(call->R, 1, "attempts");
  }
  job->fatal = call->fatal;
  if (bind_value_encode_error(call->R, 1, "error", &job->data, &err) != DA_OK)
    da_fault_json(&job->data, "error", da_slice_of(err.text));
}

/* With the mutex held, as the next three. */
static void put_in(dahost_call *call)
{
  if (free_place == 0) {
    size_t more = place_count == 0 ? 64 : 2 * place_count;
    places = da_xrealloc(places, more * sizeof *places);
    for (size_t i = place_count == 0 ? 1 : place_count; i < more; i++) { /* no place is 0 */
      places[i] = (struct place){.next = free_place};
      free_place = i;
    }
    place_count = more;
  }
  call->place = free_place;
  free_place = places[call->place].next;
  places[call->place].call = call;
}

static void take_out(dahost_call *call)
{
  if (call->place >= place_count) return; /* the process ends: close_free() was there */
  places[call->place] = (struct place){.next = free_place};
  free_place = call->place;
  call->place = 0;
}

static dahost_call *find(dahost_token token)
{
  dahost_call *call = token.bits[0] > 0 && token.bits[0] < place_count ? places[token.bits[0]].call : NULL;
  return call != NULL && call->serial == token.bits[1] ? call : NULL;
}

/* ---- running -------------------------------------------------------------------------------------------- */

static int run_protected(lua_State *L)
{
  dahost_call *call = lua_touserdata(L, 1);
  da_err err = {{0}};
  lua_settop(L, 0);
  if (bind_value_decode_array(L, call->job->args, &call->arg_count, &err) != DA_OK)
    return luaL_error(L, "%s", err.text);
  call->native->fn(call, call->native->user);
  return 0;
}

/* An error that Lua raised in it, by way of dahost_lua(). */
static void raised(dahost_call *call)
{
  if (call->failed) return;
  if (lua_type(call->L, -1) != LUA_TTABLE || bind_value_mark(call->L, -1) != BIND_MARK_ERROR) {
    dahost_fail(call, NULL, "%s", luaL_tolstring(call->L, -1, NULL));
    return;
  }
  lua_settop(call->R, 0);
  lua_pushvalue(call->L, -1);
  lua_xmove(call->L, call->R, 1);
  call->failed = true;
}

static dahost_call *begin(da_step_job *job)
{
  dahost_call *call = take_call();
  call->native = (const bind_native *)(const void *)job->native;
  call->job = job;
  call->id = da_xstrndup(job->id);
  call->attempt = job->attempt;
  call->deadline_ms = job->deadline_ms;
  call->within = job->within;
  call->runner = pthread_self();
  bind_library_ref(call->native->library);
  pthread_mutex_lock(&mutex);
  job->native_call = call;
  pthread_mutex_unlock(&mutex);
  return call;
}

bool bind_call_run(da_step_job *job)
{
  dahost_call *call = begin(job);
  lua_pushcfunction(call->L, run_protected);
  lua_pushlightuserdata(call->L, call);
  bool ended_well = lua_pcall(call->L, 1, 0, 0) == LUA_OK;
  if (!ended_well) raised(call);
  pthread_mutex_lock(&mutex);
  bool deferred = call->deferred && ended_well;
  if (call->deferred && !deferred) take_out(call);
  call->begun = true;
  if (!deferred) {
    job->native_call = NULL;
    call->on_cancel = NULL;
  }
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  if (deferred) return false; /* it may be over already */
  fill(call);
  give_back(call);
  return true;
}

/* The callback runs under the mutex, so it is over before the function returns or the call is completed. */
void bind_call_cancel(da_step_job *job)
{
  pthread_mutex_lock(&mutex);
  dahost_call *call = job->native_call;
  if (call != NULL && !call->canceled) {
    void (*fn)(void *data) = call->on_cancel;
    call->canceled = true;
    call->on_cancel = NULL;
    if (fn != NULL) fn(call->on_cancel_data);
  }
  pthread_mutex_unlock(&mutex);
}

bool bind_call_let_go(da_step_job *job)
{
  pthread_mutex_lock(&mutex);
  dahost_call *call = job->native_call;
  while (call != NULL && call->completing) { /* not long: it posts the job, and after this the loop may be gone */
    pthread_cond_wait(&changed, &mutex);
    call = job->native_call;
  }
  bool free_now = call != NULL && !call->claimed;
  if (call != NULL) {
    job->native_call = NULL;
    call->job = NULL;
    call->dead = true;
    take_out(call);
  }
  pthread_mutex_unlock(&mutex);
  if (free_now) give_back(call);
  return call != NULL;
}

/* ---- ending later --------------------------------------------------------------------------------------- */

dahost_token dahost_defer(dahost_call *call)
{
  dahost_token token = {{0, 0}};
  if (call->native->native.kind != DA_NATIVE_ASYNC) {
    dahost_fail(call, "misuse", "%.*s is not ASYNC: only such a call can be deferred",
                DA_FMT(call->native->native.name));
    dahost_fail_fatal(call);
    return token;
  }
  pthread_mutex_lock(&mutex);
  if (!call->deferred) {
    call->deferred = true;
    call->serial = ++last_serial;
    put_in(call);
  }
  token = (dahost_token){{call->place, call->serial}};
  pthread_mutex_unlock(&mutex);
  return token;
}

/* With the mutex held. */
static const char *token_error(const dahost_call *call)
{
  if (call == NULL)
    return "nobody waits for this call any more: it was completed, it was given up, or its host is gone";
  if (call->claimed) return "this call is claimed already";
  if (!call->begun && pthread_equal(call->runner, pthread_self()) != 0)
    return "this call is still being begun: return from its function first";
  return NULL;
}

const char *dahost_token_error(dahost_token token)
{
  pthread_mutex_lock(&mutex);
  const char *words = token_error(find(token));
  pthread_mutex_unlock(&mutex);
  return words;
}

dahost_call *dahost_claim(dahost_token token)
{
  pthread_mutex_lock(&mutex);
  dahost_call *call = find(token);
  while (call != NULL && !call->begun && token_error(call) == NULL) {
    pthread_cond_wait(&changed, &mutex);
    call = find(token);
  }
  if (token_error(call) != NULL)
    call = NULL;
  else
    call->claimed = true;
  pthread_mutex_unlock(&mutex);
  return call;
}

static void post_done(void *arg)
{
  da_step_job *job = arg;
  job->done(job);
}

void dahost_complete(dahost_call *call)
{
  pthread_mutex_lock(&mutex);
  bool has_it = call->claimed;
  bool dead = call->dead;
  call->completing = has_it && !dead;
  call->on_cancel = NULL;
  pthread_mutex_unlock(&mutex);
  DA_ASSERT(has_it);
  if (!has_it) {
    da_log(DA_LOG_ERROR, "native.misuse", "text=\"dahost_complete: the call was not claimed\"");
    return;
  }
  if (!dead) {
    da_step_job *job = call->job;
    fill(call);
    pthread_mutex_lock(&mutex);
    take_out(call);
    job->native_call = NULL;
    da_sched_post(job->sched, post_done, job);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
  }
  give_back(call);
}

void dahost_on_cancel(dahost_call *call, void (*fn)(void *data), void *data)
{
  pthread_mutex_lock(&mutex);
  call->on_cancel = call->canceled ? NULL : fn;
  call->on_cancel_data = data;
  if (call->canceled && fn != NULL) fn(data);
  pthread_mutex_unlock(&mutex);
}

bool dahost_call_canceled(const dahost_call *call)
{
  pthread_mutex_lock(&mutex);
  bool canceled = call->canceled || call->dead;
  pthread_mutex_unlock(&mutex);
  return canceled || (call->within != NULL && da_step_job_given_up(call->within));
}

const char *dahost_call_id(const dahost_call *call)
{
  return call->id;
}

int dahost_call_attempt(const dahost_call *call)
{
  return call->attempt;
}

int64_t dahost_call_deadline(const dahost_call *call)
{
  return call->deadline_ms >= DA_TIME_MAX ? INT64_MAX : call->deadline_ms;
}
