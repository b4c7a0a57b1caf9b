/* bind_function.c - durable functions as values: what `step.charge` and `async.order` are, and calling them.
 *
 * A handle is a userdata: the function's kind and options; its name, key, id, target (the address of another group) and
 * tags are user values 1 to 5. `with` and `at` make a new handle, the original is untouched.
 * A name may be defined in several versions: the registry holds the definition made last, which leads to the older
 * ones.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "bind.h"
#include "bind_error.h"
#include "bind_value.h"

#include "../host/base/id.h"
#include "../host/vm/lib.h"
#include "../host/vm/native.h"

#define FUNCTION "da.function"

enum {
  NAME = 1,
  KEY = 2,
  ID = 3,
  TARGET = 4,
  TAGS = 5,
  USER_VALUES = 5,
  NAME_MAX_BYTES = 200 /* a root id of 255 holds it and the suffix it is given */
};

typedef struct handle {
  bool workflow;
  bool native; /* a step in C; its name is "library.name" */
  bind_options options;
} handle;

/* A label, or the name of a promise: a part of ids, where '~' is for what the runtime itself calls. */
static da_slice check_label(lua_State *L, int index, const char *what)
{
  da_slice label = bind_check_text(L, index, what);
  if (label.len == 0) bind_raise(L, "%s must not be empty", what);
  if (label.ptr[0] == '~') bind_raise(L, "%s must not begin with '~': such names are the runtime's own", what);
  return label;
}

/* step("label", ...) and async("label", ...): the closure at index, the options at 2. */
static void check_inline(lua_State *L, int closure, const char *what)
{
  if (lua_type(L, closure) != LUA_TFUNCTION)
    bind_raise(L, "%s takes a label, options if wanted, and a function; got %s for the function", what,
               bind_what(L, closure));
  if (!lua_isnil(L, 2) && !lua_istable(L, 2))
    bind_raise(L, "the options of %s must be a table, got %s", what, bind_what(L, 2));
}

da_execution *bind_execution(lua_State *L, const char *what)
{
  da_execution *execution = da_execution_of(L);
  if (execution == NULL)
    bind_raise(L, "%s while the script loads; only an execution can do that: call it inside function async.NAME(...)",
               what);
  else if (execution->inline_child != NULL)
    bind_raise(L, "%s inside an inline step; a step is a leaf: share a plain function, or make this a workflow", what);
  return execution;
}

static handle *push_handle(lua_State *L, bool workflow)
{
  handle *h = lua_newuserdatauv(L, sizeof *h, USER_VALUES);
  *h = (handle){.workflow = workflow, .options = {.timeout_ms = -1}};
  luaL_setmetatable(L, FUNCTION);
  return h;
}

static da_slice user_string(lua_State *L, int index, int n)
{
  lua_getiuservalue(L, index, n);
  da_slice text = {NULL, 0};
  text.ptr = lua_tolstring(L, -1, &text.len);
  lua_pop(L, 1);
  return text;
}

da_map bind_function_tags(lua_State *L, int index, da_arena *arena)
{
  lua_getiuservalue(L, index, TAGS);
  da_map tags = bind_tags(L, -1, arena);
  lua_pop(L, 1); /* the handle keeps them */
  return tags;
}

/* ---- definitions --------------------------------------------------------------------------------------- */

/* Of the definition at index; 1 if it was given none. */
static int64_t version_of(lua_State *L, int index)
{
  int64_t version = lua_getfield(L, index, "version") != LUA_TNIL ? (int64_t)lua_tointeger(L, -1) : 1;
  lua_pop(L, 1);
  return version;
}

/* Pushes the definition made last under the name, or nil. */
static bool push_definition(lua_State *L, da_slice name)
{
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  lua_pushlstring(L, name.ptr, name.len);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  return lua_istable(L, -1);
}

/* Pushes the definition of that version, 0: of the highest; or nil. */
static bool push_version(lua_State *L, da_slice name, int64_t version)
{
  lua_pushnil(L);
  int64_t best = 0;
  for (push_definition(L, name); lua_istable(L, -1); lua_remove(L, -2)) {
    int64_t here = version_of(L, -1);
    if (version != 0 ? here == version : here > best) {
      best = here;
      lua_pushvalue(L, -1);
      lua_replace(L, -3);
    }
    lua_getfield(L, -1, "older");
  }
  lua_pop(L, 1);
  return best != 0;
}

