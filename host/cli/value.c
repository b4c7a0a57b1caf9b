/* value.c - what is typed on a command line as values of the runtime.
 * SPDX-License-Identifier: Apache-2.0 */
#include "value.h"

#include <lauxlib.h>
#include <lua.h>

#include "../../bindings/bind_error.h"
#include "../../bindings/bind_value.h"
#include "../base/json.h"
#include "../base/text.h"

/* ---- a protected visit to Lua -------------------------------------------------------------------------- */

typedef struct job {
  da_status (*work)(lua_State *L, struct job *job);
  const char *const *words;
  size_t count;
  bool text;
  da_slice json;
  const char *code;
  da_buf *out;
  da_buf *more;
  da_status status;
  da_err *err;
} job;

static int protected_work(lua_State *L)
{
  job *j = lua_touserdata(L, 1);
  lua_settop(L, 0);
  bind_value_open(L, NULL);
  lua_settop(L, 0);
  j->status = j->work(L, j);
  return 0;
}

/* The words of a failure go to err, which may be NULL. */
static da_status visit(job *j, da_err *err)
{
  j->err = err;
  lua_State *L = luaL_newstate();
  if (L == NULL) return da_fail(err, DA_ENOMEM, "no memory for a Lua state");
  lua_pushcfunction(L, protected_work);
  lua_pushlightuserdata(L, j);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
    const char *words = lua_tostring(L, -1);
    j->status = da_fail(err, DA_ENOMEM, "%s", words != NULL ? words : "Lua error");
  }
  lua_close(L);
  return j->status;
}

/* ---- words --------------------------------------------------------------------------------------------- */

/* Would the number be printed as it is written? */
static bool plain_number(da_slice word)
{
  int64_t whole;
  if (da_text_read_int(word, &whole)) return true;
  if (da_slice_find(word, '.') < 0 && da_slice_find(word, 'e') < 0) return false;
  double value;
  char text[DA_TEXT_FLOAT_MAX];
  if (!da_text_read_float(word, &value)) return false;
  return da_slice_eq(word, da_slice_make(text, da_text_float(text, value)));
}

static bool is_json(da_slice word)
{
  if (da_json_check(word, NULL) != DA_OK) return false;
  if (memchr("-0123456789 \t\r\n", word.ptr[0], 15) == NULL) return true;
  size_t at = strspn(word.ptr, " \t\r\n"); /* words of argv are terminated */
  if (memchr("-0123456789", word.ptr[at], 11) == NULL) return true;
  return plain_number(word);
}

static da_status push_word(lua_State *L, const job *j, size_t i)
{
  da_slice word = da_slice_of(j->words[i]);
  if (!j->text && is_json(word)) {
    da_err why = {{0}};
    da_status status = bind_value_decode(L, word, &why);
    if (status != DA_OK)
      return da_fail(j->err, status, "argument %zu, %.40s: %s (--str takes what is typed as text)", i + 1, j->words[i],
                     why.text);
  } else {
    lua_pushlstring(L, word.len > 0 ? word.ptr : "", word.len);
  }
  return DA_OK;
}

static da_status args_of_words(lua_State *L, job *j)
{
  for (size_t i = 0; i < j->count; i++) {
    luaL_checkstack(L, 4, "too many arguments");
    da_status status = push_word(L, j, i);
    if (status != DA_OK) return status;
  }
  return bind_value_encode_args(L, 1, lua_gettop(L), "argument", j->out, j->err);
}

da_status cli_value_args(const char *const *words, size_t count, bool text, da_buf *out, da_err *err)
{
  job j = {.work = args_of_words, .words = words, .count = count, .text = text, .out = out};
  return visit(&j, err);
}

static da_status value_of_word(lua_State *L, job *j)
{
  da_status status = push_word(L, j, 0);
  return status != DA_OK ? status : bind_value_encode(L, 1, "value", j->out, j->err);
}

da_status cli_value_word(const char *word, bool text, da_buf *out, da_err *err)
{
  job j = {.work = value_of_word, .words = &word, .count = 1, .text = text, .out = out};
  return visit(&j, err);
}

static da_status canonical_args(lua_State *L, job *j)
{
  int count;
  da_status status = bind_value_decode_array(L, j->json, &count, j->err);
  return status != DA_OK ? status : bind_value_encode_args(L, 1, count, "argument", j->out, j->err);
}

static da_status canonical_value(lua_State *L, job *j)
{
  da_status status = bind_value_decode(L, j->json, j->err);
  return status != DA_OK ? status : bind_value_encode(L, 1, "value", j->out, j->err);
}

da_status cli_value_canonical(da_slice json, bool array, da_buf *out, da_err *err)
{
  job j = {.work = array ? canonical_args : canonical_value, .json = json, .out = out};
  return visit(&j, err);
}

/* ---- errors -------------------------------------------------------------------------------------------- */

static da_status error_of_value(lua_State *L, job *j)
{
  if (j->json.len == 0 || da_slice_eq(j->json, DA_LIT("null"))) {
    bind_error_push(L, j->code, "");
  } else {
    da_status status = bind_value_decode(L, j->json, j->err);
    if (status != DA_OK) return status;
    if (lua_type(L, 1) == LUA_TSTRING) {
      bind_error_push(L, j->code, lua_tostring(L, 1));
      lua_remove(L, 1);
    } else {
      bind_error_normalize(L, 1, DA_NONE);
    }
  }
  return bind_value_encode_error(L, 1, "error", j->out, j->err);
}

