/* lib_os.c - os and io: the execution's clock in UTC; the outer world in steps only.
 *
 * A guard stands for each function that touches the world. In a workflow it raises, and says what to write instead;
 * while an inline step runs it calls the real function. The real libraries are opened at the first such call and lie in
 * the registry; once io is open the isolate holds FILE pointers and can no longer be imaged.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <math.h>
#include <time.h>

#include "lib_parts.h"

static char real_os_key, real_io_key; /* registry: the stock libraries */

/* ---- guards ---- */

typedef enum guard_kind { GUARD_STEP, GUARD_NAMED_STEP, GUARD_EXIT, GUARD_LOCALE } guard_kind;

static int refuse(lua_State *L, const char *name, guard_kind kind)
{
  switch (kind) {
  case GUARD_STEP:
    if (strcmp(name, "io.write") == 0) {
      return luaL_error(
          L, "io.write is for steps: a replay would write again; use print, or write function step.NAME(...) "
             "... end");
    }
    return luaL_error(L,
                      "%s is for steps: it would not be the same on replay; write function step.NAME(...) ... end and "
                      "await(step.NAME(...))",
                      name);
  case GUARD_NAMED_STEP:
    return luaL_error(L,
                      "%s blocks the whole host; make it a named step: function step.NAME(...) ... end and "
                      "await(step.NAME(...))",
                      name);
  case GUARD_EXIT:
    return luaL_error(L, "%s would end the host; return from the function or raise an error", name);
  case GUARD_LOCALE:
    return luaL_error(L, "%s is not available: the locale belongs to the whole process", name);
  }
  return 0;
}

/* What io.lines returned, kept beyond its step. Upvalue: the stock reader. */
static int guarded_reader(lua_State *L)
{
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  if (!da_isolate_inline(L)) return refuse(L, "io.lines", GUARD_STEP);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* Passes on the results of a stock function; a reader among them is the first one. */
static int guard_results(lua_State *L, int count)
{
  if (count > 0 && lua_isfunction(L, -count)) {
    lua_pushvalue(L, -count);
    lua_pushcclosure(L, guarded_reader, 1);
    lua_replace(L, -count - 1);
  }
  return count;
}

/* A method of a file. Upvalues: stock function, name. */
static int guarded_method(lua_State *L)
{
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  if (!da_isolate_inline(L)) return refuse(L, lua_tostring(L, lua_upvalueindex(2)), GUARD_STEP);
  return guard_results(L, lib_stock(L, 1)(L));
}

/* Files opened in a step may be kept; what can be done with them may not be done outside of one. */
static void guard_methods(lua_State *L)
{
  luaL_getmetatable(L, LUA_FILEHANDLE);
  if (lua_getfield(L, -1, "__index") == LUA_TTABLE) {
    lua_pushnil(L);
    while (lua_next(L, -2)) {
      lua_pushfstring(L, "file:%s", lua_tostring(L, -2));
      lua_pushcclosure(L, guarded_method, 2);
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, -4); /* a present field: allowed in a traversal */
    }
  }
  lua_pop(L, 2);
}

static void push_real_os(lua_State *L)
{
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &real_os_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lib_open_stock(L, luaopen_os);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &real_os_key);
}

static void push_real_io(lua_State *L)
{
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &real_io_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  da_isolate_of(L)->touched = true;
  lib_open_stock(L, luaopen_io);
  /* stdout holds results alone. */
  lua_getfield(L, -1, "output");
  lua_getfield(L, -2, "stderr");
  lua_call(L, 1, 0);
  guard_methods(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &real_io_key);
}

/* Upvalues: "os.getenv", guard_kind. */
static int guarded(lua_State *L)
{
  const char *name = lua_tostring(L, lua_upvalueindex(1));
  guard_kind kind = (guard_kind)lua_tointeger(L, lua_upvalueindex(2));
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  if (kind != GUARD_STEP || !da_isolate_inline(L)) return refuse(L, name, kind);
  luaL_checkstack(L, 8, name);
  if (name[0] == 'o') {
    push_real_os(L);
  } else {
    push_real_io(L);
  }
  lua_getfield(L, -1, name + 3);
  lua_CFunction real = lua_tocfunction(L, -1);
  lua_pop(L, 2);
  return guard_results(L, real(L)); /* has no upvalues: the same as a call of it */
}