/* Pushes why there is no such definition. */
static const char *push_lack(lua_State *L, bool workflow, da_slice name, int64_t version)
{
  const char *word = workflow ? "async" : "step";
  const char *shown = lua_pushlstring(L, name.ptr, name.len);
  if (!push_definition(L, name)) return lua_pushfstring(L, "%s.%s is not defined in this bundle", word, shown);
  lua_pushliteral(L, "");
  for (const char *comma = ""; lua_istable(L, -2); comma = ", ") { /* the older ones first */
    lua_pushfstring(L, "%d%s%s", (int)version_of(L, -2), comma, lua_tostring(L, -1));
    lua_replace(L, -2);
    lua_getfield(L, -2, "older");
    lua_replace(L, -3);
  }
  return lua_pushfstring(L, "%s.%s has no version %d; it has %s", word, shown, (int)version, lua_tostring(L, -1));
}

/* The version that a call of the own group runs; raises if the bundle has it not. */
static int64_t check_version(lua_State *L, const handle *h, da_slice name)
{
  if (!push_version(L, name, h->options.version))
    bind_raise(L, "%s", push_lack(L, h->workflow, name, h->options.version));
  int64_t version = version_of(L, -1);
  lua_pop(L, 1);
  return version;
}

/* body(workflow, name, version or nil) -> function; or nil and why not */
static int push_body(lua_State *L)
{
  bool workflow = lua_toboolean(L, 1) != 0;
  da_slice name = bind_check_text(L, 2, "the name of a function");
  int64_t version = lua_isinteger(L, 3) ? (int64_t)lua_tointeger(L, 3) : 0;
  if (!push_version(L, name, version)) {
    const char *lack = push_lack(L, workflow, name, version);
    lua_pushnil(L);
    lua_pushstring(L, lack);
    return 2;
  }
  lua_getfield(L, -1, "workflow");
  if ((lua_toboolean(L, -1) != 0) == workflow) {
    lua_getfield(L, -2, "body");
    return 1;
  }
  lua_pushnil(L);
  lua_pushfstring(L, "%s.%s is not defined in this bundle", workflow ? "async" : "step", lua_tostring(L, 2));
  return 2;
}

/* newest(name) -> the handle of the highest version */
static int push_newest(lua_State *L)
{
  if (push_version(L, bind_check_text(L, 1, "the name of a function"), 0)) lua_getfield(L, -1, "handle");
  return 1;
}

/* check_versions(): the script is loaded; of several definitions each must have a version. */
static int check_versions(lua_State *L)
{
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    bool several = lua_getfield(L, -1, "older") != LUA_TNIL;
    bool given = lua_getfield(L, -2, "version") != LUA_TNIL;
    lua_pop(L, 2);
    if (given || !several) continue;
    lua_getfield(L, -1, "file");
    lua_getfield(L, -2, "line");
    lua_getfield(L, -3, "workflow");
    return luaL_error(L, "%s:%d: '%s' is defined once more and has no version of its own: %s.%s:defaults{version=N}",
                      lua_tostring(L, -3), (int)lua_tointeger(L, -2), lua_tostring(L, -5),
                      lua_toboolean(L, -1) ? "async" : "step", lua_tostring(L, -5));
  }
  return 0;
}

/* ---- handles as values --------------------------------------------------------------------------------- */

bool bind_function_name(lua_State *L, int index, da_slice *name)
{
  if (luaL_testudata(L, index, FUNCTION) == NULL) return false;
  index = lua_absindex(L, index);
  *name = user_string(L, index, NAME);
  const handle *h = lua_touserdata(L, index);
  if (h->native) {
    lua_pushfstring(L, "a native cannot cross as a value; pass its name, and call da.native there (%s)", name->ptr);
    bind_error_push(L, "unserializable", lua_tostring(L, -1));
    lua_error(L);
  }
  if (user_string(L, index, TARGET).len > 0) {
    lua_pushfstring(L,
                    "a function of another group cannot cross as a value: pass its name, and call it there "
                    "through da.service (%s)",
                    name->ptr);
    bind_error_push(L, "unserializable", lua_tostring(L, -1));
    lua_error(L);
  }
  return true;
}

