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
  da_kv_table table = da_rows_table(out->id.rest);
  da_status status = da_codec_promise_head(value, &out->head);
  bool wants_text = out->id.rest.len == 0 || out->id.is_long;
  if (status == DA_OK && out->head.has_text != wants_text) status = DA_ECORRUPT;
  if (status == DA_OK && out->head.anchor && out->id.rest.len != 0) status = DA_ECORRUPT;
  return status == DA_OK ? 1 : da_store_bad_row(store, table, key, status);
}

/* A text that is not that of its key would lead a walk astray that goes on behind it, without an end. */
static bool text_fits(const da_store *store, const da_id_key *key, da_slice long_text)
{
  da_key own = {0};
  if (!da_rest_is_long(long_text) || long_text.len > DA_ID_REST_MAX) return false;
  da_key_add_rest(&own, long_text, store->seed);
  return da_slice_eq(da_key_slice(&own), key->rest);
}

int da_id_of_key(da_store *store, const da_id_key *key, da_slice long_text, da_arena *arena, da_slice *id)
{
  da_slice root;
  if (key->is_long && !text_fits(store, key, long_text))
    return da_store_fail(store, DA_ECORRUPT, "a row's long id is not that of its key");
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

/* All but the values in `blob`. */
static int load_record(da_store *store, const da_prom_row *row, da_slice id, da_arena *arena, da_promise *out)
{
  da_slice record = da_arena_dup(arena, row->value);
  da_status status = da_codec_promise_get(record, id, store->words, arena, out);
  if (status != DA_OK) return da_store_bad_row(store, da_rows_table(row->id.rest), row->key, status);
  return 1;
}

int da_prom_row_load(da_store *store, const da_prom_row *row, da_slice id, da_arena *arena, da_promise *out)
{
  int read = load_record(store, row, id, arena, out);
  if (read < 0 || (row->head.param_bytes == 0 && row->head.value_bytes == 0)) return read;
  da_key owner = {0};
  da_key_add(&owner, row->key.ptr, row->key.len);
  size_t param_bytes = row->head.param_bytes;
  size_t value_bytes = row->head.value_bytes;
  int loaded = load_blob(store, &owner, DA_BLOB_PARAM, param_bytes, arena, &out->param);
  if (loaded < 0) return loaded;
  return load_blob(store, &owner, DA_BLOB_VALUE, value_bytes, arena, &out->value);
}

int da_prom_row_load_head(da_store *store, const da_prom_row *row, da_slice id, da_arena *arena, da_promise *out)
{
  int read = load_record(store, row, id, arena, out);
  if (row->head.param_bytes != 0) out->param.data = DA_NONE;
  if (row->head.value_bytes != 0) out->value.data = DA_NONE;
  return read;
}

/* The text that the key of this id leaves out. */
static da_slice text_beside_key(da_slice id)
{
  da_slice rest = da_id_rest(id);
  if (rest.len == 0) return id;
  return da_rest_is_long(rest) ? rest : DA_NONE;
}

/* Finds the row of an id: 1, 0, negative. *key must live as long as the row. */
static int find_promise(da_store *store, da_slice id, da_key *key, da_prom_row *row)
{
  da_slice value;
  if (da_id_fault(id) != NULL) return 0;
  int there = da_rows_id_key(store, id, key);
  if (there <= 0) return there;
  there = da_rows_get(store, da_rows_table(da_id_rest(id)), da_key_slice(key), &value);
  if (there <= 0) return there;
  there = da_prom_row_open(store, da_key_slice(key), value, row);
  if (there < 0) return there;
  return !row->head.anchor && da_slice_eq(row->head.text, text_beside_key(id));
}

static int view_promise(da_view *view, da_slice id, da_arena *arena, da_promise *out)
{
  da_key key;
  da_prom_row row;
  int there = find_promise(store_of(view), id, &key, &row);
  return there <= 0 ? there : da_prom_row_load(store_of(view), &row, da_arena_dup(arena, id), arena, out);
}

/* Without the values that lie in `blob`. */
static int view_promise_head(da_view *view, da_slice id, da_arena *arena, da_promise *out)
{
  da_key key;
  da_prom_row row;
  int there = find_promise(store_of(view), id, &key, &row);
  return there <= 0 ? there : da_prom_row_load_head(store_of(view), &row, da_arena_dup(arena, id), arena, out);
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
  da_status status = da_codec_task_get(da_arena_dup(arena, value), arena, out, &text);
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_TASK, da_key_slice(&key), status);
  if (da_rest_is_long(da_id_rest(id)) && !da_slice_eq(text, da_id_rest(id))) return 0;
  out->id = da_arena_dup(arena, id);
  return 1;
}

/* ---- what is due, what is to be sent ------------------------------------------------------------------- */

int da_view_seek(da_store *store, da_kv_table table, const da_key *key, bool behind, da_slice *found, da_slice *value)
{
  int there = da_rows_seek(store, table, da_key_slice(key), found, value);
  if (there > 0 && behind && da_slice_eq(*found, da_key_slice(key))) there = da_rows_next(store, table, found, value);
  return there;
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
  there = da_rows_get(store, da_rows_due_table(due->class_), da_key_slice(&key), &value);
  if (there <= 0) return there;
  return !da_rest_is_long(rest) || da_slice_eq(value, rest);
}

/* Is the status damage of one row, which the next one need not share? Then the words are kept. */
static bool passes_over(da_store *store, int status)
{
  if (status != DA_ECORRUPT && status != DA_EVERSION) return false;
  store->skipped = store->fault;
  return true;
}

/* The row at or behind the key: 1; 0: none of the class; negative. One whose key or root is damaged is passed over:
 * nobody would be called any more because of it. */
