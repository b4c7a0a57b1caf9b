/* bind_probe_read.c - Lua tables into requests and records.
 *
 * Requests have the shape that the Resonate protocol's JSON has, and are refused in words where JSON of a wrong shape
 * would be. A member that a table holds keeps its string alive, so slices point into Lua's strings.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "bind_probe.h"

/* ---- shapes: the first fault wins ---------------------------------------------------------------------- */

typedef struct shape {
  lua_State *L;
  da_arena *arena;
  const char *fault; /* NULL: none yet */
} shape;

static void wrong(shape *s, const char *name, const char *wanted)
{
  if (s->fault != NULL) return;
  da_slice words = da_arena_printf(s->arena, "Invalid request: `%s` must be %s", name, wanted);
  s->fault = words.ptr;
}

/* JSON null, as the usual JSON libraries for Lua show it, or as the oracle does. */
static bool is_null(lua_State *L, int index)
{
  int type = lua_type(L, index);
  return type == LUA_TLIGHTUSERDATA || type == LUA_TUSERDATA || type == LUA_TFUNCTION;
}

/* The member as a slice, borrowed from the table. */
static da_slice get_string(shape *s, int table, const char *name)
{
  size_t len = 0;
  const char *text = NULL;
  lua_getfield(s->L, table, name);
  if (lua_type(s->L, -1) == LUA_TSTRING)
    text = lua_tolstring(s->L, -1, &len);
  else
    wrong(s, name, "a string");
  lua_pop(s->L, 1);
  return da_slice_make(text, len);
}

static int64_t get_integer(shape *s, int table, const char *name)
{
  int64_t n = 0;
  lua_getfield(s->L, table, name);
  if (lua_isinteger(s->L, -1))
    n = lua_tointeger(s->L, -1);
  else
    wrong(s, name, "an integer");
  lua_pop(s->L, 1);
  return n;
}

static int64_t get_optional_integer(shape *s, int table, const char *name)
{
  bool absent = lua_getfield(s->L, table, name) == LUA_TNIL;
  lua_pop(s->L, 1);
  return absent ? 0 : get_integer(s, table, name);
}

/* An object: a table without a first element. */
static bool is_object(lua_State *L, int index)
{
  if (!lua_istable(L, index)) return false;
  bool list = lua_rawgeti(L, index, 1) != LUA_TNIL;
  lua_pop(L, 1);
  return !list;
}

/* Pushes the member and says whether it is an object; pops it if not. */
static bool push_object(shape *s, int table, const char *name)
{
  lua_getfield(s->L, table, name);
  if (is_object(s->L, lua_gettop(s->L))) return true;
  lua_pop(s->L, 1);
  wrong(s, name, "an object");
  return false;
}

/* ---- maps and values ----------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
  return da_slice_cmp(((const da_pair *)a)->key, ((const da_pair *)b)->key);
}

/* The map on top of the stack, its members in the order of their keys, so that a run can be repeated. */
static da_map map_on_top(shape *s, const char *name)
{
  lua_State *L = s->L;
  size_t count = 0;
  if (!is_object(L, lua_gettop(L))) wrong(s, name, "an object of strings");
  if (s->fault != NULL) return (da_map){0};
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) count++;
  da_pair *items = da_arena_alloc(s->arena, count * sizeof *items);
  size_t i = 0;
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1), i++) {
    size_t key_len;
    size_t value_len;
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
      wrong(s, name, "an object of strings");
      lua_pop(L, 2);
      return (da_map){0};
    }
    const char *key = lua_tolstring(L, -2, &key_len);
    const char *value = lua_tolstring(L, -1, &value_len);
    items[i] = (da_pair){{key, key_len}, {value, value_len}};
  }
  qsort(items, count, sizeof *items, by_key);
  return (da_map){items, count};
}

static da_map get_map(shape *s, int table, const char *name)
{
  da_map map = {0};
  if (lua_getfield(s->L, table, name) != LUA_TNIL) map = map_on_top(s, name);
  lua_pop(s->L, 1);
  return map;
}