bool bind_function_read(lua_State *L, int index, bind_function *out)
{
  const handle *h = luaL_testudata(L, index, FUNCTION);
  if (h == NULL) return false;
  index = lua_absindex(L, index);
  bool named = user_string(L, index, KEY).len > 0 || user_string(L, index, ID).len > 0;
  bool tagged = lua_getiuservalue(L, index, TAGS) == LUA_TTABLE;
  lua_pop(L, 1);
  *out = (bind_function){.workflow = h->workflow,
                         .named = named,
                         .limited = named || tagged || h->options.timeout_ms >= 0 || h->options.delay_ms > 0,
                         .timeout_ms = h->options.timeout_ms,
                         .delay_ms = h->options.delay_ms,
                         .name = user_string(L, index, NAME),
                         .target = user_string(L, index, TARGET),
                         .asked_version = h->options.version,
                         .version = h->options.version};
  if (out->target.len > 0 || !h->workflow) return true;
  out->version = check_version(L, h, out->name);
  return true;
}

void bind_function_push(lua_State *L, da_slice name)
{
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  lua_pushlstring(L, name.ptr, name.len);
  if (lua_rawget(L, -2) != LUA_TTABLE)
    bind_raise(L, "the durable function '%s' is not part of this bundle", lua_pushlstring(L, name.ptr, name.len));
  lua_getfield(L, -1, "handle");
  lua_replace(L, -3);
  lua_pop(L, 1);
}

int bind_finish_call(lua_State *L, da_execution *execution, da_call_spec *spec)
{
  bind_location(L, spec);
  da_err err = {{0}};
  da_child *child = da_execution_call(execution, spec, &err);
  if (da_execution_parking(execution)) return da_lib_park(L);
  if (child == NULL) return bind_raise(L, "%s", err.text);
  bind_promise_push(L, child);
  return 1;
}

/* f(...), f:detach(...): the handle and the arguments lie on the stack. */
static int call_handle(lua_State *L, const handle *h, bool detached)
{
  da_slice name = user_string(L, 1, NAME);
  da_execution *execution = bind_execution(L, "a durable call");
  da_slice target = user_string(L, 1, TARGET);
  int64_t version = 1;
  if (!h->native) version = target.len > 0 ? h->options.version : check_version(L, h, name);
  da_buf *args = bind_scratch(0);
  da_err err = {{0}};
  if (bind_value_encode_args(L, 2, lua_gettop(L), name.ptr, args, &err) != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
    return lua_error(L);
  }
  da_call_spec spec = {.target = target,
                       .version = version,
                       .kind = h->workflow ? DA_CALL_WORKFLOW : DA_CALL_STEP,
                       .func = name,
                       .key = user_string(L, 1, KEY),
                       .id = user_string(L, 1, ID),
                       .args = da_buf_slice(args),
                       .timeout_ms = h->options.timeout_ms,
                       .attempt_timeout_ms = h->options.attempt_timeout_ms,
                       .retry = h->options.has_retry ? &h->options.retry : NULL,
                       .native = h->native,
                       .detached = detached,
                       .delay_ms = h->options.delay_ms};
  lua_getiuservalue(L, 1, TAGS);
  spec.tags = bind_tags(L, -1, &execution->arena);
  return bind_finish_call(L, execution, &spec);
}

/* A PURE native is a part of the program; also of an inline step. */
static int call_native(lua_State *L, const handle *h)
{
  da_slice name = user_string(L, 1, NAME);
  da_execution *execution = da_execution_of(L);
  const da_native *native = execution != NULL ? da_worker_native(execution->worker, name) : NULL;
  if (native != NULL && native->kind == DA_NATIVE_PURE) return bind_native_call_pure(L, execution, native);
  execution = bind_execution(L, "a native was called");
  if (native == NULL && execution->worker->options.take_step == NULL) return bind_native_missing(L, execution, name);
  return call_handle(L, h, false);
}

static int function_call(lua_State *L)
{
  const handle *h = luaL_checkudata(L, 1, FUNCTION);
  return h->native ? call_native(L, h) : call_handle(L, h, false);
}

/* f:detach(...) */
static int function_detach(lua_State *L)
{
  const handle *h = luaL_testudata(L, 1, FUNCTION);
  if (h == NULL) return bind_raise(L, "write f:detach(...), with a colon; got %s", bind_what(L, 1));
  if (!h->workflow)
    bind_raise(L,
               "step.%s:detach: a step lives in the execution that calls it and cannot outlive it; detach a workflow "
               "that calls the step",
               user_string(L, 1, NAME).ptr);
  return call_handle(L, h, true);
}

