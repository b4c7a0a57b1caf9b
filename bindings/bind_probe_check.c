/* bind_probe_check.c - every apply of the probe is held against what a step may do, before it is written.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/engine/check.h"
#include "bind_probe.h"

static void note_first(void *user, const char *property, da_slice id, const char *words)
{
  da_err *err = user;
  if (err->text[0] == '\0') (void)da_fail(err, DA_EINVAL, "%s of %.*s: %s", property, DA_FMT(id), words);
}

da_status da_probe_check_apply(da_world *w, const da_request *request, const da_outcome *out, da_err *err)
{
  err->text[0] = '\0';
  int broken = da_check_apply(da_store_view(w->store), request, out, &w->arena, note_first, err);
  if (broken < 0) return da_fail(err, (da_status)broken, "%s", da_store_fault_words(w->store));
  return broken == 0 ? DA_OK : DA_EINVAL;
}

/* ---- one step, for the check's own spec ---------------------------------------------------------------- */

static void add_name(void *user, const char *property, da_slice id, const char *words)
{
  lua_State *L = user;
  (void)id;
  (void)words;
  lua_pushstring(L, property);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* check_step(promise before, promise after, task before, task after) -> names of the broken properties. Each of the
 * four may be nil. */
static int check_step(lua_State *L)
{
  da_arena arena = {0};
  da_promise promises[2];
  da_task tasks[2];
  for (int i = 0; i < 2; i++) {
    if (!lua_isnoneornil(L, 1 + i)) da_probe_read_promise(L, 1 + i, &arena, &promises[i]);
    if (!lua_isnoneornil(L, 3 + i)) da_probe_read_task(L, 3 + i, &tasks[i]);
  }
  lua_newtable(L);
  (void)da_check_step(lua_isnil(L, 1) ? NULL : &promises[0], lua_isnil(L, 2) ? NULL : &promises[1],
                      lua_isnil(L, 3) ? NULL : &tasks[0], lua_isnil(L, 4) ? NULL : &tasks[1], add_name, L);
  da_arena_free(&arena);
  return 1;
}

const luaL_Reg da_probe_check_functions[] = {{"check_step", check_step}, {NULL, NULL}};
