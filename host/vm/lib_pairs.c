/* lib_pairs.c - pairs and next in an order that only the keys decide: numbers by value, strings by bytes, false, true.
 *
 * pairs sorts the keys once, at its start, into a Lua table (everything an iteration needs is Lua values, so it
 * survives in an image), and leaves out what is gone when its turn comes. Keys 1..n that the table holds in a row need
 * no list. next(t, k) gives the least key above k and keeps nothing, so it costs a look at every key.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "lib_parts.h"

typedef enum key_kind { KEY_INTEGER, KEY_FLOAT, KEY_STRING, KEY_BOOLEAN } key_kind;

typedef struct key {
  union {
    lua_Integer integer; /* and boolean */
    lua_Number number;
    struct {
      uint64_t head;   /* the first 8 bytes, big-endian: decides most comparisons */
      const char *ptr; /* kept alive by the table the key is in */
      size_t len;
    } string;
  } u;
  key_kind kind;
} key;

enum { KEYS_INLINE = 48, INSERTION_MAX = 12 };

static uint64_t string_head(const char *text, size_t len)
{
  uint64_t head = 0;
  if (len >= 8) {
    memcpy(&head, text, 8);
    return __builtin_bswap64(head);
  }
  for (size_t i = 0; i < len; i++) head |= (uint64_t)(unsigned char)text[i] << (56 - 8 * i);
  return head;
}

static void read_number(lua_State *L, int index, key *out)
{
  int whole;
  out->kind = KEY_INTEGER;
  out->u.integer = lua_tointegerx(L, index, &whole); /* 2.0 is the key 2 */
  if (whole) return;
  out->kind = KEY_FLOAT;
  out->u.number = lua_tonumber(L, index);
  if (isnan(out->u.number)) luaL_error(L, "nan is no key");
}

/* The key at stack index; raises if it has no order. */
static void key_read(lua_State *L, int index, key *out)
{
  switch (lua_type(L, index)) {
  case LUA_TNUMBER:
    read_number(L, index, out);
    return;
  case LUA_TSTRING:
    out->kind = KEY_STRING;
    out->u.string.ptr = lua_tolstring(L, index, &out->u.string.len);
    out->u.string.head = string_head(out->u.string.ptr, out->u.string.len);
    return;
  case LUA_TBOOLEAN:
    out->kind = KEY_BOOLEAN;
    out->u.integer = lua_toboolean(L, index);
    return;
  default:
    luaL_error(L, "a %s key has no reproducible order; key the table by string or number", luaL_typename(L, index));
  }
}

static void key_push(lua_State *L, const key *k)
{
  switch (k->kind) {
  case KEY_INTEGER:
    lua_pushinteger(L, k->u.integer);
    return;
  case KEY_FLOAT:
    lua_pushnumber(L, k->u.number);
    return;
  case KEY_STRING:
    lua_pushlstring(L, k->u.string.ptr, k->u.string.len);
    return;
  case KEY_BOOLEAN:
    lua_pushboolean(L, (int)k->u.integer);
    return;
  }
}

/* An integer against a float. As a key the float is never a whole number that fits an integer, so they never tie. */
static int compare_mixed(lua_Integer i, lua_Number f)
{
  if (f >= 9223372036854775808.0) return -1;
  if (f < -9223372036854775808.0) return 1;
  lua_Integer whole = (lua_Integer)f; /* towards zero */
  if (i != whole) return i < whole ? -1 : 1;
  return (lua_Number)whole < f ? -1 : 1;
}

static int compare_strings(const key *a, const key *b)
{
  if (a->u.string.head != b->u.string.head) return a->u.string.head < b->u.string.head ? -1 : 1;
  return da_slice_cmp(da_slice_make(a->u.string.ptr, a->u.string.len), da_slice_make(b->u.string.ptr, b->u.string.len));
}

static int key_compare(const key *a, const key *b)
{
  if (a->kind == KEY_STRING && b->kind == KEY_STRING) return compare_strings(a, b);
  if (a->kind == KEY_FLOAT && b->kind == KEY_FLOAT) return (a->u.number > b->u.number) - (a->u.number < b->u.number);
  if (a->kind == KEY_INTEGER && b->kind == KEY_FLOAT) return compare_mixed(a->u.integer, b->u.number);
  if (a->kind == KEY_FLOAT && b->kind == KEY_INTEGER) return -compare_mixed(b->u.integer, a->u.number);
  if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
  return (a->u.integer > b->u.integer) - (a->u.integer < b->u.integer);
}