/* Pushes the address of a group, with the name at index. */
static void push_address(lua_State *L, int index)
{
  size_t len = 0;
  const char *name = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : "";
  for (size_t i = 0; i < len; i++) {
    char c = name[i];
    bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (!plain) len = 0;
  }
  if (len == 0)
    bind_raise(L, "a group is named by letters, digits, '_', '-' and '.', got %s",
               lua_type(L, index) == LUA_TSTRING ? lua_pushfstring(L, "'%s'", lua_tostring(L, index))
                                                 : bind_what(L, index));
  lua_pushfstring(L, "poll://any@%s", name);
}

static void refuse_options(lua_State *L, const handle *h, da_slice id)
{
  if (h->workflow && h->options.has_retry)
    bind_raise(L, "retry is for steps; a workflow is not repeated, its steps are");
  if (h->workflow && h->options.attempt_timeout_ms > 0)
    bind_raise(L, "attempt_timeout is for steps; a workflow has timeout");
  if (!h->workflow && h->options.delay_ms > 0)
    bind_raise(L, "delay is for workflows; await(da.sleep(...)) before the step");
  if (h->options.delay_ms > 0 && h->options.timeout_ms >= 0 && h->options.delay_ms >= h->options.timeout_ms)
    bind_raise(L, "delay must be shorter than timeout, which counts from the call");
  if (!h->workflow && id.len > 0) bind_raise(L, "id is for workflows and promises; give a step a key");
}

/* Gives to the handle at index the tags of the options at 2, if there are any. */
static void take_tags(lua_State *L, const handle *h, int index)
{
  bind_tags_copy(L, 2);
  if (!lua_isnil(L, -1) && !h->workflow)
    bind_raise(L, "tags are for workflows and promises; a step is found below its execution");
  if (lua_isnil(L, -1))
    lua_pop(L, 1);
  else
    lua_setiuservalue(L, index, TAGS);
}

/* f:with{...}, f:defaults{...} */
static handle *check_handle(lua_State *L, const char *method)
{
  handle *h = luaL_testudata(L, 1, FUNCTION);
  if (h == NULL || !lua_istable(L, 2))
    bind_raise(L, "write f:%s{...}, with a colon and a table of options; got %s", method,
               bind_what(L, h == NULL ? 1 : 2));
  return h;
}

static handle *push_copy(lua_State *L, const handle *from)
{
  handle *to = push_handle(L, from->workflow);
  to->native = from->native;
  to->options = from->options;
  for (int n = 1; n <= USER_VALUES; n++) {
    lua_getiuservalue(L, 1, n);
    lua_setiuservalue(L, -2, n);
  }
  return to;
}

/* Sets the string field, if the table has it, as a user value of the handle. */
static da_slice take_string(lua_State *L, int table, const char *field, int handle_at, int n)
{
  da_slice text = bind_string_field(L, table, field);
  if (text.len == 0) return text;
  lua_pushlstring(L, text.ptr, text.len);
  lua_setiuservalue(L, handle_at, n);
  return text;
}

/* group or address at index 2 say where handle 3 is called. */
static void take_target(lua_State *L, const handle *to)
{
  da_slice address = take_string(L, 2, "address", 3, TARGET);
  bool group = lua_getfield(L, 2, "group") != LUA_TNIL;
  if (!to->workflow && (group || address.len > 0))
    bind_raise(L, "a step runs where its workflow runs; group and address are for workflows");
  if (group && address.len > 0) bind_raise(L, "give group or address, not both");
  if (address.len > 0 && !da_slice_starts(address, DA_LIT("poll://any@")))
    bind_raise(L, "address must be that of a group, \"poll://any@GROUP\", got '%s'", address.ptr);
  if (group) {
    push_address(L, lua_gettop(L));
    lua_setiuservalue(L, 3, TARGET);
  }
  lua_settop(L, 3);
}

/* f:with{version=N} has the defaults of that version, if f has its own. */
static void take_version(lua_State *L, const handle *from, handle *to)
{
  da_slice name = user_string(L, 1, NAME);
  lua_getfield(L, 2, "version");
  int64_t version = lua_isinteger(L, -1) ? (int64_t)lua_tointeger(L, -1) : 0;
  if (version > 0 && user_string(L, 1, TARGET).len == 0 && push_version(L, name, version)) {
    lua_getfield(L, -1, "handle");
    (void)push_version(L, name, 0);
    lua_getfield(L, -1, "handle");
    const handle *own = luaL_testudata(L, -3, FUNCTION);
    if (own != NULL && luaL_testudata(L, -1, FUNCTION) == from) to->options = own->options;
  }
  lua_settop(L, 3);
}

