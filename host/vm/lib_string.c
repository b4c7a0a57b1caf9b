/* lib_string.c - the stock string library but dump, with a format that shows no address and a gsub whose callback
 * may await.
 *
 * gsub keeps its state in Lua values (stack, a table of parts) and asks the stock find for each match; only a function,
 * or a table with a metatable, needs that. Everything else takes the stock path. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib_parts.h"

/* ---- format ---- */

/* The conversion character of the directive at `at` (behind '%'), or 0 at the end of the format. */
static const char *directive_end(const char *at, const char *end)
{
  while (at < end && strchr("-+ #0123456789.", *at) != NULL && *at != '\0') at++;
  return at;
}

static void prepare_argument(lua_State *L, char conversion, int arg)
{
  if (conversion == 'p') luaL_error(L, "format: '%%p' shows an address, which is not the same on replay; use '%%s'");
  if (conversion == 's' && lua_type(L, arg) != LUA_TSTRING) {
    (void)da_lib_tolstring(L, arg, NULL);
    lua_replace(L, arg);
  } else if (strchr("aAeEfFgG", conversion) != NULL && lua_type(L, arg) == LUA_TNUMBER && isnan(lua_tonumber(L, arg))) {
    lua_pushnumber(L, (lua_Number)NAN); /* without a sign */
    lua_replace(L, arg);
  }
}

static int lib_format(lua_State *L)
{
  size_t len;
  const char *at = luaL_checklstring(L, 1, &len);
  const char *end = at + len;
  int top = lua_gettop(L);
  for (int arg = 1; (at = memchr(at, '%', (size_t)(end - at))) != NULL;) {
    at = directive_end(at + 1, end);
    if (at == end || arg > top) break; /* the stock function says what is wrong */
    if (*at == '%') {
      at++;
      continue;
    }
    if (++arg <= top && *at != '\0') prepare_argument(L, *at, arg);
    at++;
  }
  return lib_stock(L, 1)(L);
}

/* ---- gsub ---- */

/* Stack of gsub: */
enum { ST_TEXT = 1, ST_PATTERN = 2, ST_REPL = 3, ST_PARTS = 4, ST_STATE = 5 };
/* Its upvalues: stock gsub, stock find, function(t, k) return t[k] end. */
enum { UP_GSUB = 1, UP_FIND = 2, UP_INDEX = 3 };

typedef struct gsub_state {
  size_t src;      /* where the next match may begin, from 0 */
  size_t copied;   /* how much of the text is in the parts */
  size_t from, to; /* the match under way */
  bool matched;    /* any match so far; its end is `copied` */
  bool anchored;
  lua_Integer count, count_max;
  lua_Integer parts;
} gsub_state;

static void add_part(lua_State *L, gsub_state *s) /* pops it */
{
  lua_rawseti(L, ST_PARTS, ++s->parts);
}

static void add_text(lua_State *L, gsub_state *s, size_t from, size_t to)
{
  if (from == to) return;
  lua_pushlstring(L, lua_tostring(L, ST_TEXT) + from, to - from);
  add_part(L, s);
}

/* Takes the replacement on top for the match under way. */
static void replace_match(lua_State *L, gsub_state *s)
{
  add_text(L, s, s->copied, s->from);
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    add_text(L, s, s->from, s->to);
  } else if (lua_isstring(L, -1)) {
    add_part(L, s);
  } else {
    luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  }
  s->copied = s->src = s->to;
  s->matched = true;
}