static void value_on_top(shape *s, da_value *out)
{
  lua_State *L = s->L;
  int at = lua_gettop(L);
  lua_getfield(L, at, "data");
  if (!lua_isnil(L, -1) && !is_null(L, -1)) {
    if (lua_type(L, -1) != LUA_TSTRING) wrong(s, "data", "a string");
    out->has_data = true;
    out->data.ptr = lua_tolstring(L, -1, &out->data.len);
  }
  lua_getfield(L, at, "headers");
  if (!lua_isnil(L, -1) && !is_null(L, -1)) {
    out->has_headers = true;
    out->headers = map_on_top(s, "headers");
  }
  lua_pop(L, 2);
}

static da_value get_value(shape *s, int table, const char *name)
{
  da_value value = {0};
  lua_getfield(s->L, table, name);
  if (is_object(s->L, lua_gettop(s->L)))
    value_on_top(s, &value);
  else if (!lua_isnil(s->L, -1))
    wrong(s, name, "an object");
  lua_pop(s->L, 1);
  return value;
}

/* ---- states -------------------------------------------------------------------------------------------- */

static bool promise_state(da_slice name, da_promise_state *out)
{
  for (int i = DA_PENDING; i <= DA_TIMEDOUT; i++) {
    if (!da_slice_eq(name, da_slice_of(da_promise_state_name((da_promise_state)i)))) continue;
    *out = (da_promise_state)i;
    return true;
  }
  return false;
}

static bool task_state(da_slice name, da_task_state *out)
{
  for (int i = DA_TASK_PENDING; i <= DA_TASK_FULFILLED; i++) {
    if (!da_slice_eq(name, da_slice_of(da_task_state_name((da_task_state)i)))) continue;
    *out = (da_task_state)i;
    return true;
  }
  return false;
}

/* The state of a settlement; a step may also have run into its own deadline. */
static da_promise_state get_verdict(shape *s, int table, bool step)
{
  da_promise_state state = DA_PENDING;
  da_slice name = get_string(s, table, "state");
  bool known = s->fault == NULL && promise_state(name, &state);
  if (!known || state == DA_PENDING || (state == DA_TIMEDOUT && !step))
    wrong(s, "state", "one of resolved, rejected, rejected_canceled");
  return state;
}

/* ---- members of records ----------------------------------------------------------------------------------- */

static da_slice optional_string(lua_State *L, int table, const char *name)
{
  size_t len = 0;
  const char *text = NULL;
  if (lua_getfield(L, table, name) != LUA_TNIL) text = luaL_checklstring(L, -1, &len);
  lua_pop(L, 1);
  return da_slice_make(text, len);
}

static int64_t optional_integer(lua_State *L, int table, const char *name)
{
  int64_t n = lua_getfield(L, table, name) != LUA_TNIL ? luaL_checkinteger(L, -1) : 0;
  lua_pop(L, 1);
  return n;
}

static bool flag(lua_State *L, int table, const char *name)
{
  lua_getfield(L, table, name);
  bool set = lua_toboolean(L, -1) != 0;
  lua_pop(L, 1);
  return set;
}

static void read_digest(lua_State *L, int table, const char *name, da_digest *out, bool *there)
{
  da_slice bytes = optional_string(L, table, name);
  if (there != NULL) *there = bytes.len != 0;
  if (bytes.len == 0) return;
  if (bytes.len != sizeof out->bytes) luaL_error(L, "%s is not 16 bytes", name);
  memcpy(out->bytes, bytes.ptr, sizeof out->bytes);
}