static int function_with(lua_State *L)
{
  const handle *from = check_handle(L, "with");
  lua_settop(L, 2);
  handle *to = push_copy(L, from);
  take_version(L, from, to);
  bind_options_read(L, 2, bind_call_options, "a durable call", &to->options);
  take_target(L, to);
  da_slice key = take_string(L, 2, "key", 3, KEY);
  da_slice id = take_string(L, 2, "id", 3, ID);
  if (key.len != 0 && id.len != 0) return bind_raise(L, "give key or id, not both");
  refuse_options(L, to, id);
  take_tags(L, to, 3);
  return 1;
}

/* f:at(group) */
static int function_at(lua_State *L)
{
  const handle *from = luaL_testudata(L, 1, FUNCTION);
  if (from == NULL || lua_type(L, 2) != LUA_TSTRING)
    return bind_raise(L, "write f:at \"group\" (...), with a colon and the name of a group; got %s",
                      bind_what(L, from == NULL ? 1 : 2));
  if (!from->workflow) return bind_raise(L, "a step runs where its workflow runs; at is for workflows");
  (void)push_copy(L, from);
  push_address(L, 2);
  lua_setiuservalue(L, -2, TARGET);
  return 1;
}

/* remote(group, name) -> handle of a workflow of that group */
static int push_remote(lua_State *L)
{
  (void)check_label(L, 2, "the name of a function of a group");
  handle *h = push_handle(L, true);
  (void)h;
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, NAME);
  push_address(L, 1);
  lua_setiuservalue(L, -2, TARGET);
  return 1;
}

/* native(library, name) -> handle */
static int push_native(lua_State *L)
{
  lua_pushfstring(L, "%s.%s", luaL_checkstring(L, 1), luaL_checkstring(L, 2));
  handle *h = push_handle(L, false);
  h->native = true;
  lua_pushvalue(L, -2);
  lua_setiuservalue(L, -2, NAME);
  return 1;
}

/* check_group(name) */
static int check_group(lua_State *L)
{
  push_address(L, 1);
  return 0;
}

/* Pushes the definition that the handle at 1 is of; raises if it is a copy. */
static void push_own_definition(lua_State *L)
{
  for (push_definition(L, user_string(L, 1, NAME)); lua_istable(L, -1); lua_remove(L, -2)) {
    lua_getfield(L, -1, "handle");
    bool here = lua_rawequal(L, -1, 1);
    lua_pop(L, 1);
    if (here) return;
    lua_getfield(L, -1, "older");
  }
  bind_raise(L, "defaults are set where the function is defined; use :with{...} for one call");
}

static void define_version(lua_State *L, int64_t version)
{
  push_own_definition(L);
  int own = lua_gettop(L);
  for (push_definition(L, user_string(L, 1, NAME)); lua_istable(L, -1); lua_remove(L, -2)) {
    bool given = lua_getfield(L, -1, "version") != LUA_TNIL;
    bool same = given && (int64_t)lua_tointeger(L, -1) == version;
    lua_pop(L, 1);
    if (same && !lua_rawequal(L, -1, own))
      bind_raise(L, "version %d of '%s' is defined twice", (int)version, user_string(L, 1, NAME).ptr);
    lua_getfield(L, -1, "older");
  }
  lua_pop(L, 1);
  lua_pushinteger(L, (lua_Integer)version);
  lua_setfield(L, own, "version");
  lua_pop(L, 1);
}

/* What the function is for, in words: kept with the definition, for `dahost stubs`. */
static void define_doc(lua_State *L)
{
  int type = lua_getfield(L, 2, "doc");
  if (type != LUA_TNIL && type != LUA_TSTRING) bind_raise(L, "doc must be a string, got %s", bind_what(L, -1));
  if (type == LUA_TSTRING) {
    push_own_definition(L);
    lua_insert(L, -2);
    lua_setfield(L, -2, "doc");
  }
  lua_pop(L, 1);
}

