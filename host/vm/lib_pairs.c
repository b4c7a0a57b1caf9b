/* lib_pairs.c - pairs and next in an order that only the keys decide: numbers by value, strings by bytes, false, true.
 *
 * pairs sorts the keys once, at its start, into a Lua table (everything an iteration needs is Lua values, so it
 * survives in an image), and leaves out what is gone when its turn comes. Keys 1..n that the table holds in a row need
 * no list. next(t, k) gives the least key above k and keeps nothing, so it costs a look at every key.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "lib_parts.h"

typedef enum key_kind { KEY_NUMBER, KEY_STRING, KEY_BOOLEAN } key_kind;

typedef struct key {
  uint64_t head; /* decides most comparisons: the nearest float as ordered bits, the first 8 bytes of a string */
  union {
    lua_Integer integer; /* and boolean */
    lua_Number number;
    const char *text; /* kept alive by the table the key is in */
  } u;
  size_t len;   /* of a string */
  uint8_t kind; /* key_kind */
  bool is_float;
  uint8_t place; /* where a key of the first few lies on the stack */
} key;

enum { KEYS_FEW = 32, RUN_KEYS = 16 };

static uint64_t string_head(const char *text, size_t len)
{
  char head[8] = {0};
  memcpy(head, text, len < 8 ? len : 8);
  return da_get_u64(head); /* big-endian: the first byte weighs most */
}

/* Maps floats to integers of the same order. */
static uint64_t float_head(lua_Number f)
{
  uint64_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static void read_number(lua_State *L, int index, key *out)
{
  int whole;
  out->kind = KEY_NUMBER;
  out->u.integer = lua_tointegerx(L, index, &whole); /* 2.0 is the key 2 */
  out->is_float = !whole;
  if (whole) {
    out->head = float_head((lua_Number)out->u.integer);
    return;
  }
  out->u.number = lua_tonumber(L, index);
  if (isnan(out->u.number)) luaL_error(L, "nan is no key");
  out->head = float_head(out->u.number);
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
    out->u.text = lua_tolstring(L, index, &out->len);
    out->head = string_head(out->u.text, out->len);
    return;
  case LUA_TBOOLEAN:
    out->kind = KEY_BOOLEAN;
    out->head = (uint64_t)lua_toboolean(L, index);
    return;
  default:
    luaL_error(L, "a %s key has no reproducible order; key the table by string or number", luaL_typename(L, index));
  }
}

static void key_push(lua_State *L, const key *k)
{
  if (k->kind == KEY_STRING) {
    lua_pushlstring(L, k->u.text, k->len);
  } else if (k->kind == KEY_BOOLEAN) {
    lua_pushboolean(L, k->head != 0);
  } else if (k->is_float) {
    lua_pushnumber(L, k->u.number);
  } else {
    lua_pushinteger(L, k->u.integer);
  }
}

/* Keys of one kind and equal head. */
static bool tie_less(const key *a, const key *b)
{
  if (a->kind == KEY_STRING)
    return da_slice_cmp(da_slice_make(a->u.text, a->len), da_slice_make(b->u.text, b->len)) < 0;
  if (a->kind == KEY_BOOLEAN) return false;
  /* A whole float in the range of integers is an integer as a key. So a float ties only with a float, being the same,
   * or, when it is 2^63, with integers that were rounded up to it. */
  if (a->is_float || b->is_float) return b->is_float && !a->is_float;
  return a->u.integer < b->u.integer;
}

static inline bool key_less(const key *a, const key *b)
{
  if (a->kind != b->kind) return a->kind < b->kind;
  if (a->head != b->head) return a->head < b->head;
  return tie_less(a, b);
}

static void sort_run(key *keys, size_t count)
{
  for (size_t i = 1; i < count; i++) {
    key k = keys[i];
    size_t j = i;
    for (; j > 0 && key_less(&k, &keys[j - 1]); j--) keys[j] = keys[j - 1];
    keys[j] = k;
  }
}

static void merge_runs(const key *a, const key *a_end, const key *b, const key *b_end, key *out)
{
  while (a < a_end && b < b_end) *out++ = key_less(b, a) ? *b++ : *a++;
  while (a < a_end) *out++ = *a++;
  while (b < b_end) *out++ = *b++;
}