static void read_call(lua_State *L, int table, da_call *out)
{
  if (lua_getfield(L, table, "call") == LUA_TTABLE) {
    int at = lua_gettop(L);
    out->kind = (da_call_kind)optional_integer(L, at, "kind");
    out->ordinal = (uint32_t)optional_integer(L, at, "ordinal");
    out->line = (uint32_t)optional_integer(L, at, "line");
    out->file = optional_string(L, at, "file");
    out->func = optional_string(L, at, "func");
    read_digest(L, at, "args", &out->args, NULL);
    read_digest(L, at, "bundle", &out->bundle, &out->has_bundle);
    out->generation = (uint32_t)optional_integer(L, at, "generation");
    out->awaited_elsewhere = flag(L, at, "awaitedElsewhere");
  }
  lua_pop(L, 1);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

static void read_create(shape *s, int data, da_slice *id, da_request *out)
{
  *id = get_string(s, data, "id");
  out->timeout_at = get_integer(s, data, "timeoutAt");
  out->param = get_value(s, data, "param");
  out->tags = get_map(s, data, "tags");
}

static void read_settle(shape *s, int data, da_slice *id, da_request *out)
{
  *id = get_string(s, data, "id");
  out->state = get_verdict(s, data, false);
  out->value = get_value(s, data, "value");
}

/* Pushes action.data and returns its index, or 0. `kind` may be NULL. */
static int push_action_data(shape *s, int data, da_slice *kind)
{
  if (!push_object(s, data, "action")) return 0;
  int action = lua_gettop(s->L);
  if (lua_getfield(s->L, action, "kind") != LUA_TNIL || kind != NULL) {
    da_slice name = get_string(s, action, "kind");
    if (kind != NULL) *kind = name;
  }
  lua_pop(s->L, 1);
  return push_object(s, action, "data") ? lua_gettop(s->L) : 0;
}

static void read_fence(shape *s, int data, da_request *out)
{
  da_slice kind = DA_NONE;
  int action = push_action_data(s, data, &kind);
  if (s->fault != NULL || action == 0) return;
  out->fence_settles = da_slice_eq(kind, DA_LIT("promise.settle"));
  if (!out->fence_settles && !da_slice_eq(kind, DA_LIT("promise.create"))) {
    s->fault = "Invalid fence action kind";
    return;
  }
  if (out->fence_settles)
    read_settle(s, action, &out->promise_id, out);
  else
    read_create(s, action, &out->promise_id, out);
}

/* The members of a step or a spawn that speak of the inner promise: in `promise`, or beside the task's own. */
static void read_inner(shape *s, int data, da_request *out)
{
  if (lua_getfield(s->L, data, "promiseId") != LUA_TNIL) {
    da_slice id;
    out->promise_id = get_string(s, data, "promiseId");
    read_create(s, data, &id, out);
    return;
  }
  if (push_object(s, data, "promise")) read_create(s, lua_gettop(s->L), &out->promise_id, out);
}

/* Calls read for each element of the list under name. Elements are objects. */
static size_t each(shape *s, int data, const char *name, void (*read)(shape *s, int at, void *to, size_t i), void *to)
{
  lua_State *L = s->L;
  if (lua_getfield(L, data, name) != LUA_TTABLE) {
    wrong(s, name, "an array");
    return 0;
  }
  int list = lua_gettop(L);
  size_t count = (size_t)lua_rawlen(L, list);
  if (count == 0 && (lua_pushnil(L), lua_next(L, list)) != 0) {
    lua_pop(L, 2);
    wrong(s, name, "an array");
  }
  for (size_t i = 0; i < count && s->fault == NULL; i++) {
    lua_rawgeti(L, list, (lua_Integer)i + 1);
    if (!is_object(L, lua_gettop(L)))
      wrong(s, name, "an array of objects");
    else if (to != NULL)
      read(s, lua_gettop(L), to, i);
    lua_pop(L, 1);
  }
  return s->fault == NULL ? count : 0;
}

static size_t length_of(lua_State *L, int data, const char *name)
{
  size_t len = lua_getfield(L, data, name) == LUA_TTABLE ? (size_t)lua_rawlen(L, -1) : 0;
  lua_pop(L, 1);
  return len;
}

static void read_await(shape *s, int at, void *to, size_t i)
{
  da_await *awaits = to;
  if (lua_getfield(s->L, at, "kind") != LUA_TNIL) (void)get_string(s, at, "kind");
  lua_pop(s->L, 1);
  if (!push_object(s, at, "data")) return;
  int data = lua_gettop(s->L);
  awaits[i] = (da_await){get_string(s, data, "awaited"), get_string(s, data, "awaiter")};
  lua_pop(s->L, 1);
}

static void read_held(shape *s, int at, void *to, size_t i)
{
  da_held *held = to;
  held[i] = (da_held){get_string(s, at, "id"), get_integer(s, at, "version")};
}

static void read_cursor(shape *s, int data, da_due *out)
{
  if (lua_getfield(s->L, data, "cursor") == LUA_TTABLE) {
    int at = lua_gettop(s->L);
    out->class_ = (da_due_class)get_integer(s, at, "class");
    out->at = get_integer(s, at, "at");
    out->id = get_string(s, at, "id");
  }
  lua_pop(s->L, 1);
}

static void read_task(shape *s, int data, da_request *out)
{
  out->id = get_string(s, data, "id");
  out->version = get_integer(s, data, "version");
}

static void read_lease(shape *s, int data, da_request *out)
{
  out->pid = get_string(s, data, "pid");
  out->ttl = get_integer(s, data, "ttl");
}

static const char *const catch_up_names[] = {"all", "last", "none", NULL};

static da_catch_up catch_up_field(lua_State *L, int table)
{
  lua_getfield(L, table, "catchUp");
  const char *name = lua_tostring(L, -1);
  int found = DA_CATCH_UP_ALL;
  for (int i = 0; name != NULL && catch_up_names[i] != NULL; i++)
    if (strcmp(catch_up_names[i], name) == 0) found = i;
  lua_pop(L, 1);
  return (da_catch_up)found;
}

static void read_schedule(shape *s, int data, da_request *out)
{
  out->id = get_string(s, data, "id");
  out->cron = get_string(s, data, "cron");
  out->promise_id = get_string(s, data, "promiseId");
  out->timeout_at = get_integer(s, data, "promiseTimeout");
  out->param = get_value(s, data, "promiseParam");
  out->tags = get_map(s, data, "promiseTags");
  out->zone = optional_string(s->L, data, "zone");
  out->zone_bytes = optional_string(s->L, data, "zoneBytes");
  out->cron_unix = flag(s->L, data, "unix");
  out->catch_up = catch_up_field(s->L, data);
  read_call(s->L, data, &out->call);
}

/* Absent and null are one here. */
static bool has_member(shape *s, int table, const char *name)
{
  lua_getfield(s->L, table, name);
  bool there = !lua_isnil(s->L, -1) && !is_null(s->L, -1);
  lua_pop(s->L, 1);
  return there;
}

/* A filter: in words that JSON of another shape would get. */
static void read_search_state(shape *s, int data, da_request *out)
{
  if (!has_member(s, data, "state")) return;
  da_slice name = get_string(s, data, "state");
  bool tasks = out->kind == DA_REQ_TASK_SEARCH;
  out->has_search_state = true;
  if (s->fault != NULL) return;
  if (tasks ? !task_state(name, &out->task_state) : !promise_state(name, &out->state)) wrong(s, "state", "a state");
}

static void read_search(shape *s, int data, da_request *out)
{
  if (out->kind != DA_REQ_SCHEDULE_SEARCH) read_search_state(s, data, out);
  if (has_member(s, data, "begins")) out->search_begins = get_string(s, data, "begins");
  if (has_member(s, data, "look")) out->limit = (size_t)get_integer(s, data, "look");
  out->has_search_limit = has_member(s, data, "limit");
  if (out->has_search_limit) out->search_limit = get_integer(s, data, "limit");
  if (has_member(s, data, "cursor")) out->search_after = get_string(s, data, "cursor");
  if (out->kind != DA_REQ_TASK_SEARCH && has_member(s, data, "tags")) out->tags = get_map(s, data, "tags");
}

static void read_awaits(shape *s, int data, da_request *out)
{
  size_t room = length_of(s->L, data, "actions");
  da_await *awaits = da_arena_zalloc(s->arena, room * sizeof *awaits);
  out->await_count = each(s, data, "actions", read_await, awaits);
  out->awaits = awaits;
}

static void read_held_list(shape *s, int data, da_request *out)
{
  size_t room = length_of(s->L, data, "tasks");
  da_held *held = da_arena_zalloc(s->arena, room * sizeof *held);
  out->held_count = each(s, data, "tasks", read_held, held);
  out->held = held;
}

static void read_queue(shape *s, int data, da_request *out)
{
  out->queue.name = get_string(s, data, "name");
  out->queue.kind = (da_queue_kind)get_optional_integer(s, data, "queueKind");
  out->queue.limit = get_optional_integer(s, data, "limit");
  out->queue.per_ms = get_optional_integer(s, data, "per");
}

static void read_wait(shape *s, int data, da_request *out)
{
  read_task(s, data, out);
  read_create(s, data, &out->promise_id, out);
  out->promise_id = get_string(s, data, "promiseId");
  read_queue(s, data, out);
}

/* Without an id: from outside. Without a version: from a step. */
static void read_put(shape *s, int data, da_request *out)
{
  out->queue.name = get_string(s, data, "name");
  out->value = get_value(s, data, "value");
  out->version = -1;
  if (lua_getfield(s->L, data, "version") != LUA_TNIL) out->version = get_integer(s, data, "version");
  if (lua_getfield(s->L, data, "id") != LUA_TNIL) {
    out->id = get_string(s, data, "id");
    out->promise_id = get_string(s, data, "promiseId");
  } else if (lua_getfield(s->L, data, "message") != LUA_TNIL) {
    out->message = da_hash128(get_string(s, data, "message"));
  }
  if (out->version >= 0) {
    out->timeout_at = get_integer(s, data, "timeoutAt");
    out->tags = get_map(s, data, "tags");
  }
}

static void read_again(shape *s, int data, da_request *out)
{
  read_task(s, data, out);
  read_inner(s, data, out);
  out->state = DA_RESOLVED;
  out->created_at = get_integer(s, data, "createdAt");
  out->call = (da_call){.kind = DA_CALL_MARK, .generation = (uint32_t)get_integer(s, data, "generation")};
}

static void read_message(shape *s, int at, void *to, size_t i)
{
  da_message *messages = to;
  bool execute = da_slice_eq(get_string(s, at, "kind"), DA_LIT("execute"));
  messages[i] = (da_message){.kind = execute ? DA_EXECUTE : DA_UNBLOCK,
                             .id = get_string(s, at, "id"),
                             .version = get_optional_integer(s, at, "version"),
                             .address = get_string(s, at, "address")};
}

/* Where a claim goes on: behind the message `after`. */
static void read_claim(shape *s, int data, da_request *out)
{
  out->address = optional_string(s->L, data, "begins");
  if (lua_getfield(s->L, data, "after") == LUA_TTABLE) read_message(s, lua_gettop(s->L), &out->after_message, 0);
  lua_pop(s->L, 1);
}

static void read_background(shape *s, int data, da_request *out)
{
  out->fires = !flag(s->L, data, "rests");
  out->limit = (size_t)get_optional_integer(s, data, "limit");
  if (out->kind == DA_REQ_CLAIM) read_claim(s, data, out);
  if (out->kind == DA_REQ_RECOVER) {
    out->pid = get_string(s, data, "pid");
    read_cursor(s, data, &out->after);
  }
  if (out->kind != DA_REQ_SENT) return;
  size_t room = length_of(s->L, data, "messages");
  da_message *messages = da_arena_zalloc(s->arena, (room + 1) * sizeof *messages);
  out->message_count = each(s, data, "messages", read_message, messages);
  out->messages = messages;
}

static void read_data(shape *s, int data, da_request *out)
{
  int action;
  switch (out->kind) {
  case DA_REQ_PROMISE_GET:
  case DA_REQ_TASK_GET:
  case DA_REQ_TASK_HALT:
  case DA_REQ_TASK_CONTINUE:
  case DA_REQ_SCHEDULE_GET:
  case DA_REQ_SCHEDULE_DELETE:
    out->id = get_string(s, data, "id");
    break;
  case DA_REQ_PROMISE_CREATE:
    read_create(s, data, &out->id, out);
    break;
  case DA_REQ_PROMISE_SETTLE:
    read_settle(s, data, &out->id, out);
    break;
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
    out->id = get_string(s, data, "awaited");
    out->awaiter = get_string(s, data, "awaiter");
    break;
  case DA_REQ_PROMISE_REGISTER_LISTENER:
    out->id = get_string(s, data, "awaited");
    out->address = get_string(s, data, "address");
    break;
  case DA_REQ_TASK_CREATE:
    read_lease(s, data, out);
    action = push_action_data(s, data, NULL);
    if (action != 0) read_create(s, action, &out->id, out);
    break;
  case DA_REQ_TASK_ACQUIRE:
    read_task(s, data, out);
    read_lease(s, data, out);
    break;
  case DA_REQ_TASK_RELEASE:
    read_task(s, data, out);
    break;
  case DA_REQ_TASK_FULFILL:
    read_task(s, data, out);
    action = push_action_data(s, data, NULL);
    if (action != 0) read_settle(s, action, &out->promise_id, out);
    break;
  case DA_REQ_TASK_SUSPEND:
    read_task(s, data, out);
    read_awaits(s, data, out);
    break;
  case DA_REQ_TASK_FENCE:
    read_task(s, data, out);
    read_fence(s, data, out);
    break;
  case DA_REQ_TASK_HEARTBEAT:
    out->pid = get_string(s, data, "pid");
    read_held_list(s, data, out);
    break;
  case DA_REQ_SCHEDULE_CREATE:
  case DA_REQ_SCHEDULE_DECLARE:
    read_schedule(s, data, out);
    break;
  case DA_REQ_PROMISE_SEARCH:
  case DA_REQ_TASK_SEARCH:
  case DA_REQ_SCHEDULE_SEARCH:
    read_search(s, data, out);
    break;
  case DA_REQ_TASK_STEP:
    read_task(s, data, out);
    read_inner(s, data, out);
    out->state = get_verdict(s, data, true);
    out->value = get_value(s, data, "value");
    out->created_at = get_integer(s, data, "createdAt");
    break;
  case DA_REQ_TASK_AGAIN:
    read_again(s, data, out);
    break;
  case DA_REQ_TASK_SPAWN:
    read_task(s, data, out);
    read_lease(s, data, out);
    read_inner(s, data, out);
    break;
  case DA_REQ_QUEUE_WAIT:
    read_wait(s, data, out);
    break;
  case DA_REQ_QUEUE_PUT:
    read_put(s, data, out);
    break;
  case DA_REQ_QUEUE_BACK:
    read_task(s, data, out);
    out->promise_id = get_string(s, data, "promiseId");
    break;
  case DA_REQ_RECOVER:
  case DA_REQ_SWEEP:
  case DA_REQ_CLAIM:
  case DA_REQ_SENT:
    read_background(s, data, out);
    break;
  }
}

static bool request_kind(da_slice name, da_req_kind *out)
{
  static const da_req_kind kinds[] = {
#define X(name, text) DA_REQ_##name,
      DA_REQ_MAP(X)
#undef X
  };
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (!da_slice_eq(name, da_slice_of(da_req_kind_name(kinds[i])))) continue;
    *out = kinds[i];
    return true;
  }
  return false;
}

