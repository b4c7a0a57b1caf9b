/* closure_tables.c - sums up the tables around an inline step, and compares. See closure_tables.h.
 *
 * A walk visits the tables in the order of their distance; in each the order is that of lua_next(), which is the same
 * before and after as long as the table is. A table is looked at before those it holds, so the first difference of two
 * walks lies in a table that was changed itself.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "closure_tables.h"

#include <stdio.h>
#include <stdlib.h>

#include "../base/hash.h"

enum { TABLES_MAX = 2000, KEY_MAX = 32 }; /* what lies further off is not looked at */

typedef struct visited {
  const void *table;
  uint64_t sum;      /* of its contents, whatever their order */
  int parent;        /* index, or -1: a variable */
  char key[KEY_MAX]; /* in the parent, or the variable's name */
} visited;

struct da_closure_tables {
  int count;
  visited at[TABLES_MAX];
};

static uint64_t mix(uint64_t x)
{
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

static uint64_t sum_of(lua_State *L, int index)
{
  int type = lua_type(L, index);
  uint64_t bits = 0;
  if (type == LUA_TSTRING) {
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    bits = da_hash64(da_slice_make(text, len));
  } else if (lua_isinteger(L, index)) {
    bits = (uint64_t)lua_tointeger(L, index);
  } else if (type == LUA_TNUMBER) {
    lua_Number value = lua_tonumber(L, index);
    memcpy(&bits, &value, sizeof bits);
    type = LUA_NUMTYPES; /* a float */
  } else if (type == LUA_TBOOLEAN) {
    bits = (uint64_t)lua_toboolean(L, index);
  } else {
    bits = (uint64_t)(uintptr_t)lua_topointer(L, index);
  }
  return mix(bits + mix((uint64_t)type + 1));
}

static bool known(const da_closure_tables *tables, const void *table)
{
  for (int i = 0; i < tables->count; i++)
    if (tables->at[i].table == table) return true;
  return false;
}

static void name_key(lua_State *L, int index, char out[KEY_MAX])
{
  if (lua_type(L, index) == LUA_TSTRING)
    (void)snprintf(out, KEY_MAX, ".%s", lua_tostring(L, index));
  else if (lua_isinteger(L, index))
    (void)snprintf(out, KEY_MAX, "[%lld]", (long long)lua_tointeger(L, index));
  else
    (void)snprintf(out, KEY_MAX, "[%s]", lua_typename(L, lua_type(L, index)));
}

/* Takes the table on top of L into the walk. NULL: it is known, or there are too many. */
static visited *take(da_closure_tables *tables, lua_State *L, int parent)
{
  const void *table = lua_topointer(L, -1);
  if (tables->count == TABLES_MAX || known(tables, table)) return NULL;
  visited *v = &tables->at[tables->count++];
  *v = (visited){.table = table, .parent = parent};
  return v;
}

static void take_variables(da_closure_tables *tables, const da_closure_watch *watch, lua_State *L)
{
  for (int i = 0; i < watch->count && lua_checkstack(L, 8); i++) {
    const char *name = lua_getupvalue(L, watch->cells[i].function, watch->cells[i].upvalue);
    bool wanted = lua_istable(L, -1) && strcmp(name, "_ENV") != 0;
    visited *v = wanted ? take(tables, L, -1) : NULL;
    if (v != NULL)
      (void)snprintf(v->key, sizeof v->key, "%s", name);
    else
      lua_pop(L, 1);
  }
}

/* The tables of the walk lie on the stack from `first` on, in its order; above them the key that lua_next() is at. */
static void look_into(da_closure_tables *tables, lua_State *L, int first, int i)
{
  lua_pushnil(L);
  while (lua_next(L, first + i) != 0) {
    tables->at[i].sum += mix(sum_of(L, -2) ^ mix(sum_of(L, -1)));
    visited *v = lua_istable(L, -1) && lua_checkstack(L, 8) ? take(tables, L, i) : NULL;
    if (v != NULL) {
      name_key(L, -2, v->key);
      lua_insert(L, -2);
    } else {
      lua_pop(L, 1);
    }
  }
}

static void walk(da_closure_tables *tables, const da_closure_watch *watch, lua_State *L)
{
  int top = lua_gettop(L);
  tables->count = 0;
  take_variables(tables, watch, L);
  for (int i = 0; i < tables->count && lua_checkstack(L, 8); i++) look_into(tables, L, top + 1, i); /* the list grows */
  lua_settop(L, top);
}

static void add_way(const da_closure_tables *tables, int i, da_buf *out)
{
  int way[16];
  int depth = 0;
  for (; i >= 0 && depth < 16; i = tables->at[i].parent) way[depth++] = i;
  if (i >= 0) da_buf_addf(out, "...");
  while (depth > 0) da_buf_addf(out, "%s", tables->at[way[--depth]].key);
}

da_closure_tables *da_closure_tables_new(const da_closure_watch *watch, lua_State *L)
{
  da_closure_tables *tables = da_xmalloc(sizeof *tables);
  walk(tables, watch, L);
  return tables;
}

bool da_closure_tables_changed(const da_closure_tables *before, const da_closure_watch *watch, lua_State *L,
                               da_buf *way)
{
  da_closure_tables *now = da_closure_tables_new(watch, L);
  int i = 0;
  while (i < before->count && i < now->count && before->at[i].table == now->at[i].table &&
         before->at[i].sum == now->at[i].sum)
    i++;
  bool changed = i < before->count && i < now->count;
  if (changed) add_way(now, i, way);
  da_closure_tables_delete(now);
  return changed;
}

void da_closure_tables_delete(da_closure_tables *tables)
{
  free(tables);
}