/* Sorts into one of the two arrays and returns it. */
static key *keys_sort(key *keys, key *spare, size_t count)
{
  for (size_t i = 0; i < count; i += RUN_KEYS) sort_run(keys + i, count - i < RUN_KEYS ? count - i : RUN_KEYS);
  for (size_t width = RUN_KEYS; width < count; width *= 2) {
    for (size_t i = 0; i < count; i += 2 * width) {
      size_t mid = count - i < width ? count : i + width;
      size_t end = count - mid < width ? count : mid + width;
      merge_runs(keys + i, keys + mid, keys + mid, keys + end, spare + i);
    }
    key *sorted = spare;
    spare = keys;
    keys = sorted;
  }
  return keys;
}

/* ---- pairs ---- */

/* A growing array of keys; beyond the first few its memory is a userdata at stack index `anchor`. The first few keys
 * themselves lie on the stack behind the anchor. */
typedef struct keys {
  key *at;
  size_t count;
  size_t cap;
  int anchor;
  key few[2 * KEYS_FEW]; /* half of it to sort */
} keys;

/* The key lies on top of the stack and is left there. */
static void keys_add(lua_State *L, keys *list, key *k)
{
  if (list->count < KEYS_FEW) {
    k->place = (uint8_t)list->count;
    lua_pushvalue(L, -1);
  } else if (list->count == list->cap) {
    key *more = lua_newuserdatauv(L, 4 * list->cap * sizeof *more, 0); /* half of it to sort */
    memcpy(more, list->at, list->count * sizeof *more);
    lua_replace(L, list->anchor);
    list->at = more;
    list->cap *= 2;
  }
  list->at[list->count++] = *k;
}

static void push_listed(lua_State *L, const keys *list, const key *k)
{
  if (list->count <= KEYS_FEW) {
    lua_pushvalue(L, list->anchor + 1 + k->place);
  } else {
    key_push(L, k);
  }
}

/* Is the key below the integer n? */
static bool key_below(const key *k, lua_Integer n)
{
  if (k->kind != KEY_NUMBER) return false;
  return k->is_float ? k->u.number < (lua_Number)n : k->u.integer < n; /* n is a size: exact as a float */
}

/* Replaces the anchor and what lies behind by the sorted list as a table, or by nil if there is none. Returns the
 * length of the row that comes before the list: all of `row`, or 0 when keys below its end (-1, 0, 1.5) made it part of
 * the list. */
static lua_Integer push_sorted(lua_State *L, keys *list, lua_Integer row)
{
  if (list->count > 0) {
    const key *sorted = keys_sort(list->at, list->at + list->cap, list->count);
    lua_Integer mixed = key_below(&sorted[0], row) ? row : 0;
    lua_Integer size = (lua_Integer)list->count + mixed;
    lua_createtable(L, size < INT32_MAX ? (int)size : 0, 0);
    lua_Integer n = 0, out = 0;
    for (size_t i = 0; i < list->count; i++) {
      while (n < mixed && !key_below(&sorted[i], n + 1)) {
        lua_pushinteger(L, ++n);
        lua_rawseti(L, -2, ++out);
      }
      push_listed(L, list, &sorted[i]);
      lua_rawseti(L, -2, ++out);
    }
    while (n < mixed) {
      lua_pushinteger(L, ++n);
      lua_rawseti(L, -2, ++out);
    }
    lua_replace(L, list->anchor);
    row -= mixed;
  }
  lua_settop(L, list->anchor);
  return row;
}

/* Pushes the sorted list of the keys of the table at stack index 1, but the row 1..n if it comes before all others, or
 * nil if there are no others. Returns n. */
static lua_Integer push_keys(lua_State *L)
{
  keys list;
  list.at = list.few;
  list.count = 0;
  list.cap = KEYS_FEW;
  luaL_checkstack(L, KEYS_FEW + 8, "pairs");
  lua_pushnil(L);
  list.anchor = lua_gettop(L);
  lua_Integer row = 0;
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    key k = {0};
    lua_pop(L, 1);
    key_read(L, -1, &k);
    if (list.count == 0 && k.kind == KEY_NUMBER && !k.is_float && k.u.integer == row + 1) {
      row++;
    } else {
      keys_add(L, &list, &k);
    }
  }
  return push_sorted(L, &list, row);
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
  key above = {0}, best = {0};
  bool bounded = !lua_isnil(L, 2);
  bool found = false;
  if (bounded) key_read(L, 2, &above);
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    key k = {0};
    lua_pop(L, 1);
    key_read(L, -1, &k);
    if (bounded && !key_less(&above, &k)) continue;
    if (found && !key_less(&k, &best)) continue;
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
