/* bind_options.c - durations, retry policies and the other options of a durable call.
 *
 * Unknown names are refused with the nearest known one: a misspelt option that is silently ignored costs an hour.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "bind.h"

static const struct {
  const char *name;
  double ms;
} units[] = {{"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}, {"w", 604800e3}};

double bind_duration_of_text(const char *text)
{
  double total = 0;
  if (*text == '\0') return -1;
  while (*text != '\0') {
    char *end;
    if (*text < '0' || *text > '9') return -1;
    double value = strtod(text, &end);
    double unit = -1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
      size_t len = strlen(units[i].name);
      if (strncmp(end, units[i].name, len) == 0 && (end[len] == '\0' || (end[len] >= '0' && end[len] <= '9'))) {
        unit = units[i].ms;
        end += len;
        break;
      }
    }
    if (unit < 0) return -1;
    total += value * unit;
    text = end;
  }
  return total;
}

int64_t bind_duration_ms(lua_State *L, int index, const char *what)
{
  double ms = -1;
  if (lua_type(L, index) == LUA_TNUMBER)
    ms = lua_tonumber(L, index) * 1000;
  else if (lua_type(L, index) == LUA_TSTRING)
    ms = bind_duration_of_text(lua_tostring(L, index));
  if (!(ms >= 0)) {
    const char *given = lua_type(L, index) == LUA_TSTRING   ? lua_pushfstring(L, "\"%s\"", lua_tostring(L, index))
                        : lua_type(L, index) == LUA_TNUMBER ? luaL_tolstring(L, index, NULL)
                                                            : bind_what(L, index);
    bind_raise(L, "%s must be seconds as a number, or text like \"250ms\", \"1h30m\", \"3d\"; got %s", what, given);
  }
  return ms >= 9e15 ? (int64_t)9e15 : (int64_t)ceil(ms);
}

const char *const bind_call_options[] = {"timeout", "attempt_timeout", "retry", "key",  "id", "group",
                                         "address", "version",         "delay", "tags", NULL};
const char *const bind_default_options[] = {"timeout", "attempt_timeout", "retry", "version", "delay", "tags", "doc",
                                            NULL};
const char *const bind_inline_options[] = {"timeout", "retry", "key", NULL};
static const char *const retry_names[] = {"max", "first", "factor", "cap", "jitter", NULL};

enum { COMPARED_MAX = 30 };

/* Insertions, deletions, replacements and swaps of neighbours from a to b. */
static size_t distance(const char *a, const char *b)
{
  size_t rows[3][COMPARED_MAX + 1]; /* the row before the last, the last, the one at hand */
  size_t n = strlen(b);
  if (n > COMPARED_MAX) return 99;
  for (size_t j = 0; j <= n; j++) rows[1][j] = j;
  for (size_t i = 1; a[i - 1] != '\0'; i++) {
    rows[2][0] = i;
    for (size_t j = 1; j <= n; j++) {
      size_t best = rows[1][j - 1] + (a[i - 1] != b[j - 1]);
      if (rows[1][j] + 1 < best) best = rows[1][j] + 1;
      if (rows[2][j - 1] + 1 < best) best = rows[2][j - 1] + 1;
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped && rows[0][j - 2] + 1 < best) best = rows[0][j - 2] + 1;
      rows[2][j] = best;
    }
    memcpy(rows[0], rows[1], sizeof rows[0]);
    memcpy(rows[1], rows[2], sizeof rows[1]);
  }
  return rows[1][n];
}

int bind_nearest(lua_State *L)
{
  const char *name = luaL_checkstring(L, 1);
  const char *nearest = NULL;
  size_t longest = strlen(name);
  size_t best = longest <= 3 ? 1 : longest <= 8 ? 2 : longest / 3; /* what is further off is another word */
  lua_settop(L, 2);
  for (lua_pushnil(L); longest <= 30 && lua_next(L, 2) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    const char *known = lua_tostring(L, -2);
    bool begun = longest >= 3 && strncmp(known, name, longest) == 0;
    size_t far = begun ? 1 : distance(name, known);
    if (far > best || (far == best && nearest != NULL && strcmp(known, nearest) > 0)) continue;
    best = far;
    nearest = known;
  }
  lua_pushfstring(L, nearest != NULL ? " (did you mean '%s'?)" : "", nearest);
  return 1;
}

/* Raises if the table at index has a key that is not among the names. */
static void check_names(lua_State *L, int index, const char *const *names, const char *what)
{
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) bind_raise(L, "%s must be a table of named options", what);
    const char *name = lua_tostring(L, -1);
    const char *nearest = names[0];
    bool known = false;
    for (size_t i = 0; names[i] != NULL && !known; i++) {
      known = strcmp(names[i], name) == 0;
      if (distance(name, names[i]) < distance(name, nearest)) nearest = names[i];
    }
    if (!known) bind_raise(L, "unknown option '%s' of %s; did you mean '%s'?", name, what, nearest);
  }
}