typedef struct guard {
  const char *name;
  guard_kind kind;
} guard;

static void set_guards(lua_State *L, const guard *guards)
{
  for (; guards->name != NULL; guards++) {
    lua_pushstring(L, guards->name);
    lua_pushinteger(L, guards->kind);
    lua_pushcclosure(L, guarded, 2);
    lua_setfield(L, -2, guards->name + 3);
  }
}

/* io.stdout and its like. */
static int io_index(lua_State *L)
{
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(name, "stdin") != 0 && strcmp(name, "stdout") != 0 && strcmp(name, "stderr") != 0) return 0;
  if (!da_isolate_inline(L)) {
    lua_pushfstring(L, "io.%s", name);
    return refuse(L, lua_tostring(L, -1), GUARD_STEP);
  }
  push_real_io(L);
  lua_getfield(L, -1, name);
  return 1;
}

/* ---- time ---- */

static lua_Integer now_seconds(lua_State *L)
{
  return (lua_Integer)floor(lib_clock(L));
}

/* A field of a date table as an int, less `delta`; `missing` is its default, or -1 if it must be there. */
static int date_field(lua_State *L, const char *name, int missing, int delta)
{
  int type = lua_getfield(L, 1, name);
  int whole;
  lua_Integer n = lua_tointegerx(L, -1, &whole);
  lua_pop(L, 1);
  if (!whole) {
    if (type != LUA_TNIL) return luaL_error(L, "field '%s' is not an integer", name);
    if (missing < 0) return luaL_error(L, "field '%s' missing in date table", name);
    return missing;
  }
  if (n < INT_MIN + (lua_Integer)delta || n > INT_MAX) return luaL_error(L, "field '%s' is out-of-bound", name);
  return (int)(n - delta);
}

static void set_field(lua_State *L, const char *name, int value, int delta)
{
  lua_pushinteger(L, (lua_Integer)value + delta);
  lua_setfield(L, -2, name);
}

static void set_date_fields(lua_State *L, const struct tm *tm)
{
  set_field(L, "year", tm->tm_year, 1900);
  set_field(L, "month", tm->tm_mon, 1);
  set_field(L, "day", tm->tm_mday, 0);
  set_field(L, "hour", tm->tm_hour, 0);
  set_field(L, "min", tm->tm_min, 0);
  set_field(L, "sec", tm->tm_sec, 0);
  set_field(L, "yday", tm->tm_yday, 1);
  set_field(L, "wday", tm->tm_wday, 1);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "isdst");
}