static int function_defaults(lua_State *L)
{
  handle *h = check_handle(L, "defaults");
  da_host *host = da_isolate_of(L) != NULL ? da_isolate_host(L) : NULL;
  if (host != NULL && !host->loading)
    return bind_raise(L, "defaults are set while the script loads; use :with{...} for one call");
  bind_options options = h->options;
  static const char *const own[] = {"key", "id", "group", "address"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (bind_string_field(L, 2, own[i]).len != 0)
      return bind_raise(L, "%s belongs to one call: use :with{...}", own[i]);
  bind_options_read(L, 2, bind_default_options, "defaults", &options);
  if (user_string(L, 1, TARGET).len > 0)
    return bind_raise(L, "defaults are set where the function is defined; use :with{...} for one call");
  if (options.version != 0) define_version(L, options.version);
  define_doc(L);
  options.version = 0; /* a call that names none takes the highest */
  h->options = options;
  refuse_options(L, h, DA_NONE);
  take_tags(L, h, 1);
  lua_settop(L, 1);
  return 1;
}

static int function_tostring(lua_State *L)
{
  const handle *h = luaL_checkudata(L, 1, FUNCTION);
  da_slice target = user_string(L, 1, TARGET);
  lua_pushfstring(L, "%s.%s%s%s",
                  h->workflow ? "async"
                  : h->native ? "native"
                              : "step",
                  user_string(L, 1, NAME).ptr, target.len > 0 ? " at " : "", target.len > 0 ? target.ptr : "");
  return 1;
}

static int call_in_step(lua_State *L)
{
  const handle *h = luaL_checkudata(L, 1, FUNCTION);
  if (h->native) return bind_native_call_in_step(L, user_string(L, 1, NAME));
  da_call_spec at = {.line = 0};
  bind_location(L, &at);
  lua_pushfstring(
      L, "%s:%d: %s.%s called inside a step; a step is a leaf: share a plain function, or make this a workflow",
      at.line > 0 ? at.file.ptr : "?", (int)at.line, h->workflow ? "async" : "step", user_string(L, 1, NAME).ptr);
  bind_error_push(L, "error", lua_tostring(L, -1));
  lua_pushboolean(L, 1); /* the same in every attempt */
  lua_setfield(L, -2, "fatal");
  return lua_error(L);
}

/* The __index of the methods: (methods, name). */
static int no_method(lua_State *L)
{
  const char *name = luaL_tolstring(L, 2, NULL);
  lua_pushcfunction(L, bind_nearest);
  lua_pushstring(L, name);
  lua_pushvalue(L, 1);
  lua_call(L, 2, 1);
  return bind_raise(L, "a durable function has no '%s'%s; it has with, at, detach and defaults", name,
                    lua_tostring(L, -1));
}

void bind_function_open(lua_State *L, bool in_isolate)
{
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  luaL_newmetatable(L, FUNCTION);
  lua_pushcfunction(L, in_isolate ? function_call : call_in_step);
  lua_setfield(L, -2, "__call");
  lua_pushcfunction(L, function_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_newtable(L);
  lua_pushcfunction(L, function_with);
  lua_setfield(L, -2, "with");
  lua_pushcfunction(L, in_isolate ? function_detach : call_in_step);
  lua_setfield(L, -2, "detach");
  lua_pushcfunction(L, function_at);
  lua_setfield(L, -2, "at");
  lua_pushcfunction(L, function_defaults);
  lua_setfield(L, -2, "defaults");
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, no_method);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

/* A second definition of a name stands beside the first if that was given a version. The registry is at 4. */
static void refuse_twice(lua_State *L, bool workflow, const char *name)
{
  if (lua_getfield(L, 4, name) != LUA_TNIL) {
    lua_getfield(L, -1, "file");
    lua_getfield(L, -2, "line");
    const char *file = lua_tostring(L, -2);
    int line = (int)lua_tointeger(L, -1);
    lua_getfield(L, -3, "workflow");
    bool same = (lua_toboolean(L, -1) != 0) == workflow;
    if (!same || lua_getfield(L, -4, "version") == LUA_TNIL)
      bind_raise(L, "'%s' is defined twice; the first time at %s:%d%s", name, file, line,
                 same ? ". Two versions of it need numbers: :defaults{version=1} behind the first" : "");
  }
  lua_settop(L, 4);
}

/* define(workflow, name, function) -> handle. Remembers where the function stands. */
static int define(lua_State *L)
{
  bool workflow = lua_toboolean(L, 1) != 0;
  size_t len;
  const char *name = luaL_checklstring(L, 2, &len);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  (void)check_label(L, 2, "the name of a durable function");
  if (strlen(name) != len) return bind_raise(L, "the name of a durable function must not hold a NUL byte");
  if (len > NAME_MAX_BYTES)
    return bind_raise(L, "the name of a durable function is %d bytes long; %d are the most", (int)len, NAME_MAX_BYTES);
  da_host *host = da_isolate_of(L) != NULL ? da_isolate_host(L) : NULL;
  if (host != NULL && !host->loading)
    return bind_raise(L, "%s '%s' is defined too late: define it while the script loads",
                      workflow ? "workflow" : "step", name);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  refuse_twice(L, workflow, name);
  lua_Debug ar;
  lua_pushvalue(L, 3);
  lua_getinfo(L, ">S", &ar);
  lua_newtable(L);
  lua_pushboolean(L, workflow);
  lua_setfield(L, -2, "workflow");
  lua_pushstring(L, ar.source[0] == '@' ? ar.source + 1 : ar.source);
  lua_setfield(L, -2, "file");
  lua_pushinteger(L, ar.linedefined);
  lua_setfield(L, -2, "line");
  lua_pushvalue(L, 3);
  lua_setfield(L, -2, "body");
  lua_getfield(L, 4, name);
  lua_setfield(L, -2, "older");
  (void)push_handle(L, workflow);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, NAME);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "handle");
  lua_replace(L, 3);
  lua_setfield(L, 4, name);
  lua_settop(L, 3);
  return 1;
}