static int key_compare_void(const void *a, const void *b)
{
  return key_compare(a, b);
}

/* Keys differ, so every correct sort gives the same order. */
static void keys_sort(key *keys, size_t count)
{
  if (count > INSERTION_MAX) {
    qsort(keys, count, sizeof *keys, key_compare_void);
    return;
  }
  for (size_t i = 1; i < count; i++) {
    key k = keys[i];
    size_t j = i;
    for (; j > 0 && key_compare(&k, &keys[j - 1]) < 0; j--) keys[j] = keys[j - 1];
    keys[j] = k;
  }
}

/* ---- pairs ---- */

/* A growing array of keys; beyond the first few its memory is a userdata at stack index `anchor`. */
typedef struct keys {
  key *at;
  size_t count;
  size_t cap;
  int anchor;
  key few[KEYS_INLINE];
} keys;

static void keys_add(lua_State *L, keys *list, const key *k)
{
  if (list->count == list->cap) {
    key *more = lua_newuserdatauv(L, 2 * list->cap * sizeof *more, 0);
    memcpy(more, list->at, list->count * sizeof *more);
    lua_replace(L, list->anchor);
    list->at = more;
    list->cap *= 2;
  }
  list->at[list->count++] = *k;
}

/* Pushes the sorted list of the keys of the table at stack index 1 but the row 1..n, or nil if there are no others.
 * Returns n. */
static lua_Integer push_keys(lua_State *L)
{
  keys list;
  list.at = list.few;
  list.count = 0;
  list.cap = KEYS_INLINE;
  lua_pushnil(L);
  list.anchor = lua_gettop(L);
  lua_Integer row = 0;
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    key k;
    lua_pop(L, 1);
    key_read(L, -1, &k);
    if (k.kind == KEY_INTEGER && k.u.integer == row + 1 && list.count == 0) {
      row++;
    } else {
      keys_add(L, &list, &k);
    }
  }
  if (list.count == 0) return row;
  keys_sort(list.at, list.count);
  lua_createtable(L, list.count < INT32_MAX ? (int)list.count : 0, 0);
  for (size_t i = 0; i < list.count; i++) {
    key_push(L, &list.at[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_replace(L, list.anchor);
  return row;
}

/* Upvalues: table, list of keys or nil, length of the row, position. */
static int pairs_step(lua_State *L)
{
  lua_Integer row = lua_tointeger(L, lua_upvalueindex(3));
  lua_Integer position = lua_tointeger(L, lua_upvalueindex(4));
  bool listed = !lua_isnil(L, lua_upvalueindex(2));
  lua_settop(L, 0);
  for (;;) {
    position++;
    if (position <= row) {
      lua_pushinteger(L, position);
    } else if (!listed || lua_rawgeti(L, lua_upvalueindex(2), position - row) == LUA_TNIL) {
      lua_settop(L, 0);
      lua_pushnil(L);
      return 1;
    }
    lua_pushvalue(L, 1);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) break;
    lua_settop(L, 0); /* removed since */
  }
  lua_pushinteger(L, position);
  lua_replace(L, lua_upvalueindex(4));
  return 2;
}

static int pairs_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)L;
  (void)status;
  (void)ctx;
  return 3;
}

int lib_pairs(lua_State *L)
{
  luaL_checkany(L, 1);
  if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 3, 0, pairs_k);
    return 3;
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_pushvalue(L, 1); /* what is handed back is what was given */
  lib_thaw(L, 1);
  lua_pushvalue(L, 1);
  lua_Integer row = push_keys(L);
  lua_pushinteger(L, row);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, pairs_step, 4);
  lua_insert(L, 2);
  lua_pushnil(L);
  return 3;
}

/* ---- next ---- */

int lib_next(lua_State *L)
{
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  lib_thaw(L, 1);
  key above, best;
  bool bounded = !lua_isnil(L, 2);
  bool found = false;
  if (bounded) key_read(L, 2, &above);
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    key k;
    lua_pop(L, 1);
    key_read(L, -1, &k);
    if (bounded && key_compare(&k, &above) <= 0) continue;
    if (found && key_compare(&k, &best) >= 0) continue;
    best = k;
    found = true;
  }
  if (!found) {
    lua_pushnil(L);
    return 1;
  }
  key_push(L, &best);
  lua_pushvalue(L, -1);
  lua_rawget(L, 1);
  return 2;
}
