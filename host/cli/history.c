/* history.c - what an execution recorded, as one JSON document, and back. See history.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include <stdlib.h>

#include "../base/id.h"
#include "../base/json.h"
#include "../base/limits.h"

#define VERSION_MEMBER "dahost_history"

enum { ORDINAL_GAP = 1 << 20 };

/* ---- writing ------------------------------------------------------------------------------------------- */

static void put_text(cJSON *row, const char *name, da_slice text)
{
  if (text.len > 0) da_json_put_text(row, name, text);
}

static void put_int(cJSON *row, const char *name, int64_t value)
{
  if (value != 0) da_json_put_int(row, name, value);
}

static void put_digest(cJSON *row, const char *name, const da_digest *digest)
{
  char hex[33];
  da_digest_hex(digest, hex);
  da_json_put_text(row, name, da_slice_of(hex));
}

static void put_map(cJSON *row, const char *name, da_map map)
{
  if (map.count == 0) return;
  cJSON *object = da_json_object();
  for (size_t i = 0; i < map.count; i++) {
    char *key = da_xstrndup(map.items[i].key);
    da_json_put_text(object, key, map.items[i].value);
    free(key);
  }
  da_json_put(row, name, object);
}

/* For people a root is a workflow as well; here it must be told apart. */
static const char *kind_name(da_call_kind kind)
{
  return kind == DA_CALL_ROOT ? "root" : da_call_kind_name(kind);
}

static cJSON *row_of(const da_promise *promise)
{
  const da_call *call = &promise->call;
  cJSON *row = da_json_object();
  da_json_put_text(row, "id", promise->id);
  da_json_put_text(row, "kind", da_slice_of(kind_name(call->kind)));
  put_text(row, "function", call->func);
  put_int(row, "ordinal", call->ordinal);
  if (call->kind != DA_CALL_NONE) put_digest(row, "args", &call->args);
  put_text(row, "file", call->file);
  put_int(row, "line", call->line);
  if (call->has_bundle) put_digest(row, "bundle", &call->bundle);
  put_int(row, "generation", call->generation);
  if (call->awaited_elsewhere) da_json_put_flag(row, "awaited_elsewhere", true);
  da_json_put_text(row, "state", da_slice_of(da_promise_state_name(promise->state)));
  da_json_put_int(row, "created", promise->created_at);
  put_int(row, "settled", promise->settled_at);
  put_int(row, "seq", (int64_t)promise->settle_seq);
  if (promise->timeout_at < DA_TIME_MAX) da_json_put_int(row, "timeout", promise->timeout_at);
  put_map(row, "tags", promise->tags);
  put_map(row, "headers", promise->value.headers);
  if (promise->param.has_data) da_json_put_text(row, "$param", promise->param.data);
  if (promise->value.has_data) da_json_put_text(row, "$value", promise->value.data);
  return row;
}

typedef struct writing {
  da_slice id;
  da_buf *out;
  uint32_t kinds;
  bool any;
  bool found;
} writing;

static void add_record(writing *w, const da_promise *promise)
{
  da_buf_addf(w->out, w->any ? ",\n" : "\n");
  w->any = true;
  cJSON *row = row_of(promise);
  da_json_print(row, w->out);
  cJSON_Delete(row);
}

static bool write_record(void *user, const da_promise *promise)
{
  writing *w = user;
  if (da_slice_eq(promise->id, w->id)) w->found = promise->call.has_bundle;
  if (w->found) add_record(w, promise);
  return w->found; /* it comes first */
}

static bool write_kind(void *user, const da_promise *promise)
{
  writing *w = user;
  if ((w->kinds & 1u << promise->call.kind) != 0) add_record(w, promise);
  return true;
}

da_status cli_history_kinds(da_store *store, uint32_t kinds, da_buf *out, da_err *err)
{
  da_arena arena = {0};
  writing w = {.out = out, .kinds = kinds};
  da_buf_addf(out, "[");
  da_status status = da_store_scan_ids(store, DA_NONE, DA_NONE, &arena, write_kind, &w, err);
  da_buf_addf(out, "]");
  da_arena_free(&arena);
  return status;
}