da_status cli_value_error(da_slice json, const char *code, da_buf *out, da_err *err)
{
  job j = {.work = error_of_value, .json = json, .code = code, .out = out};
  return visit(&j, err);
}

/* The text without NULs, at which it would be cut off; what else a terminal must not have is taken out by the view. */
static void add_printable(da_buf *out, da_slice text)
{
  for (size_t i = 0; i < text.len; i++) da_buf_add_byte(out, text.ptr[i] != '\0' ? (uint8_t)text.ptr[i] : '?');
}

/* A field of the error at 1 as text, or nothing. */
static bool add_field(lua_State *L, const char *name, da_buf *out)
{
  lua_getfield(L, 1, name);
  size_t len = 0;
  const char *text =
      lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER ? lua_tolstring(L, -1, &len) : NULL;
  if (text != NULL) add_printable(out, da_slice_make(text, len));
  lua_pop(L, 1);
  return len > 0;
}

static void add_line(lua_State *L, const char *label, da_buf *out)
{
  bind_error_push_line(L, -1);
  size_t len;
  const char *text = lua_tolstring(L, -1, &len);
  da_buf_addf(out, "\n%s: ", label);
  add_printable(out, da_slice_make(text, len));
  lua_pop(L, 1);
}

/* Of the error at 1, as are the errors of a list in it. */
static void add_causes(lua_State *L, da_buf *out)
{
  lua_pushvalue(L, 1);
  for (int n = 0; n < BIND_ERROR_CAUSES && bind_error_next_cause(L); n++) add_line(L, "caused by", out);
  lua_pop(L, 1);
}

static void add_errors(lua_State *L, const char *name, const char *label, da_buf *out)
{
  if (lua_getfield(L, 1, name) == LUA_TTABLE)
    for (int i = 1; i <= BIND_ERROR_CAUSES && lua_rawgeti(L, 2, i) != LUA_TNIL; i++) add_line(L, label, out);
  lua_settop(L, 1);
}

/* For words a promise or a durable function is its name. */
static void push_name(lua_State *L, da_slice name)
{
  lua_pushlstring(L, name.ptr, name.len);
}

static da_status text_of_error(lua_State *L, job *j)
{
  static const bind_value_hooks hooks = {.push_promise = push_name, .push_function = push_name};
  bind_value_open(L, &hooks);
  lua_settop(L, 0);
  da_status status = bind_value_decode(L, j->json, j->err);
  if (status != DA_OK) return status;
  bind_error_normalize(L, 1, DA_NONE);
  (void)add_field(L, "code", j->more);
  da_buf_addf(j->out, "[%.*s] ", DA_FMT(da_buf_slice(j->more)));
  (void)add_field(L, "message", j->out);
  add_causes(L, j->out);
  add_errors(L, "undo_errors", "could not undo", j->out);
  add_errors(L, "errors", "failed", j->out);
  size_t end = j->out->len;
  da_buf_add_byte(j->out, '\n');
  if (!add_field(L, "traceback", j->out)) j->out->len = end;
  return DA_OK;
}

void cli_value_error_text(da_slice json, da_buf *text, da_buf *code)
{
  size_t text_len = text->len;
  job j = {.work = text_of_error, .json = json, .out = text, .more = code};
  if (json.len > 0 && visit(&j, NULL) == DA_OK) return;
  text->len = text_len;
  code->len = 0;
  da_buf_add_slice(text, json.len > 0 ? json : DA_LIT("rejected without a reason"));
}

/* ---- stored values ------------------------------------------------------------------------------------- */

bool cli_value_data(const da_value *value, da_buf *out)
{
  if (!value->has_data) return false;
  if (value->encoding == DA_JSON && value->data.len == 0) return false; /* a function without a result */
  if (value->encoding == DA_JSON)
    da_buf_add_slice(out, value->data);
  else
    da_text_quote_lossy(out, value->data);
  return true;
}

void cli_value_results(const da_value *value, da_buf *out)
{
  const da_slice *rest = value->has_headers ? da_map_get(value->headers, DA_LIT("da-rest")) : NULL;
  bool several = rest != NULL && rest->len > 2 && rest->ptr[0] == '[';
  if (several) da_buf_add_byte(out, '[');
  if (!cli_value_data(value, out)) da_buf_add_slice(out, DA_LIT("null"));
  if (!several) return;
  da_buf_add_byte(out, ',');
  da_buf_add_slice(out, da_slice_make(rest->ptr + 1, rest->len - 1));
}

static da_status call_parts(lua_State *L, job *j)
{
  da_status status = bind_value_decode(L, j->json, j->err);
  if (status != DA_OK) return status;
  if (!lua_istable(L, 1)) return DA_EINVAL;
  lua_getfield(L, 1, "func");
  lua_getfield(L, 1, "args");
  size_t len = 0;
  const char *func = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &len) : NULL;
  if (func == NULL || !lua_istable(L, 3)) return DA_EINVAL;
  da_buf_add(j->more, func, len);
  return bind_value_encode(L, 3, "args", j->out, j->err);
}

bool cli_value_call(const da_value *param, da_buf *func, da_buf *args)
{
  if (!param->has_data || param->encoding != DA_JSON) return false;
  job j = {.work = call_parts, .json = param->data, .out = args, .more = func};
  return visit(&j, NULL) == DA_OK;
}
