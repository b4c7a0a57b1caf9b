/* view.c - what the engine reads: one row at a time, each found by its key, so that writes may come in between.
 * SPDX-License-Identifier: Apache-2.0 */
#include "subtree.h"

static da_store *store_of(da_view *view)
{
  return (da_store *)view;
}

/* ---- rows of prom -------------------------------------------------------------------------------------- */

int da_prom_row_open(da_store *store, da_slice key, da_slice value, da_prom_row *out)
{
  *out = (da_prom_row){.key = key, .value = value};
  if (!da_key_id_get(key, &out->id)) return da_store_bad_row(store, DA_KV_PROM, key, DA_ECORRUPT);
  da_status status = da_codec_promise_head(value, &out->head);
  bool wants_text = out->id.rest.len == 0 || out->id.is_long;
  if (status == DA_OK && out->head.has_text != wants_text) status = DA_ECORRUPT;
  if (status == DA_OK && out->head.anchor && out->id.rest.len != 0) status = DA_ECORRUPT;
  return status == DA_OK ? 1 : da_store_bad_row(store, DA_KV_PROM, key, status);
}

int da_id_of_key(da_store *store, const da_id_key *key, da_slice long_text, da_arena *arena, da_slice *id)
{
  da_slice root;
  int there = da_root_text(store, key->root, &root);
  if (there < 0) return there;
  da_slice parts[2] = {root, key->is_long ? long_text : key->rest};
  *id = da_arena_join(arena, parts, 2);
  return 1;
}

int da_prom_row_id(da_store *store, const da_prom_row *row, da_arena *arena, da_slice *id)
{
  if (row->id.rest.len == 0) {
    *id = da_arena_dup(arena, row->head.text);
    return 1;
  }
  return da_id_of_key(store, &row->id, row->head.text, arena, id);
}

static int load_blob(da_store *store, const da_key *owner, uint8_t which, size_t len, da_arena *arena, da_value *value)
{
  if (len == 0) return 1;
  char *bytes = da_arena_alloc(arena, len);
  value->data = da_slice_make(bytes, len);
  return da_blob_get(store, da_key_slice(owner), which, len, bytes);
}

int da_prom_row_load(da_store *store, const da_prom_row *row, da_slice id, da_arena *arena, da_promise *out)
{
  da_slice record = da_arena_dup(arena, row->value);
  da_status status = da_codec_promise_get(record, id, arena, out);
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_PROM, row->key, status);
  if (row->head.param_bytes == 0 && row->head.value_bytes == 0) return 1;
  da_key owner = {0};
  da_key_add(&owner, row->key.ptr, row->key.len);
  size_t param_bytes = row->head.param_bytes;
  size_t value_bytes = row->head.value_bytes;
  int loaded = load_blob(store, &owner, DA_BLOB_PARAM, param_bytes, arena, &out->param);
  if (loaded < 0) return loaded;
  return load_blob(store, &owner, DA_BLOB_VALUE, value_bytes, arena, &out->value);
}

/* The text that the key of this id leaves out. */
static da_slice text_beside_key(da_slice id)
{
  da_slice rest = da_id_rest(id);
  if (rest.len == 0) return id;
  return da_rest_is_long(rest) ? rest : DA_NONE;
}

static int view_promise(da_view *view, da_slice id, da_arena *arena, da_promise *out)
{
  da_store *store = store_of(view);
  if (da_id_fault(id) != NULL) return 0;
  da_key key;
  da_slice value;
  int there = da_rows_id_key(store, id, &key);
  if (there <= 0) return there;
  there = da_rows_get(store, DA_KV_PROM, da_key_slice(&key), &value);
  if (there <= 0) return there;
  da_prom_row row;
  there = da_prom_row_open(store, da_key_slice(&key), value, &row);
  if (there < 0) return there;
  if (row.head.anchor || !da_slice_eq(row.head.text, text_beside_key(id))) return 0;
  return da_prom_row_load(store, &row, da_arena_dup(arena, id), arena, out);
}

