/* bind_probe.h - what the files of the probe share: the world, tables into records, records into tables.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BIND_PROBE_H
#define DA_BINDINGS_BIND_PROBE_H

#include <lauxlib.h>
#include <lua.h>

#include "../host/engine/engine.h"
#include "../host/store/store.h"

typedef struct da_world {
  da_store *store; /* NULL when closed */
  char *path;      /* NULL: in memory */
  da_store_options options;
  da_profile profile;
  char *local_target; /* may be NULL */
  bool batch;         /* begin() was called */
  da_arena arena;     /* of the call at hand; never freed while a call runs, so an error in Lua loses nothing */
} da_world;

da_world *da_probe_world(lua_State *L); /* argument 1, open */
/* Raises `NAME: words` for a failed operation. */
int da_probe_raise(lua_State *L, da_status status, const char *words);
/* nil, NAME, words. */
int da_probe_fail(lua_State *L, da_status status, const char *words);

/* One request in a transaction of its own, unless a batch is open. A batch that fails is gone. */
da_status DA_MUST_USE da_probe_apply(da_world *w, const da_request *request, int64_t now, da_outcome *out, da_err *err);
/* Is what the apply is about to write lawful? DA_EINVAL and the broken property if not. bind_probe_check.c */
da_status DA_MUST_USE da_probe_check_apply(da_world *w, const da_request *request, const da_outcome *out, da_err *err);

/* ---- tables into records: bind_probe_read.c ------------------------------------------------------------ */

/* Reads the request at index. NULL, or the sentence of the 400 that a wire layer would answer. Slices are borrowed from
 * the Lua strings of the table. */
const char *da_probe_read_request(lua_State *L, int index, da_arena *arena, da_request *out);
/* Records as the store has them. Raise what is wrong. */
void da_probe_read_promise(lua_State *L, int index, da_arena *arena, da_promise *out);
void da_probe_read_task(lua_State *L, int index, da_task *out);
void da_probe_read_schedule(lua_State *L, int index, da_arena *arena, da_schedule *out);
void da_probe_read_profile(lua_State *L, int index, da_profile *out);
da_slice da_probe_check_slice(lua_State *L, int index);

/* ---- records into tables: bind_probe_show.c ------------------------------------------------------------ */

void da_probe_push_slice(lua_State *L, da_slice s);
void da_probe_set_slice(lua_State *L, const char *key, da_slice s); /* into the table on top */
void da_probe_set_integer(lua_State *L, const char *key, int64_t n);
void da_probe_push_promise(lua_State *L, const da_promise *promise); /* as on the wire */
void da_probe_push_record(lua_State *L, const da_promise *promise); /* all of it, as da_probe_read_promise() takes it */
void da_probe_push_task(lua_State *L, const da_task *task);
void da_probe_push_schedule(lua_State *L, const da_schedule *schedule);        /* as on the wire */
void da_probe_push_schedule_record(lua_State *L, const da_schedule *schedule); /* all of it */
void da_probe_push_reply(lua_State *L, const da_request *request, const da_reply *reply, da_slice corr_id);
void da_probe_push_messages(lua_State *L, const da_message *messages, size_t count);

/* ---- methods of a world, functions: bind_probe_store.c, bind_probe_raw.c, bind_probe_check.c ------------ */

extern const luaL_Reg da_probe_store_methods[];
/* A read of the view: in the open batch, or in a transaction of its own, which leave() ends; that raises a failure. */
da_view *da_probe_enter(lua_State *L, da_world *w);
int da_probe_leave(lua_State *L, da_world *w, int there);
/* Writes one row past the engine, in the open batch or in a transaction of its own. True, or nil, NAME, words. */
int da_probe_write(lua_State *L, da_world *w, const da_write *write);

extern const luaL_Reg da_probe_queue_methods[];
extern const luaL_Reg da_probe_image_methods[];
extern const luaL_Reg da_probe_raw_methods[];
extern const luaL_Reg da_probe_raw_functions[];
extern const luaL_Reg da_probe_check_functions[];
extern const luaL_Reg da_probe_base_functions[]; /* cron, zones */
extern const luaL_Reg da_probe_http_functions[];
extern const luaL_Reg da_probe_tls_functions[];
extern const luaL_Reg da_probe_envelope_methods[];
extern const luaL_Reg da_probe_envelope_functions[];
extern const luaL_Reg da_probe_client_functions[];

/* Adds tokens to the module on top of the stack. bind_probe_auth.c */
void da_probe_open_auth(lua_State *L);

#endif