static double number_field(lua_State *L, int index, const char *key, double otherwise)
{
  lua_getfield(L, index, key);
  double value = otherwise;
  if (!lua_isnil(L, -1)) {
    if (lua_type(L, -1) != LUA_TNUMBER || !(lua_tonumber(L, -1) >= 0))
      bind_raise(L, "retry.%s must be a number, not less than 0", key);
    value = lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  return value;
}

static double seconds_field(lua_State *L, int index, const char *key, double otherwise)
{
  lua_getfield(L, index, key);
  double value = lua_isnil(L, -1) ? otherwise : (double)bind_duration_ms(L, lua_gettop(L), key) / 1000;
  lua_pop(L, 1);
  return value;
}

/* false: never; "forever"; or a table. */
static void read_retry(lua_State *L, int index, da_retry *retry)
{
  *retry = da_retry_default;
  if (lua_isboolean(L, index) && !lua_toboolean(L, index)) {
    retry->max = 1;
  } else if (lua_type(L, index) == LUA_TSTRING && strcmp(lua_tostring(L, index), "forever") == 0) {
    retry->max = INT64_MAX;
  } else if (lua_istable(L, index)) {
    check_names(L, index, retry_names, "retry");
    double max = number_field(L, index, "max", (double)retry->max);
    retry->max = max >= 9e18 ? INT64_MAX : (int64_t)max;
    if (retry->max < 1) bind_raise(L, "retry.max must be at least 1: it counts all attempts");
    retry->first = seconds_field(L, index, "first", retry->first);
    retry->factor = number_field(L, index, "factor", retry->factor);
    retry->cap = seconds_field(L, index, "cap", retry->cap);
    retry->jitter = number_field(L, index, "jitter", retry->jitter);
    if (retry->jitter > 1) bind_raise(L, "retry.jitter must be between 0 and 1");
  } else {
    bind_raise(L, "retry must be false, \"forever\" or a table {max=, first=, factor=, cap=, jitter=}");
  }
}

static void read_version(lua_State *L, int index, int64_t *out)
{
  lua_getfield(L, index, "version");
  if (!lua_isnil(L, -1)) {
    int whole = 0;
    *out = lua_type(L, -1) == LUA_TNUMBER ? (int64_t)lua_tointegerx(L, -1, &whole) : 0;
    if (!whole || *out < 1 || *out > INT32_MAX) bind_raise(L, "version must be a whole number, at least 1");
  }
  lua_pop(L, 1);
}

void bind_options_read(lua_State *L, int index, const char *const *names, const char *what, bind_options *out)
{
  check_names(L, index, names, what);
  read_version(L, index, &out->version);
  lua_getfield(L, index, "timeout");
  if (!lua_isnil(L, -1)) out->timeout_ms = bind_duration_ms(L, lua_gettop(L), "timeout");
  lua_getfield(L, index, "attempt_timeout");
  if (!lua_isnil(L, -1)) out->attempt_timeout_ms = bind_duration_ms(L, lua_gettop(L), "attempt_timeout");
  lua_getfield(L, index, "retry");
  if (!lua_isnil(L, -1)) {
    out->has_retry = true;
    read_retry(L, lua_gettop(L), &out->retry);
  }
  lua_getfield(L, index, "delay");
  if (!lua_isnil(L, -1)) out->delay_ms = bind_duration_ms(L, lua_gettop(L), "delay");
  lua_pop(L, 4);
}

enum { TAGS_MAX = 16, TAG_BYTES_MAX = 256 };

static void check_tag(lua_State *L)
{
  static const char *const reserved[] = {"resonate:", "dahost:"};
  if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
    bind_raise(L,
               "tags must be a table of strings by name, such as {customer = \"ada\"}; one is %s with a key that is %s",
               bind_what(L, -1), bind_what(L, -2));
  const char *name = lua_tostring(L, -2);
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (strncmp(name, reserved[i], strlen(reserved[i])) == 0)
      bind_raise(L, "tags: the name '%s' is reserved, as are all that begin with '%s'", name, reserved[i]);
  if (*name == '\0' || lua_rawlen(L, -2) > TAG_BYTES_MAX || lua_rawlen(L, -1) > TAG_BYTES_MAX)
    bind_raise(L, "tags: a name has 1 to %d bytes, a value at most as many", (int)TAG_BYTES_MAX);
}

void bind_tags_copy(lua_State *L, int index)
{
  int type = lua_getfield(L, index, "tags");
  if (type == LUA_TNIL) return;
  if (type != LUA_TTABLE) bind_raise(L, "tags must be a table of strings by name, got %s", bind_what(L, -1));
  int from = lua_gettop(L), count = 0;
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, from) != 0; count++) {
    check_tag(L);
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, from + 1);
  }
  if (count > TAGS_MAX) bind_raise(L, "%d tags; %d are the most", count, (int)TAGS_MAX);
  lua_remove(L, from);
}

da_map bind_tags(lua_State *L, int index, da_arena *arena)
{
  if (!lua_istable(L, index)) return (da_map){NULL, 0};
  index = lua_absindex(L, index);
  da_pair *pairs = da_arena_alloc(arena, TAGS_MAX * sizeof *pairs);
  size_t count = 0;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    da_pair pair;
    pair.key.ptr = lua_tolstring(L, -2, &pair.key.len);
    pair.value.ptr = lua_tolstring(L, -1, &pair.value.len);
    size_t at = count++;
    for (; at > 0 && da_slice_cmp(pairs[at - 1].key, pair.key) > 0; at--) pairs[at] = pairs[at - 1];
    pairs[at] = pair;
  }
  return (da_map){pairs, count};
}

da_slice bind_string_field(lua_State *L, int index, const char *key)
{
  lua_getfield(L, index, key);
  da_slice text = DA_NONE;
  if (!lua_isnil(L, -1)) {
    if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER) bind_raise(L, "%s must be a string", key);
    lua_tolstring(L, -1, NULL); /* a number becomes its text, in the table's copy on the stack */
    lua_pushvalue(L, -1);
    lua_setfield(L, index, key); /* anchored where the caller keeps it */
    text.ptr = lua_tolstring(L, -1, &text.len);
    if (text.len == 0) bind_raise(L, "%s must not be empty", key);
  }
  lua_pop(L, 1);
  return text;
}