/* ---- tasks --------------------------------------------------------------------------------------------- */

static int view_task(da_view *view, da_slice id, da_arena *arena, da_task *out)
{
  da_store *store = store_of(view);
  if (da_id_fault(id) != NULL) return 0;
  da_key key;
  da_slice value;
  da_slice text;
  int there = da_rows_id_key(store, id, &key);
  if (there <= 0) return there;
  there = da_rows_get(store, DA_KV_TASK, da_key_slice(&key), &value);
  if (there <= 0) return there;
  da_status status = da_codec_task_get(value, out, &text);
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_TASK, da_key_slice(&key), status);
  if (da_rest_is_long(da_id_rest(id)) && !da_slice_eq(text, da_id_rest(id))) return 0;
  out->id = da_arena_dup(arena, id);
  out->pid = da_arena_dup(arena, out->pid);
  return 1;
}

/* ---- waits --------------------------------------------------------------------------------------------- */

/* The key of a row that is there if any is: 1; 0 if a root has no number. */
static int wait_key(da_store *store, const da_wait *wait, da_key *key)
{
  uint64_t first;
  uint64_t second;
  int there = da_root_find(store, da_id_root(wait->first), &first);
  if (there <= 0) return there;
  if (wait->kind == DA_WAIT_LISTENER) {
    da_key_wait_first(key, wait->kind, first, da_id_rest(wait->first), store->seed);
    da_key_wait_address(key, wait->second, store->seed);
    return 1;
  }
  there = da_root_find(store, da_id_root(wait->second), &second);
  if (there <= 0) return there;
  da_key_wait_first(key, wait->kind, first, da_id_rest(wait->first), store->seed);
  da_key_wait_second(key, first, second, da_id_rest(wait->second), store->seed);
  return 1;
}

static int view_wait_has(da_view *view, const da_wait *wait)
{
  da_store *store = store_of(view);
  da_key key;
  da_slice value;
  if (da_id_fault(wait->first) != NULL) return 0;
  if (wait->kind != DA_WAIT_LISTENER && da_id_fault(wait->second) != NULL) return 0;
  int there = wait_key(store, wait, &key);
  if (there <= 0) return there;
  there = da_rows_get(store, DA_KV_WAIT, da_key_slice(&key), &value);
  if (there <= 0) return there;
  if (wait->kind == DA_WAIT_LISTENER) return da_slice_eq(value, wait->second);
  da_slice rest = da_id_rest(wait->second);
  return !da_rest_is_long(rest) || da_slice_eq(value, rest);
}

static int view_due_has(da_view *view, const da_due *due)
{
  da_store *store = store_of(view);
  uint64_t root = 0;
  da_key key;
  da_slice value;
  if (due->at < 0 || da_id_fault(due->id) != NULL) return 0;
  int there = da_root_find(store, da_id_root(due->id), &root);
  if (there <= 0) return there;
  da_slice rest = da_id_rest(due->id);
  da_key_due(&key, due->class_, due->at, root, rest, store->seed);
  there = da_rows_get(store, DA_KV_DUE, da_key_slice(&key), &value);
  if (there <= 0) return there;
  return !da_rest_is_long(rest) || da_slice_eq(value, rest);
}

/* Seeks the first row at `key`, or behind it if `behind` and it is there. */
static int seek_row(da_store *store, da_kv_table table, const da_key *key, bool behind, da_slice *found,
                    da_slice *value)
{
  int there = da_rows_seek(store, table, da_key_slice(key), found, value);
  if (there > 0 && behind && da_slice_eq(*found, da_key_slice(key))) there = da_rows_next(store, table, found, value);
  return there;
}