/* Looks for the next match. If there is one, its captures (or itself) are left on the stack. */
static int find_match(lua_State *L, gsub_state *s)
{
  size_t len = lua_rawlen(L, ST_TEXT);
  while (s->count < s->count_max && s->src <= len && !(s->anchored && s->src > 0)) {
    lua_settop(L, ST_STATE);
    lua_pushvalue(L, lua_upvalueindex(UP_FIND));
    lua_pushvalue(L, ST_TEXT);
    lua_pushvalue(L, ST_PATTERN);
    lua_pushinteger(L, (lua_Integer)s->src + 1);
    lua_call(L, 3, LUA_MULTRET);
    if (lua_isnil(L, ST_STATE + 1)) return 0;
    s->from = (size_t)lua_tointeger(L, ST_STATE + 1) - 1;
    s->to = (size_t)lua_tointeger(L, ST_STATE + 2);
    if (s->matched && s->to == s->copied) { /* empty, right behind the last match: not a new one */
      s->src++;
      continue;
    }
    s->count++;
    lua_remove(L, ST_STATE + 1);
    lua_remove(L, ST_STATE + 1);
    int captures = lua_gettop(L) - ST_STATE;
    if (captures > 0) return captures;
    lua_pushlstring(L, lua_tostring(L, ST_TEXT) + s->from, s->to - s->from);
    return 1;
  }
  return 0;
}

static int gsub_finish(lua_State *L, gsub_state *s)
{
  lua_settop(L, ST_STATE);
  if (s->count == 0) {
    lua_pushvalue(L, ST_TEXT);
  } else {
    add_text(L, s, s->copied, lua_rawlen(L, ST_TEXT));
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    for (lua_Integer i = 1; i <= s->parts; i++) {
      lua_rawgeti(L, ST_PARTS, i);
      luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
  }
  lua_pushinteger(L, s->count);
  return 2;
}

static int gsub_k(lua_State *L, int status, lua_KContext ctx);

static int gsub_run(lua_State *L, gsub_state *s)
{
  bool index = lua_istable(L, ST_REPL);
  for (;;) {
    int captures = find_match(L, s);
    if (captures == 0) return gsub_finish(L, s);
    int first = ST_STATE + 1;
    if (index) {
      lua_settop(L, first); /* a table is asked for the first capture */
      lua_pushvalue(L, ST_REPL);
      lua_insert(L, first);
      captures = 2;
    }
    lua_pushvalue(L, index ? lua_upvalueindex(UP_INDEX) : ST_REPL);
    lua_insert(L, first);
    lua_callk(L, captures, 1, 0, gsub_k);
    replace_match(L, s);
  }
}

static int gsub_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)status;
  (void)ctx;
  gsub_state *s = lua_touserdata(L, ST_STATE);
  replace_match(L, s);
  return gsub_run(L, s);
}

int lib_gsub(lua_State *L)
{
  bool calls = lua_isfunction(L, ST_REPL);
  if (lua_istable(L, ST_REPL) && lua_getmetatable(L, ST_REPL)) {
    lua_pop(L, 1);
    calls = true;
  }
  if (!calls) return lib_stock(L, UP_GSUB)(L);
  size_t len;
  (void)luaL_checklstring(L, ST_TEXT, &len);
  const char *pattern = luaL_checkstring(L, ST_PATTERN);
  lua_Integer count_max = luaL_optinteger(L, 4, (lua_Integer)len + 1);
  lua_settop(L, ST_REPL);
  luaL_checkstack(L, 50, "gsub"); /* 32 captures and the call */
  lua_newtable(L);
  gsub_state *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  s->anchored = *pattern == '^';
  s->count_max = count_max;
  return gsub_run(L, s);
}

static void open_gsub(lua_State *L)
{
  lua_getfield(L, -1, "gsub");
  lua_getfield(L, -2, "find");
  lib_compile(L, "return function(t, k) return t[k] end", "=gsub");
  lua_pushcclosure(L, lib_gsub, 3);
  lua_setfield(L, -2, "gsub");
}

static int refuse_dump(lua_State *L)
{
  return luaL_error(L, "string.dump gives bytecode, which load refuses here; keep the text of the code");
}

void lib_string_open(lua_State *L)
{
  lib_open_stock(L, luaopen_string);
  lib_wrap(L, "format", lib_format);
  open_gsub(L);
  lua_pushcfunction(L, refuse_dump);
  lua_setfield(L, -2, "dump");
  lua_setglobal(L, LUA_STRLIBNAME);
  lua_pushliteral(L, "");
  if (lua_getmetatable(L, -1)) {
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}