/* ---- calls in other forms ------------------------------------------------------------------------------ */

/* inline(label, options or nil, closure) -> promise */
static int call_inline(lua_State *L)
{
  da_slice label = check_label(L, 1, "the label of step(...)");
  check_inline(L, 3, "step(...)");
  da_execution *execution = bind_execution(L, "step(...)");
  bind_options options = {.timeout_ms = -1};
  da_call_spec spec = {.kind = DA_CALL_INLINE, .func = label, .args = DA_LIT("[]")};
  if (!lua_isnil(L, 2)) {
    bind_options_read(L, 2, bind_inline_options, "step(...)", &options);
    spec.key = bind_string_field(L, 2, "key");
  }
  spec.timeout_ms = options.timeout_ms;
  spec.retry = options.has_retry ? &options.retry : NULL;
  lua_settop(L, 3);
  spec.closure_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return bind_finish_call(L, execution, &spec);
}

/* branch(label, options or nil, body, closure) -> promise: body(promise, closure) runs as a fiber with ids of its own.
 */
static int call_branch(lua_State *L)
{
  da_slice label = check_label(L, 1, "the label of async(...)");
  luaL_checktype(L, 3, LUA_TFUNCTION);
  check_inline(L, 4, "async(...)");
  da_execution *execution = bind_execution(L, "async(...)");
  da_call_spec spec = {.kind = DA_CALL_BRANCH, .func = label, .args = DA_LIT("[]"), .timeout_ms = -1};
  if (!lua_isnil(L, 2)) {
    bind_options options = {.timeout_ms = -1};
    bind_options_read(L, 2, bind_inline_options, "async(...)", &options);
    if (options.has_retry || options.timeout_ms >= 0)
      return bind_raise(L, "a branch takes key only; wrap it in da.within(...) for a time-out");
    spec.key = bind_string_field(L, 2, "key");
  }
  uint64_t before = execution->made;
  (void)bind_finish_call(L, execution, &spec);
  if (execution->made == before) return 1; /* the same key again */
  da_child *child = bind_promise_check(L, -1, "async(...)");
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, -1);
  int ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, 3);
  lua_pushvalue(L, -3);
  lua_pushvalue(L, 4);
  lua_xmove(L, co, 3);
  (void)da_fiber_start(execution, co, ref, 2, da_scope_new(child->id), child);
  lua_pop(L, 1);
  return 1;
}

/* fiber(what, joined, body, ...) -> promise: body(promise, ...) runs as a fiber without a record, with the ids of its
 * maker. what: its name, for messages. */
