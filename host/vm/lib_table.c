/* lib_table.c - the stock table library with a sort that is stable, always ends, and whose comparator may await.
 *
 * A bottom-up merge sort: `width` doubles, runs [lo, mid) and [mid, hi) of one list are merged into the other. Where it
 * stands is a struct of integers in a userdata and two Lua tables, so a comparator may suspend for years in between.
 * The stock quicksort picks pivots by the clock in large unbalanced parts, hence its order of equals is not
 * reproducible. SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>

#include "lib_parts.h"

/* Stack of sort: */
enum { ST_TABLE = 1, ST_LESS = 2, ST_FROM = 3, ST_TO = 4, ST_STATE = 5 };

typedef struct sort_state {
  lua_Integer count;
  lua_Integer width;
  lua_Integer mid, hi; /* ends of the two runs, the first begins where the last pair ended */
  lua_Integer i, j;    /* heads of the two runs, from 0 */
  lua_Integer out;     /* where the next goes */
  bool probe;          /* the question asked is whether the runs are in order as they lie */
} sort_state;

static void take(lua_State *L, lua_Integer from, lua_Integer to)
{
  lua_rawgeti(L, ST_FROM, from + 1);
  lua_rawseti(L, ST_TO, to + 1);
}

/* Opens the pair of runs that begins at lo. */
static void open_runs(sort_state *s, lua_Integer lo)
{
  s->i = s->out = lo;
  s->mid = s->j = s->count - lo > s->width ? lo + s->width : s->count;
  s->hi = s->count - s->mid > s->width ? s->mid + s->width : s->count;
  s->probe = true;
}

/* The answer to the question asked: is the head of the second run less? For a probe: is it less than the last of the
 * first run? If not, the runs are in order. */
static void answer(lua_State *L, sort_state *s, bool less)
{
  if (s->probe) {
    s->probe = false;
    if (!less) {
      while (s->i < s->mid) take(L, s->i++, s->out++);
    }
  } else if (less) {
    take(L, s->j++, s->out++);
  } else {
    take(L, s->i++, s->out++);
  }
}

/* Both runs have a head: pushes the two values to compare, second run first. */
static void push_question(lua_State *L, const sort_state *s)
{
  lua_rawgeti(L, ST_FROM, s->j + 1);
  lua_rawgeti(L, ST_FROM, (s->probe ? s->mid - 1 : s->i) + 1);
}

/* One run is used up: moves the rest, goes to the next pair or pass. False when the list is sorted (in ST_FROM). */
static bool close_runs(lua_State *L, sort_state *s)
{
  while (s->i < s->mid) take(L, s->i++, s->out++);
  while (s->j < s->hi) take(L, s->j++, s->out++);
  if (s->hi < s->count) {
    open_runs(s, s->hi);
    return true;
  }
  lua_pushvalue(L, ST_FROM);
  lua_copy(L, ST_TO, ST_FROM);
  lua_replace(L, ST_TO);
  if (s->width >= s->count - s->width) return false;
  s->width *= 2;
  open_runs(s, 0);
  return true;
}

static int sort_finish(lua_State *L, const sort_state *s)
{
  for (lua_Integer i = 1; i <= s->count; i++) {
    lua_rawgeti(L, ST_FROM, i);
    lua_seti(L, ST_TABLE, i);
  }
  return 0;
}

static int sort_k(lua_State *L, int status, lua_KContext ctx);

static int sort_run(lua_State *L, sort_state *s)
{
  bool plain = lua_isnil(L, ST_LESS); /* numbers alone, or strings alone: no metamethod can be called */
  for (;;) {
    if (s->i == s->mid || s->j == s->hi) {
      if (!close_runs(L, s)) return sort_finish(L, s);
      continue;
    }
    bool less;
    if (plain) {
      push_question(L, s);
      less = lua_compare(L, -2, -1, LUA_OPLT);
      lua_pop(L, 2);
    } else {
      lua_pushvalue(L, ST_LESS);
      push_question(L, s);
      lua_callk(L, 2, 1, 0, sort_k);
      less = lua_toboolean(L, -1);
      lua_pop(L, 1);
    }
    answer(L, s, less);
  }
}

static int sort_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)status;
  (void)ctx;
  sort_state *s = lua_touserdata(L, ST_STATE);
  bool less = lua_toboolean(L, -1);
  lua_settop(L, ST_STATE);
  answer(L, s, less);
  return sort_run(L, s);
}

/* Copies the elements to the list on top. Returns whether they are all numbers or all strings. */
static bool read_elements(lua_State *L, lua_Integer count)
{
  int kind = LUA_TNONE;
  bool plain = true;
  for (lua_Integer i = 1; i <= count; i++) {
    int type = lua_geti(L, ST_TABLE, i);
    if (i == 1) kind = type;
    plain = plain && type == kind && (type == LUA_TNUMBER || type == LUA_TSTRING);
    lua_rawseti(L, -2, i);
  }
  return plain;
}

/* Upvalue 1: function(a, b) return a < b end, which unlike lua_compare() may suspend in __lt. */
int lib_sort(lua_State *L)
{
  luaL_checktype(L, ST_TABLE, LUA_TTABLE);
  lua_Integer count = luaL_len(L, ST_TABLE);
  luaL_argcheck(L, count < INT_MAX, ST_TABLE, "array too big");
  if (!lua_isnoneornil(L, ST_LESS)) luaL_checktype(L, ST_LESS, LUA_TFUNCTION);
  lua_settop(L, ST_LESS);
  if (count < 2) return 0;
  lua_createtable(L, (int)count, 0);
  bool plain = read_elements(L, count);
  if (lua_isnil(L, ST_LESS) && !plain) lua_copy(L, lua_upvalueindex(1), ST_LESS);
  lua_createtable(L, (int)count, 0);
  sort_state *s = lua_newuserdatauv(L, sizeof *s, 0);
  s->count = count;
  s->width = 1;
  open_runs(s, 0);
  return sort_run(L, s);
}

void lib_table_open(lua_State *L)
{
  lib_open_stock(L, luaopen_table);
  lib_compile(L, "return function(a, b) return a < b end", "=sort");
  lua_pushcclosure(L, lib_sort, 1);
  lua_setfield(L, -2, "sort");
  lua_setglobal(L, LUA_TABLIBNAME);
}