const char *da_probe_read_request(lua_State *L, int index, da_arena *arena, da_request *out)
{
  shape s = {.L = L, .arena = arena};
  int top = lua_gettop(L);
  *out = (da_request){0};
  luaL_checktype(L, index, LUA_TTABLE);
  if (lua_getfield(L, index, "kind") != LUA_TSTRING || lua_rawlen(L, -1) == 0) {
    s.fault = "Missing or invalid 'kind' field \xe2\x80\x94 must be a non-empty string";
  } else {
    da_slice kind = da_probe_check_slice(L, -1);
    lua_getfield(L, index, "data");
    if (!is_object(L, lua_gettop(L)))
      s.fault = "Invalid 'data' field \xe2\x80\x94 must be an object";
    else if (!request_kind(kind, &out->kind))
      s.fault = da_arena_printf(arena, "Unknown operation: %.*s", DA_FMT(kind)).ptr;
    else
      read_data(&s, lua_gettop(L), out);
  }
  lua_settop(L, top);
  return s.fault;
}

/* ---- records ------------------------------------------------------------------------------------------- */

da_slice da_probe_check_slice(lua_State *L, int index)
{
  size_t len;
  const char *text = luaL_checklstring(L, index, &len);
  return da_slice_make(text, len);
}

static da_value record_value(shape *s, int table, const char *name)
{
  da_value value = get_value(s, table, name);
  if (lua_getfield(s->L, table, name) == LUA_TTABLE) {
    da_slice encoding = optional_string(s->L, lua_gettop(s->L), "encoding");
    if (da_slice_eq(encoding, DA_LIT("json"))) value.encoding = DA_JSON;
  }
  lua_pop(s->L, 1);
  return value;
}