da_status cli_history_write(da_store *store, da_slice id, da_buf *out, da_err *err)
{
  size_t before = out->len;
  da_arena arena = {0};
  writing w = {.id = id, .out = out};
  cJSON *name = da_json_string(id);
  da_buf_addf(out, "{\"" VERSION_MEMBER "\":%d,\"id\":", CLI_HISTORY_VERSION);
  da_json_print(name, out);
  da_buf_addf(out, ",\"records\":[");
  cJSON_Delete(name);
  da_status status = da_store_scan_ids(store, id, DA_NONE, &arena, write_record, &w, err);
  da_buf_addf(out, "\n]}");
  da_arena_free(&arena);
  if (status == DA_OK && w.found) return DA_OK;
  out->len = before;
  return status != DA_OK ? status : da_fail(err, DA_ENOTFOUND, "no execution '%.*s'", DA_FMT(id));
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct reading {
  const cJSON *row;
  size_t index;
  int64_t ordinal_max; /* a replay keeps a table of them; there are gaps, for calls that were not recorded */
  da_arena *arena;
  da_err *err;
} reading;

static da_status bad(const reading *r, const char *name, const char *words)
{
  da_slice id = da_json_text(r->row, "id");
  if (id.len > 100) id.len = 100;
  return da_fail(r->err, DA_EINVAL, "record %zu (%.*s): %s %s", r->index + 1, DA_FMT(id), name, words);
}

static da_slice text_of(const reading *r, const char *name)
{
  return da_arena_dup(r->arena, da_json_text(r->row, name));
}

static da_status read_int(const reading *r, const char *name, int64_t least, int64_t most, int64_t *out)
{
  if (da_json_get(r->row, name) == NULL) return DA_OK;
  if (!da_json_int(r->row, name, out) || *out < least || *out > most)
    return bad(r, name, "is no number that it may be");
  return DA_OK;
}

static int hex_digit(char c)
{
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static da_status read_digest(const reading *r, const char *name, bool *has, da_digest *out)
{
  da_slice hex = da_json_text(r->row, name);
  *has = da_json_get(r->row, name) != NULL;
  if (!*has) return DA_OK;
  if (hex.len != 2 * sizeof out->bytes) return bad(r, name, "is no digest of 32 hexadecimal digits");
  for (size_t i = 0; i < sizeof out->bytes; i++) {
    int high = hex_digit(hex.ptr[2 * i]);
    int low = hex_digit(hex.ptr[2 * i + 1]);
    if (high < 0 || low < 0) return bad(r, name, "is no digest of 32 hexadecimal digits");
    out->bytes[i] = (uint8_t)(high << 4 | low);
  }
  return DA_OK;
}

static da_status read_map(const reading *r, const char *name, da_map *out)
{
  const cJSON *object = da_json_get(r->row, name);
  int count = cJSON_GetArraySize(object);
  if (object == NULL) return DA_OK;
  if (!cJSON_IsObject(object)) return bad(r, name, "is no object of strings");
  da_pair *items = da_arena_alloc(r->arena, (size_t)(count + 1) * sizeof *items);
  const cJSON *item;
  cJSON_ArrayForEach(item, object)
  {
    if (!cJSON_IsString(item)) return bad(r, name, "is no object of strings");
    items[out->count++] = (da_pair){da_arena_dup(r->arena, da_slice_of(item->string)),
                                    da_arena_dup(r->arena, da_slice_of(cJSON_GetStringValue(item)))};
  }
  out->items = items;
  return DA_OK;
}

static da_status read_data(const reading *r, const char *name, da_value *out)
{
  const cJSON *item = da_json_get(r->row, name);
  if (item == NULL) return DA_OK;
  if (!cJSON_IsString(item)) return bad(r, name, "is no string that holds JSON");
  out->has_data = true;
  out->encoding = DA_JSON;
  out->data = text_of(r, name);
  if (out->data.len > 0 && da_json_check(out->data, NULL) != DA_OK) return bad(r, name, "holds no JSON");
  return DA_OK;
}

static da_status read_names(const reading *r, da_promise *out)
{
  da_slice kind = da_json_text(r->row, "kind");
  da_slice state = da_json_text(r->row, "state");
  int i = DA_CALL_NONE;
  while (i <= DA_CALL_LAST && !da_slice_eq(kind, da_slice_of(kind_name((da_call_kind)i)))) i++;
  if (i > DA_CALL_LAST) return bad(r, "kind", "is none that is known");
  out->call.kind = (da_call_kind)i;
  for (i = DA_PENDING; i <= DA_TIMEDOUT; i++)
    if (da_slice_eq(state, da_slice_of(da_promise_state_name((da_promise_state)i)))) break;
  if (i > DA_TIMEDOUT) return bad(r, "state", "is none that is known");
  out->state = (da_promise_state)i;
  return DA_OK;
}

static da_status read_numbers(const reading *r, da_promise *out)
{
  int64_t ordinal = 0, line = 0, seq = 0, generation = 0;
  out->timeout_at = DA_TIME_MAX;
  da_status status = read_int(r, "created", 0, DA_TIME_MAX, &out->created_at);
  if (status == DA_OK) status = read_int(r, "settled", 0, DA_TIME_MAX, &out->settled_at);
  if (status == DA_OK) status = read_int(r, "timeout", 0, DA_TIME_MAX, &out->timeout_at);
  if (status == DA_OK) status = read_int(r, "seq", 1, DA_TIME_MAX, &seq);
  if (status == DA_OK) status = read_int(r, "ordinal", 1, r->ordinal_max, &ordinal);
  if (status == DA_OK) status = read_int(r, "line", 0, UINT32_MAX, &line);
  if (status == DA_OK) status = read_int(r, "generation", 2, UINT32_MAX, &generation);
  if (status == DA_OK && (out->state == DA_PENDING) != (seq == 0))
    status = bad(r, "seq", "and state do not go together");
  out->settle_seq = (uint64_t)seq;
  out->call.ordinal = (uint32_t)ordinal;
  out->call.line = (uint32_t)line;
  out->call.generation = (uint32_t)generation;
  out->call.awaited_elsewhere = da_json_flag(r->row, "awaited_elsewhere");
  return status;
}

static da_status read_record(const reading *r, const cli_history *history, da_promise *out)
{
  bool has_args;
  *out = (da_promise){.id = text_of(r, "id")};
  const char *fault = da_id_fault(out->id);
  if (fault != NULL) return bad(r, "id:", fault);
  if (!da_slice_eq(out->id, history->id) && !da_id_below(out->id, history->id))
    return bad(r, "id", "does not lie below the execution");
  da_status status = read_names(r, out);
  if (status == DA_OK) status = read_numbers(r, out);
  if (status == DA_OK) status = read_digest(r, "args", &has_args, &out->call.args);
  if (status == DA_OK) status = read_digest(r, "bundle", &out->call.has_bundle, &out->call.bundle);
  if (status == DA_OK) status = read_map(r, "tags", &out->tags);
  if (status == DA_OK) status = read_map(r, "headers", &out->value.headers);
  if (status == DA_OK) status = read_data(r, "$param", &out->param);
  if (status == DA_OK) status = read_data(r, "$value", &out->value);
  out->value.has_headers = out->value.headers.count > 0;
  out->call.func = text_of(r, "function");
  out->call.file = text_of(r, "file");
  return status;
}

static da_status read_records(const cJSON *rows, da_arena *arena, cli_history *out, da_err *err)
{
  da_table seen = {0};
  da_status status = DA_OK;
  int count = cJSON_GetArraySize(rows);
  reading r = {.ordinal_max = 4 * (int64_t)count + ORDINAL_GAP, .arena = arena, .err = err};
  out->records = da_arena_alloc(arena, (size_t)(count + 1) * sizeof *out->records);
  cJSON_ArrayForEach(r.row, rows)
  {
    r.index = out->count;
    da_promise *record = &out->records[out->count++];
    status = read_record(&r, out, record);
    if (status == DA_OK && da_table_get(&seen, record->id) != NULL) status = bad(&r, "id", "is there twice");
    if (status != DA_OK) break;
    (void)da_table_put(&seen, record->id, record);
  }
  const da_promise *root = da_table_get(&seen, out->id);
  if (status == DA_OK && (root == NULL || !root->call.has_bundle))
    status = da_fail(err, DA_EINVAL, "there is no record of the execution '%.*s' itself", DA_FMT(out->id));
  da_table_free(&seen);
  return status;
}

da_status cli_history_read(da_slice text, da_arena *arena, cli_history *out, da_err *err)
{
  int64_t version = 0;
  da_err why = {{0}};
  *out = (cli_history){0};
  cJSON *json = da_json_parse(text, &why);
  if (json == NULL) return da_fail(err, DA_EINVAL, "no whole JSON document: %s", why.text);
  const cJSON *rows = da_json_get(json, "records");
  out->id = da_arena_dup(arena, da_json_text(json, "id"));
  da_status status = DA_OK;
  if (!da_json_int(json, VERSION_MEMBER, &version))
    status = da_fail(err, DA_EINVAL, "no history; `dahost get ID --history` writes one");
  else if (version != CLI_HISTORY_VERSION)
    status = da_fail(err, DA_EVERSION, "a history of version %lld; this program reads version %d", (long long)version,
                     CLI_HISTORY_VERSION);
  else if (out->id.len == 0 || !cJSON_IsArray(rows))
    status = da_fail(err, DA_EINVAL, "an id and a list of records are missing");
  else
    status = read_records(rows, arena, out, err);
  cJSON_Delete(json);
  return status;
}