static int lib_time(lua_State *L)
{
  if (lua_isnoneornil(L, 1)) {
    lua_pushinteger(L, now_seconds(L));
    return 1;
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  struct tm tm = {0};
  tm.tm_year = date_field(L, "year", -1, 1900);
  tm.tm_mon = date_field(L, "month", -1, 1);
  tm.tm_mday = date_field(L, "day", -1, 0);
  tm.tm_hour = date_field(L, "hour", 12, 0);
  tm.tm_min = date_field(L, "min", 0, 0);
  tm.tm_sec = date_field(L, "sec", 0, 0);
  time_t t = timegm(&tm); /* UTC, whatever TZ says */
  struct tm normal;
  if (gmtime_r(&t, &normal) == NULL) return luaL_error(L, "time result cannot be represented in this installation");
  set_date_fields(L, &normal);
  lua_pushinteger(L, t);
  return 1;
}

/* The length of the strftime conversion at `at` (behind '%'), 0 if C99 does not know it. */
static size_t conversion_length(const char *at, const char *end)
{
  if (at == end || *at == '\0') return 0;
  if (strchr("aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%", *at) != NULL) return 1;
  if (end - at < 2 || at[1] == '\0') return 0;
  if (*at == 'E' && strchr("cCxXyY", at[1]) != NULL) return 2;
  if (*at == 'O' && strchr("deHImMSuUVwWy", at[1]) != NULL) return 2;
  return 0;
}

static int format_date(lua_State *L, const char *at, const char *end, const struct tm *tm)
{
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  while (at < end) {
    if (*at != '%') {
      luaL_addchar(&text, *at++);
      continue;
    }
    size_t len = conversion_length(++at, end);
    if (len == 0) {
      return luaL_argerror(L, 1, lua_pushfstring(L, "invalid conversion specifier '%%%s'", at));
    }
    char conversion[4] = {'%', at[0], len > 1 ? at[1] : '\0', '\0'};
    char piece[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* checked just above */
    luaL_addlstring(&text, piece, strftime(piece, sizeof piece, conversion, tm));
#pragma GCC diagnostic pop
    at += len;
  }
  luaL_pushresult(&text);
  return 1;
}

/* Whole seconds of a number that may have a fraction, as da.now() has. */
static time_t check_instant(lua_State *L, int index)
{
  lua_Integer whole;
  if (lua_type(L, index) == LUA_TNUMBER && lua_numbertointeger(floor(lua_tonumber(L, index)), &whole)) {
    return lua_isinteger(L, index) ? (time_t)lua_tointeger(L, index) : (time_t)whole;
  }
  return (time_t)luaL_checkinteger(L, index);
}

static int lib_date(lua_State *L)
{
  size_t len;
  const char *format = luaL_optlstring(L, 1, "%c", &len);
  time_t t = lua_isnoneornil(L, 2) ? (time_t)now_seconds(L) : check_instant(L, 2);
  const char *end = format + len;
  if (*format == '!') format++; /* it is UTC in any case */
  struct tm tm;
  if (gmtime_r(&t, &tm) == NULL) return luaL_error(L, "date result cannot be represented in this installation");
  if (strcmp(format, "*t") != 0) return format_date(L, format, end, &tm);
  lua_createtable(L, 0, 9);
  set_date_fields(L, &tm);
  return 1;
}

static int lib_clock_call(lua_State *L)
{
  lua_pushnumber(L, lib_clock(L));
  return 1;
}

static int lib_difftime(lua_State *L)
{
  lua_pushnumber(L, luaL_checknumber(L, 1) - luaL_checknumber(L, 2));
  return 1;
}

void lib_os_open(lua_State *L)
{
  static const luaL_Reg functions[] = {
      {"clock", lib_clock_call}, {"date", lib_date}, {"difftime", lib_difftime}, {"time", lib_time}, {NULL, NULL}};
  static const guard os_guards[] = {{"os.execute", GUARD_NAMED_STEP}, {"os.exit", GUARD_EXIT},
                                    {"os.getenv", GUARD_STEP},        {"os.remove", GUARD_STEP},
                                    {"os.rename", GUARD_STEP},        {"os.setlocale", GUARD_LOCALE},
                                    {"os.tmpname", GUARD_STEP},       {NULL, GUARD_STEP}};
  static const guard io_guards[] = {
      {"io.close", GUARD_STEP},   {"io.flush", GUARD_STEP},  {"io.input", GUARD_STEP}, {"io.lines", GUARD_STEP},
      {"io.open", GUARD_STEP},    {"io.output", GUARD_STEP}, {"io.read", GUARD_STEP},  {"io.popen", GUARD_NAMED_STEP},
      {"io.tmpfile", GUARD_STEP}, {"io.type", GUARD_STEP},   {"io.write", GUARD_STEP}, {NULL, GUARD_STEP}};
  luaL_newlib(L, functions);
  set_guards(L, os_guards);
  lua_setglobal(L, LUA_OSLIBNAME);
  lua_newtable(L);
  set_guards(L, io_guards);
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, io_index);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  lua_setglobal(L, LUA_IOLIBNAME);
}