static int due_from(da_store *store, da_due_class class_, da_key *key, bool behind, da_arena *arena, da_due *out)
{
  da_kv_table table = da_rows_due_table(class_);
  for (;; behind = true) {
    da_slice found;
    da_slice value;
    da_id_key id;
    int there = da_view_seek(store, table, key, behind, &found, &value);
    if (there <= 0) return there;
    key->len = 0;
    da_key_add(key, found.ptr, found.len);
    if (!da_key_due_get(found, table == DA_KV_TIMER, &out->class_, &out->at, &id))
      there = da_store_bad_row(store, table, found, DA_ECORRUPT);
    else if (out->class_ != class_)
      return 0;
    else
      there = da_id_of_key(store, &id, value, arena, &out->id);
    if (!passes_over(store, there)) return there;
  }
}

static int view_due_next(da_view *view, const da_due *after, da_arena *arena, da_due *out)
{
  da_store *store = store_of(view);
  da_key key;
  da_due_class class_ = after->class_; /* out may be after */
  bool behind = after->id.ptr != NULL;
  uint64_t root = 0;
  if (behind) {
    int there = da_root_find(store, da_id_root(after->id), &root);
    if (there <= 0) return there;
  }
  da_key_due(&key, class_, after->at > 0 ? after->at : 0, root, da_id_rest(after->id), store->seed);
  return due_from(store, class_, &key, behind, arena, out);
}

static int view_out_next(da_view *view, const da_message *after, da_arena *arena, da_message *out)
{
  da_store *store = store_of(view);
  da_key key = {0};
  da_slice found;
  da_slice value;
  da_slice text;
  da_out_key found_key;
  bool behind = after->id.ptr != NULL;
  if (behind) {
    uint64_t root;
    int there = da_root_find(store, da_id_root(after->id), &root);
    if (there <= 0) return there;
    da_key_out(&key, after->kind, root, da_id_rest(after->id), after->address, store->seed);
  } else {
    da_key_add_byte(&key, DA_EXECUTE);
  }
  int there = da_view_seek(store, DA_KV_OUT, &key, behind, &found, &value);
  if (there <= 0) return there;
  if (!da_key_out_get(found, &found_key)) return da_store_bad_row(store, DA_KV_OUT, found, DA_ECORRUPT);
  da_status status = da_codec_out_get(value, found_key.kind, out, &text);
  bool astray = status == DA_OK && out->kind == DA_UNBLOCK && !da_key_ends_in_hash(found, out->address, store->seed);
  if (astray) status = DA_ECORRUPT;
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_OUT, found, status);
  out->address = da_arena_dup(arena, out->address);
  return da_id_of_key(store, &found_key.id, text, arena, &out->id);
}

static int view_out(da_view *view, const da_message *key, da_arena *arena, da_message *out)
{
  da_store *store = store_of(view);
  uint64_t root;
  da_key row;
  da_slice value;
  da_slice text;
  da_slice rest = da_id_rest(key->id);
  if (da_id_fault(key->id) != NULL) return 0;
  int there = da_root_find(store, da_id_root(key->id), &root);
  if (there <= 0) return there;
  da_key_out(&row, key->kind, root, rest, key->address, store->seed);
  there = da_rows_get(store, DA_KV_OUT, da_key_slice(&row), &value);
  if (there <= 0) return there;
  da_status status = da_codec_out_get(value, key->kind, out, &text);
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_OUT, da_key_slice(&row), status);
  if (da_rest_is_long(rest) && !da_slice_eq(text, rest)) return 0;
  if (key->kind == DA_UNBLOCK && !da_slice_eq(out->address, key->address)) return 0;
  out->address = da_arena_dup(arena, out->address);
  out->id = da_arena_dup(arena, key->id);
  return 1;
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

/* ---- schedules ----------------------------------------------------------------------------------------- */

static int load_schedule(da_store *store, da_slice id, da_slice row, da_arena *arena, da_schedule *out)
{
  da_status status = da_codec_schedule_get(da_arena_dup(arena, row), da_arena_dup(arena, id), store->words, arena, out);
  return status == DA_OK ? 1 : da_store_bad_row(store, DA_KV_SCHED, id, status);
}

static int view_schedule(da_view *view, da_slice id, da_arena *arena, da_schedule *out)
{
  da_slice row;
  if (id.len == 0 || id.len > DA_SCHEDULE_ID_MAX) return 0;
  int there = da_rows_get(store_of(view), DA_KV_SCHED, id, &row);
  return there <= 0 ? there : load_schedule(store_of(view), id, row, arena, out);
}

static int view_schedule_next(da_view *view, da_slice after, da_arena *arena, da_schedule *out)
{
  da_slice id;
  da_slice row;
  da_key key = {0};
  size_t len = after.len < DA_SCHEDULE_ID_MAX + 1 ? after.len : DA_SCHEDULE_ID_MAX + 1; /* longer than any id */
  da_key_add(&key, len != 0 ? after.ptr : "\0", len != 0 ? len : 1);
  int there = da_view_seek(store_of(view), DA_KV_SCHED, &key, len == after.len, &id, &row);
  return there <= 0 ? there : load_schedule(store_of(view), id, row, arena, out);
}

const da_view_ops da_store_view_ops = {
    .promise = view_promise,
    .promise_head = view_promise_head,
    .task = view_task,
    .wait_has = da_wait_has,
    .wait_next = da_wait_next,
    .due_has = view_due_has,
    .due_next = view_due_next,
    .below_next = view_below_next,
    .queue = da_queue_get,
    .queue_next = da_queue_next,
    .queue_hold = da_queue_hold,
    .out_next = view_out_next,
    .out = view_out,
    .schedule = view_schedule,
    .schedule_next = view_schedule_next,
    .published = da_live_is,
    .walk = da_store_walk,
};
