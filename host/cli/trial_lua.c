/* trial_lua.c - trials as Lua calls, for lua/da/test.lua: values go in and out as the JSON that a record would hold.
 *
 * Natives:  script(path) -> bundle, {name = is it a workflow?}   trial(spec, hook) -> result   replay(text, bundle)
 *           in a hook: settle, get, cancel, settle_soon, elapsed
 * The hook is one function; what it is called for is its first argument: step, mock, call, output, act. What it raises
 * ends the trial and is raised by trial().
 * May not:  decide what a test means: that is test.lua's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "trial_lua.h"

#include "../../bindings/bind.h"
#include "../../bindings/bind_error.h"
#include "../../bindings/bind_value.h"
#include "../vm/fault.h"
#include "event.h"
#include "rehearse.h"
#include "trial.h"

#define BUNDLE "dahost.bundle"

/* ---- helpers ------------------------------------------------------------------------------------------- */

static void push_slice(lua_State *L, da_slice s)
{
  if (s.ptr != NULL)
    lua_pushlstring(L, s.ptr, s.len);
  else
    lua_pushnil(L);
}

static da_slice slice_at(lua_State *L, int index)
{
  size_t len = 0;
  const char *text = lua_tolstring(L, index, &len);
  return da_slice_make(text, len);
}