static int start_fiber(lua_State *L)
{
  da_slice what = {NULL, 0};
  what.ptr = luaL_checklstring(L, 1, &what.len);
  bool joined = lua_toboolean(L, 2) != 0;
  luaL_checktype(L, 3, LUA_TFUNCTION);
  da_execution *execution = bind_execution(L, "a combinator");
  da_call_spec spec = {.func = what};
  bind_location(L, &spec);
  da_child *child = da_execution_fiber_child(execution, joined, &spec);
  bind_promise_push(L, child);
  int arguments = lua_gettop(L) - 4;
  lua_State *co = lua_newthread(L);
  int ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, 3);
  lua_pushvalue(L, -2);
  for (int i = 0; i < arguments; i++) lua_pushvalue(L, 4 + i);
  lua_xmove(L, co, 2 + arguments);
  (void)da_fiber_start(execution, co, ref, 1 + arguments, execution->current->scope, child);
  return 1;
}

/* sleep(duration) -> promise; sleep_until(seconds) -> promise */
static int call_sleep(lua_State *L)
{
  da_execution *execution = bind_execution(L, "da.sleep");
  da_call_spec spec = {.kind = DA_CALL_SLEEP, .func = DA_LIT("~sleep"), .args = DA_LIT("[]"), .at_ms = -1};
  spec.timeout_ms = bind_duration_ms(L, 1, "da.sleep's argument");
  return bind_finish_call(L, execution, &spec);
}

static int call_sleep_until(lua_State *L)
{
  da_execution *execution = bind_execution(L, "da.sleep_until");
  double seconds = lua_type(L, 1) == LUA_TNUMBER ? lua_tonumber(L, 1) : -1;
  if (!(seconds >= 0 && seconds < 9e12))
    return bind_raise(L, "da.sleep_until takes Unix seconds as a number, got %s",
                      lua_type(L, 1) == LUA_TNUMBER ? luaL_tolstring(L, 1, NULL) : bind_what(L, 1));
  da_call_spec spec = {.kind = DA_CALL_SLEEP,
                       .func = DA_LIT("~sleep"),
                       .args = DA_LIT("[]"),
                       .timeout_ms = -1,
                       .at_ms = (int64_t)ceil(seconds * 1000)};
  return bind_finish_call(L, execution, &spec);
}

/* promise(name, options or nil, has_data, data) -> promise */
static int call_promise(lua_State *L)
{
  da_slice name = check_label(L, 1, "the name of a promise");
  da_execution *execution = bind_execution(L, "da.promise");
  da_call_spec spec = {.kind = DA_CALL_PROMISE, .func = name, .args = DA_LIT("[]"), .timeout_ms = -1};
  if (!lua_isnoneornil(L, 2)) {
    lua_getfield(L, 2, "timeout");
    if (!lua_isnil(L, -1)) spec.timeout_ms = bind_duration_ms(L, lua_gettop(L), "timeout");
    spec.key = bind_string_field(L, 2, "key");
    spec.id = bind_string_field(L, 2, "id");
    lua_getfield(L, 2, "data");
    if (!lua_isnil(L, -1)) {
      da_buf *data = bind_scratch(0);
      da_err err = {{0}};
      if (bind_value_encode(L, lua_gettop(L), "data", data, &err) != DA_OK) {
        bind_error_push(L, "unserializable", err.text);
        return lua_error(L);
      }
      spec.has_data = true;
      spec.data = da_buf_slice(data);
    }
    bind_tags_copy(L, 2);
    spec.tags = bind_tags(L, -1, &execution->arena);
  }
  return bind_finish_call(L, execution, &spec);
}

/* get(id) -> promise of any lineage */
static int get(lua_State *L)
{
  da_slice id = bind_check_id(L, 1, "da.get");
  da_execution *execution = bind_execution(L, "da.get");
  if (da_slice_eq(id, execution->id)) return bind_raise(L, "da.get: an execution cannot wait for itself");
  da_child *child = da_execution_get(execution, id);
  if (da_execution_parking(execution)) return da_lib_park(L);
  bind_promise_push(L, child);
  return 1;
}

const luaL_Reg bind_function_natives[] = {{"define", define},
                                          {"body", push_body},
                                          {"newest", push_newest},
                                          {"check_versions", check_versions},
                                          {"remote", push_remote},
                                          {"native", push_native},
                                          {"check_group", check_group},
                                          {"inline", call_inline},
                                          {"branch", call_branch},
                                          {"fiber", start_fiber},
                                          {"sleep", call_sleep},
                                          {"sleep_until", call_sleep_until},
                                          {"promise", call_promise},
                                          {"get", get},
                                          {NULL, NULL}};