void da_probe_read_promise(lua_State *L, int index, da_arena *arena, da_promise *out)
{
  shape s = {.L = L, .arena = arena};
  luaL_checktype(L, index, LUA_TTABLE);
  *out = (da_promise){.id = optional_string(L, index, "id")};
  da_slice state = optional_string(L, index, "state");
  if (state.len != 0 && !promise_state(state, &out->state)) luaL_error(L, "no such state");
  out->armed = flag(L, index, "armed");
  out->param = record_value(&s, index, "param");
  out->value = record_value(&s, index, "value");
  out->tags = get_map(&s, index, "tags");
  out->timeout_at = optional_integer(L, index, "timeoutAt");
  out->created_at = optional_integer(L, index, "createdAt");
  out->settled_at = optional_integer(L, index, "settledAt");
  out->settle_seq = (uint64_t)optional_integer(L, index, "settleSeq");
  read_call(L, index, &out->call);
  if (s.fault != NULL) luaL_error(L, "%s", s.fault);
}

/* As a request declares one, with its instants. */
void da_probe_read_schedule(lua_State *L, int index, da_arena *arena, da_schedule *out)
{
  shape s = {.L = L, .arena = arena};
  da_request req = {0};
  luaL_checktype(L, index, LUA_TTABLE);
  read_schedule(&s, index, &req);
  if (s.fault != NULL) luaL_error(L, "%s", s.fault);
  *out = (da_schedule){.id = req.id,
                       .cron = req.cron,
                       .style = req.cron_unix ? DA_CRON_UNIX : DA_CRON_QUARTZ,
                       .zone = req.zone,
                       .zone_bytes = req.zone_bytes,
                       .catch_up = req.catch_up,
                       .promise_id = req.promise_id,
                       .promise_timeout = req.timeout_at,
                       .promise_param = record_value(&s, index, "promiseParam"),
                       .promise_tags = req.tags,
                       .call = req.call,
                       .created_at = optional_integer(L, index, "createdAt"),
                       .next_run_at = optional_integer(L, index, "nextRunAt"),
                       .last_run_at = optional_integer(L, index, "lastRunAt")};
}

void da_probe_read_task(lua_State *L, int index, da_task *out)
{
  luaL_checktype(L, index, LUA_TTABLE);
  *out = (da_task){.id = optional_string(L, index, "id")};
  if (!task_state(optional_string(L, index, "state"), &out->state)) luaL_error(L, "no such state");
  out->version = optional_integer(L, index, "version");
  out->resumes = optional_integer(L, index, "resumes");
  out->ttl = optional_integer(L, index, "ttl");
  out->pid = optional_string(L, index, "pid");
  out->timer_at = optional_integer(L, index, "timerAt");
}

/* ---- profile ------------------------------------------------------------------------------------------- */

void da_probe_read_profile(lua_State *L, int index, da_profile *out)
{
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    da_err err;
    da_slice name = da_probe_check_slice(L, -2);
    (void)luaL_tolstring(L, -1, NULL);
    if (da_profile_set(out, name, da_probe_check_slice(L, -1), &err) != DA_OK) luaL_error(L, "profile: %s", err.text);
    lua_pop(L, 1);
  }
}