static void set_slice(lua_State *L, const char *name, da_slice s)
{
  push_slice(L, s);
  lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, int64_t n)
{
  lua_pushinteger(L, n);
  lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *text)
{
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

/* ---- scripts ------------------------------------------------------------------------------------------- */

static da_bundle *bundle_at(lua_State *L, int index)
{
  da_bundle **held = luaL_checkudata(L, index, BUNDLE);
  return *held;
}

static int bundle_gc(lua_State *L)
{
  da_bundle_unref(bundle_at(L, 1));
  return 0;
}

static da_bundle **new_bundle(lua_State *L)
{
  da_bundle **held = lua_newuserdatauv(L, sizeof *held, 0);
  *held = NULL;
  if (luaL_newmetatable(L, BUNDLE)) {
    lua_pushcfunction(L, bundle_gc);
    lua_setfield(L, -2, "__gc");
  }
  (void)lua_setmetatable(L, -2);
  return held;
}

static void add_function(void *user, const da_function *function)
{
  lua_State *L = user;
  push_slice(L, function->name);
  lua_pushboolean(L, function->workflow);
  lua_rawset(L, -3);
}

/* script(path) -> bundle, {name = workflow?}; or nil, words */
static int script(lua_State *L)
{
  const char *path = luaL_checkstring(L, 1);
  da_err err = {{0}};
  da_bundle **held = new_bundle(L);
  da_status status = da_bundle_read(path, held, &err);
  lua_newtable(L);
  luaL_checkstack(L, 8, "script");
  if (status == DA_OK) status = cli_trial_functions(*held, add_function, L, &err);
  if (status == DA_OK) return 2;
  lua_pushnil(L);
  lua_pushstring(L, err.text);
  return 2;
}

/* ---- hooks --------------------------------------------------------------------------------------------- */

enum { SPEC = 1, HOOK = 2, FAULT = 3 };

/* On the stack of trial(): its spec, the hook, and what a hook raised. */
typedef struct run {
  lua_State *L;
  bool failed;
} run;

static void begin_hook(const run *r, const char *what)
{
  luaL_checkstack(r->L, 12, "hook");
  lua_pushvalue(r->L, HOOK);
  lua_pushstring(r->L, what);
}

static bool call_hook(run *r, int args, int results)
{
  if (lua_pcall(r->L, args + 1, results, 0) == LUA_OK) return true;
  if (cli_trial_died(cli_trial_now())) { /* what it asked was not answered; it is called again */
    lua_pop(r->L, 1);
    return false;
  }
  if (!r->failed) lua_copy(r->L, -1, FAULT);
  r->failed = true;
  lua_pop(r->L, 1);
  cli_trial_stop(cli_trial_now());
  return false;
}

static void push_job(const run *r, const da_step_job *job)
{
  push_slice(r->L, job->func);
  push_slice(r->L, job->id);
  lua_pushinteger(r->L, job->attempt);
  push_slice(r->L, job->args);
}

static bool on_step(void *user, const da_step_job *job)
{
  run *r = user;
  begin_hook(r, "step");
  push_job(r, job);
  if (!call_hook(r, 4, 1)) return false;
  bool mocked = lua_toboolean(r->L, -1) != 0;
  lua_pop(r->L, 1);
  return mocked;
}

static void on_mock(void *user, da_step_job *job, int64_t *takes_ms)
{
  run *r = user;
  lua_State *L = r->L;
  begin_hook(r, "mock");
  push_job(r, job);
  if (!call_hook(r, 4, 5)) {
    da_fault_json(&job->data, "error", DA_LIT("the test stopped"));
    job->ok = false;
    job->fatal = true;
    return;
  }
  job->ok = lua_toboolean(L, -5) != 0;
  da_buf_add_slice(&job->data, slice_at(L, -4));
  da_buf_add_slice(&job->rest, slice_at(L, -3));
  job->fatal = lua_toboolean(L, -2) != 0;
  *takes_ms = lua_tointeger(L, -1);
  lua_pop(L, 5);
}

/* The hook may answer with how the promise is to be settled: state, data, rest. */
static void on_call(run *r, const da_event *event)
{
  lua_State *L = r->L;
  begin_hook(r, "call");
  push_slice(L, event->child);
  lua_pushstring(L, da_call_kind_name(event->call));
  lua_pushboolean(L, event->state == DA_PENDING);
  if (!call_hook(r, 3, 3)) return;
  if (!lua_isnil(L, -3))
    cli_trial_settle_soon(cli_trial_now(), event->child, lua_toboolean(L, -3) ? DA_RESOLVED : DA_REJECTED,
                          slice_at(L, -2), slice_at(L, -1));
  lua_pop(L, 3);
}

static void on_event(void *user, const da_event *event)
{
  run *r = user;
  if (event->kind != DA_EVENT_OUTPUT) {
    on_call(r, event);
    return;
  }
  begin_hook(r, "output");
  push_slice(r->L, event->text);
  (void)call_hook(r, 1, 0);
}

static void on_act(void *user, size_t index, bool again)
{
  run *r = user;
  begin_hook(r, "act");
  lua_pushinteger(r->L, (lua_Integer)index + 1);
  lua_pushboolean(r->L, again);
  (void)call_hook(r, 2, 0);
}

/* ---- the run ------------------------------------------------------------------------------------------- */

static da_slice text_field(lua_State *L, const char *name)
{
  lua_getfield(L, SPEC, name);
  da_slice s = slice_at(L, -1);
  lua_pop(L, 1); /* the table holds it */
  return s;
}

static int64_t integer_field(lua_State *L, const char *name)
{
  lua_getfield(L, SPEC, name);
  int64_t n = luaL_checkinteger(L, -1);
  lua_pop(L, 1);
  return n;
}

static bool flag_field(lua_State *L, const char *name)
{
  lua_getfield(L, SPEC, name);
  bool on = lua_toboolean(L, -1) != 0;
  lua_pop(L, 1);
  return on;
}

/* Leaves a userdata on the stack. The list is behind it until the caller pops both. */
static void *list_field(lua_State *L, const char *name, size_t item_size, size_t *count)
{
  lua_getfield(L, SPEC, name);
  luaL_checktype(L, -1, LUA_TTABLE);
  *count = (size_t)luaL_len(L, -1);
  void *items = lua_newuserdatauv(L, (*count + 1) * item_size, 0);
  lua_insert(L, -2);
  return items;
}

static int64_t list_item(lua_State *L, size_t i)
{
  lua_rawgeti(L, -1, (lua_Integer)i + 1);
  int64_t n = luaL_checkinteger(L, -1);
  lua_pop(L, 1);
  return n;
}

/* A death is a number: n behind the nth write, -n before it. */
static void read_deaths(lua_State *L, cli_trial_options *options)
{
  cli_death *deaths = list_field(L, "deaths", sizeof *deaths, &options->death_count);
  for (size_t i = 0; i < options->death_count; i++) {
    int64_t n = list_item(L, i);
    deaths[i] = (cli_death){.at = (uint64_t)(n < 0 ? -n : n), .after = n > 0};
  }
  lua_pop(L, 1);
  options->deaths = deaths;
}

static void read_acts(lua_State *L, cli_trial_options *options)
{
  int64_t *acts = list_field(L, "acts", sizeof *acts, &options->act_count);
  for (size_t i = 0; i < options->act_count; i++) acts[i] = list_item(L, i);
  lua_pop(L, 1);
  options->acts = acts;
}

/* The spec holds what is borrowed of it. */
static void read_groups(lua_State *L, cli_trial_options *options)
{
  size_t count;
  da_slice *targets = list_field(L, "targets", sizeof *targets, &options->target_count);
  for (size_t i = 0; i < options->target_count; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    targets[i] = slice_at(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  da_bundle **bundles = list_field(L, "bundles", sizeof *bundles, &count);
  luaL_argcheck(L, count == options->target_count, SPEC, "a bundle for each target");
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    bundles[i] = bundle_at(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  options->targets = targets;
  options->bundles = bundles;
}

static const char *const end_names[] = {
    [CLI_TRIAL_COMPLETED] = "completed", [CLI_TRIAL_PARKED] = "parked", [CLI_TRIAL_STALLED] = "stalled",
    [CLI_TRIAL_LATE] = "late",           [CLI_TRIAL_WRITES] = "writes", [CLI_TRIAL_HUNG] = "hung",
    [CLI_TRIAL_STOPPED] = "stopped",     [CLI_TRIAL_FAILED] = "failed"};

/* (result) -> table */
static int push_result(lua_State *L)
{
  const cli_trial_result *result = lua_touserdata(L, 1);
  lua_newtable(L);
  set_text(L, "ending", end_names[result->end]);
  set_slice(L, "text", result->text);
  set_integer(L, "elapsed_ms", result->elapsed_ms);
  set_integer(L, "writes", (int64_t)result->writes);
  set_integer(L, "died", (int64_t)result->died);
  set_slice(L, "waits", result->waits);
  set_slice(L, "steps", result->steps);
  set_slice(L, "roots", result->roots);
  set_slice(L, "history", result->history);
  if (result->end != CLI_TRIAL_COMPLETED) return 1;
  set_text(L, "state", da_promise_state_name(result->state));
  set_slice(L, "data", result->data);
  set_slice(L, "rest", result->rest);
  return 1;
}

/* trial(spec, hook) -> result; the spec: targets, bundles, id, func, args (JSON), begin, horizon, real (ms), writes,
 * evict, detached, tables, deaths, acts */
static int trial(lua_State *L)
{
  luaL_checktype(L, SPEC, LUA_TTABLE);
  luaL_checktype(L, HOOK, LUA_TFUNCTION);
  if (cli_trial_now() != NULL) return luaL_error(L, "a trial runs already; t.run() cannot be called from a hook");
  lua_settop(L, HOOK);
  lua_pushnil(L); /* FAULT */
  run r = {.L = L};
  cli_trial_options options = {.id = text_field(L, "id"),
                               .func = text_field(L, "func"),
                               .args = text_field(L, "args"),
                               .begin_ms = integer_field(L, "begin"),
                               .horizon_ms = integer_field(L, "horizon"),
                               .real_ms = integer_field(L, "real"),
                               .writes_max = (uint64_t)integer_field(L, "writes"),
                               .hooks = {on_step, on_mock, on_event, on_act, &r}};
  options.evict = flag_field(L, "evict");
  options.detached = flag_field(L, "detached");
  options.watch_tables = flag_field(L, "tables");
  read_groups(L, &options);
  read_deaths(L, &options);
  read_acts(L, &options);
  const cli_trial_result *result;
  cli_trial *t = cli_trial_run(&options, &result);
  union {
    const void *in;
    void *out;
  } pointer = {result};
  lua_pushcfunction(L, push_result);
  lua_pushlightuserdata(L, pointer.out);
  int status = lua_pcall(L, 1, 1, 0);
  cli_trial_delete(t);
  if (r.failed) lua_pushvalue(L, FAULT);
  return r.failed || status != LUA_OK ? lua_error(L) : 1;
}

/* ---- in a hook ----------------------------------------------------------------------------------------- */

static cli_trial *running(lua_State *L)
{
  cli_trial *t = cli_trial_now();
  if (t == NULL) luaL_error(L, "no trial runs; this is for the functions in `at`, while they run");
  return t;
}

/* The first answer; the op is deleted by the caller. NULL, with the words pushed: there is none. */
static const da_reply *ask(lua_State *L, da_op *op)
{
  cli_trial_ask(running(L), op);
  const da_reply *reply = op->status == DA_OK ? &op->outcomes[0].reply : NULL;
  if (reply != NULL && reply->status == 200) return reply;
  if (reply == NULL)
    lua_pushstring(L, op->err.text);
  else
    push_slice(L, reply->message);
  return NULL;
}

/* settle(id, ok, data, rest) -> the state it is in now; or nil, words */
static int settle(lua_State *L)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  cli_trial_fill_settle(op, request, slice_at(L, 1), lua_toboolean(L, 2) ? DA_RESOLVED : DA_REJECTED, slice_at(L, 3),
                        slice_at(L, 4));
  const da_reply *reply = ask(L, op);
  if (reply != NULL)
    lua_pushstring(L, da_promise_state_name(reply->promise->state));
  else
    lua_pushnil(L), lua_insert(L, -2);
  da_op_delete(op);
  return reply != NULL ? 1 : 2;
}

/* send(channel, JSON, key) -> number of messages there; or nil, words. What was sent with the same key is put once. */
static int send(lua_State *L)
{
  da_op *op = da_op_new();
  da_request *put = da_op_request(op, DA_REQ_QUEUE_PUT);
  put->queue.name = da_arena_dup(&op->arena, slice_at(L, 1));
  put->version = -1;
  put->message = da_hash128(slice_at(L, 3));
  put->value = (da_value){.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, slice_at(L, 2))};
  const da_reply *reply = ask(L, op);
  if (reply != NULL)
    lua_pushinteger(L, (lua_Integer)reply->count);
  else
    lua_pushnil(L), lua_insert(L, -2);
  da_op_delete(op);
  return reply != NULL ? 1 : 2;
}

/* get(id) -> state, data, rest; nil if there is none */
static int get(lua_State *L)
{
  da_op *op = da_op_new();
  da_op_request(op, DA_REQ_PROMISE_GET)->id = da_arena_dup(&op->arena, slice_at(L, 1));
  const da_reply *reply = ask(L, op);
  if (reply != NULL) {
    const da_slice *rest = da_map_get(reply->promise->value.headers, DA_LIT("da-rest"));
    lua_pushstring(L, da_promise_state_name(reply->promise->state));
    push_slice(L, reply->promise->value.data);
    push_slice(L, rest != NULL ? *rest : DA_NONE);
  }
  da_op_delete(op);
  return reply != NULL ? 3 : 0;
}

/* cancel(id, why) -> true; or nil, words */
static int cancel(lua_State *L)
{
  da_op *op = da_cancel_op(slice_at(L, 1), slice_at(L, 2));
  const da_reply *reply = ask(L, op);
  if (reply != NULL)
    lua_pushboolean(L, 1);
  else
    lua_pushnil(L), lua_insert(L, -2);
  da_op_delete(op);
  return reply != NULL ? 1 : 2;
}

static int elapsed(lua_State *L)
{
  lua_pushinteger(L, cli_trial_elapsed_ms(running(L)));
  return 1;
}

/* ---- replaying ----------------------------------------------------------------------------------------- */

/* replay(history, bundle) -> true or the first difference, number of executions, number of calls; or nil, words */
static int replay(lua_State *L)
{
  da_slice text = slice_at(L, 1);
  da_bundle *bundle = bundle_at(L, 2);
  cJSON *rows = NULL;
  da_err err = {{0}};
  if (cli_replay_history(text, bundle, &rows, &err) != DA_OK) {
    lua_pushnil(L);
    lua_pushstring(L, err.text);
    return 2;
  }
  int calls = 0;
  da_slice fault = DA_NONE;
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    calls += cJSON_GetArraySize(da_json_get(row, "replayed"));
    if (fault.len == 0) fault = da_json_text(row, "difference");
  }
  lua_pushboolean(L, 1);
  if (fault.len > 0) push_slice(L, fault);
  lua_pushinteger(L, cJSON_GetArraySize(rows));
  lua_pushinteger(L, calls);
  cJSON_Delete(rows);
  return 3;
}

/* encode_args(what, ...) -> JSON array; raises what cannot cross */
static int encode_args(lua_State *L)
{
  da_buf *args = bind_scratch(0);
  da_err err = {{0}};
  if (bind_value_encode_args(L, 2, lua_gettop(L), luaL_checkstring(L, 1), args, &err) != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
    return lua_error(L);
  }
  push_slice(L, args->len > 0 ? da_buf_slice(args) : DA_LIT(""));
  return 1;
}

/* duration(value, what) -> ms */
static int duration(lua_State *L)
{
  lua_pushinteger(L, bind_duration_ms(L, 1, luaL_checkstring(L, 2)));
  return 1;
}

const luaL_Reg cli_trial_natives[] = {{"script", script},           {"trial", trial},     {"replay", replay},
                                      {"settle", settle},           {"send", send},       {"get", get},
                                      {"cancel", cancel},           {"elapsed", elapsed}, {"duration", duration},
                                      {"encode_args", encode_args}, {NULL, NULL}};