static int view_wait_next(da_view *view, const da_wait *after, da_arena *arena, da_wait *out)
{
  da_store *store = store_of(view);
  uint64_t root;
  da_key prefix;
  da_key from;
  da_slice found;
  da_slice value;
  if (da_id_fault(after->first) != NULL) return 0;
  int there = da_root_find(store, da_id_root(after->first), &root);
  if (there <= 0) return there;
  da_key_wait_first(&prefix, after->kind, root, da_id_rest(after->first), store->seed);
  bool behind = after->second.ptr != NULL;
  from = prefix;
  if (behind && (there = wait_key(store, after, &from)) <= 0) return there;
  there = seek_row(store, DA_KV_WAIT, &from, behind, &found, &value);
  if (there <= 0) return there;
  if (!da_slice_starts(found, da_key_slice(&prefix))) return 0;
  da_wait_kind kind;
  da_id_key first;
  da_id_key second;
  if (!da_key_wait_get(found, &kind, &first, &second)) return da_store_bad_row(store, DA_KV_WAIT, found, DA_ECORRUPT);
  *out = (da_wait){.kind = kind, .first = da_arena_dup(arena, after->first)};
  if (kind == DA_WAIT_LISTENER) {
    out->second = da_arena_dup(arena, value);
    return 1;
  }
  return da_id_of_key(store, &second, value, arena, &out->second);
}

/* ---- what is due, what is to be sent ------------------------------------------------------------------- */

static int view_due_next(da_view *view, const da_due *after, da_arena *arena, da_due *out)
{
  da_store *store = store_of(view);
  da_key key;
  da_slice found;
  da_slice value;
  da_id_key id;
  bool behind = after->id.ptr != NULL;
  uint64_t root = 0;
  if (behind) {
    int there = da_root_find(store, da_id_root(after->id), &root);
    if (there <= 0) return there;
  }
  da_key_due(&key, after->class_, behind ? after->at : 0, root, da_id_rest(after->id), store->seed);
  int there = seek_row(store, DA_KV_DUE, &key, behind, &found, &value);
  if (there <= 0) return there;
  if (!da_key_due_get(found, &out->class_, &out->at, &id))
    return da_store_bad_row(store, DA_KV_DUE, found, DA_ECORRUPT);
  if (out->class_ != after->class_) return 0;
  return da_id_of_key(store, &id, value, arena, &out->id);
}

static int view_out_next(da_view *view, const da_message *after, da_arena *arena, da_message *out)
{
  da_store *store = store_of(view);
  da_key key = {0};
  da_slice found;
  da_slice value;
  da_slice text;
  da_message_kind kind;
  da_id_key id;
  bool behind = after->id.ptr != NULL;
  if (behind) {
    uint64_t root;
    int there = da_root_find(store, da_id_root(after->id), &root);
    if (there <= 0) return there;
    da_key_out(&key, after->kind, root, da_id_rest(after->id), after->address, store->seed);
  } else {
    da_key_add_byte(&key, DA_EXECUTE);
  }
  int there = seek_row(store, DA_KV_OUT, &key, behind, &found, &value);
  if (there <= 0) return there;
  if (!da_key_out_get(found, &kind, &id)) return da_store_bad_row(store, DA_KV_OUT, found, DA_ECORRUPT);
  da_status status = da_codec_out_get(value, kind, out, &text);
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_OUT, found, status);
  out->address = da_arena_dup(arena, out->address);
  return da_id_of_key(store, &id, text, arena, &out->id);
}

/* ---- descendants --------------------------------------------------------------------------------------- */

static int view_below_next(da_view *view, da_slice ancestor, da_slice after, da_arena *arena, da_promise *out)
{
  da_store *store = store_of(view);
  da_prom_row row;
  da_slice id;
  if (da_id_fault(ancestor) != NULL) return 0;
  int there = da_subtree_next(store, ancestor, after, arena, &row, &id);
  return there <= 0 ? there : da_prom_row_load(store, &row, id, arena, out);
}

const da_view_ops da_store_view_ops = {
    .promise = view_promise,
    .task = view_task,
    .wait_has = view_wait_has,
    .wait_next = view_wait_next,
    .due_has = view_due_has,
    .due_next = view_due_next,
    .below_next = view_below_next,
    .out_next = view_out_next,
};
