/* bind_encode_words.c - the sentences with which the encoder refuses a value: `one[1].on.cb: a function ...`.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "../host/base/text.h"
#include "bind_encode.h"

enum {
  PATH_BYTES_MAX = 640, /* of the path in an error; the words behind it must fit da_err too */
  PATH_KEY_MAX = 40,    /* bytes of one key in a path */
};

static bool is_name(da_slice s)
{
  if (s.len == 0 || s.len > PATH_KEY_MAX || (s.ptr[0] >= '0' && s.ptr[0] <= '9')) return false;
  for (size_t i = 0; i < s.len; i++) {
    char c = s.ptr[i];
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!word) return false;
  }
  return true;
}

static void add_string_key(da_buf *path, da_slice key)
{
  if (is_name(key)) {
    da_buf_addf(path, ".%.*s", DA_FMT(key));
    return;
  }
  bool long_key = key.len > PATH_KEY_MAX;
  da_buf_add_byte(path, '[');
  da_text_quote_lossy(path, da_slice_make(key.ptr, long_key ? PATH_KEY_MAX : key.len));
  da_buf_add_slice(path, long_key ? DA_LIT("...]") : DA_LIT("]"));
}

static void add_key(da_buf *path, const bind_scalar *key)
{
  char text[DA_TEXT_FLOAT_MAX];
  if (key->kind == KIND_STRING || key->kind == KIND_BYTES) {
    add_string_key(path, key->as.string);
  } else if (key->kind == KIND_INT) {
    da_buf_addf(path, "[%lld]", (long long)key->as.integer);
  } else if (key->kind == KIND_BOOLEAN) {
    da_buf_addf(path, "[%s]", key->as.boolean ? "true" : "false");
  } else if (isfinite(key->as.number)) {
    da_buf_addf(path, "[%.*s]", (int)da_text_float(text, key->as.number), text);
  } else {
    da_buf_addf(path, "[%smath.huge]", key->as.number < 0 ? "-" : "");
  }
}

/* The way to the value below `level` keys. */
static void add_path(const bind_encoder *e, da_buf *path, int level)
{
  size_t start = path->len;
  da_buf_add_slice(path, da_slice_of(e->what));
  for (int i = 0; i < level; i++) {
    if (path->len - start > PATH_BYTES_MAX) {
      da_buf_add_slice(path, DA_LIT("..."));
      return;
    }
    add_key(path, &e->path[i]);
  }
}

bool bind_encode_fail(bind_encoder *e, da_status status, const char *words)
{
  da_buf path = {0};
  add_path(e, &path, e->level);
  e->status = da_fail(e->err, status, "%.*s: %s", DA_FMT(path), words);
  da_buf_free(&path);
  return false;
}

bool bind_encode_fail_cycle(bind_encoder *e, int level)
{
  da_buf way = {0};
  add_path(e, &way, level);
  da_err words;
  (void)da_fail(&words, DA_EINVAL, "a cycle cannot cross a durable boundary (this is %.*s again)",
                way.len < 200 ? (int)way.len : 200, way.ptr);
  da_buf_free(&way);
  return bind_encode_fail(e, DA_EINVAL, words.text);
}

bool bind_encode_fail_size(bind_encoder *e)
{
  da_err words;
  (void)da_fail(&words, DA_ETOOBIG, "larger than %d MiB when encoded; keep such data elsewhere and pass its address",
                DA_VALUE_MAX >> 20);
  return bind_encode_fail(e, DA_ETOOBIG, words.text);
}

bool bind_encode_fail_depth(bind_encoder *e)
{
  da_err words;
  (void)da_fail(&words, DA_ETOOBIG, "nested deeper than %d levels", DA_DEPTH_MAX);
  return bind_encode_fail(e, DA_ETOOBIG, words.text);
}

bool bind_encode_fail_stack(bind_encoder *e)
{
  return bind_encode_fail(e, DA_ENOMEM, "no memory for the Lua stack");
}

/* The __name of a metatable, found without making a string. Borrowed from the metatable; "" if it has none. */
static const char *type_name(lua_State *L, int index)
{
  const char *name = "";
  if (!lua_getmetatable(L, index)) return name;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    bool named = lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "__name") == 0;
    if (named && lua_type(L, -1) == LUA_TSTRING) {
      name = lua_tostring(L, -1);
      lua_pop(L, 2);
      break;
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return name;
}

/* "a function cannot cross a durable boundary" and the like, for the value at index. */
bool bind_encode_fail_type(bind_encoder *e, int index)
{
  const char *name = type_name(e->L, index);
  const char *open = *name != '\0' ? " (" : "";
  const char *close = *name != '\0' ? ")" : "";
  da_err words;
  if (lua_istable(e->L, index)) {
    (void)da_fail(
        &words, DA_EINVAL,
        "a table with a metatable%s%.100s%s cannot cross a durable boundary; copy its fields into a plain table", open,
        name, close);
  } else {
    (void)da_fail(&words, DA_EINVAL, "a %s%s%.100s%s cannot cross a durable boundary", luaL_typename(e->L, index), open,
                  name, close);
  }
  return bind_encode_fail(e, DA_EINVAL, words.text);
}

bool bind_encode_fail_key(bind_encoder *e, int index)
{
  da_err words;
  (void)da_fail(&words, DA_EINVAL, "a %s as a key cannot cross a durable boundary; keys are strings, numbers, booleans",
                luaL_typename(e->L, index));
  return bind_encode_fail(e, DA_EINVAL, words.text);
}
