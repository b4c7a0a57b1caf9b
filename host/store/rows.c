/* rows.c - one write of the engine as puts and deletes of keys and values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include <stdarg.h>
#include <stdio.h>

#include "../base/id.h"

/* ---- the maps, with words ------------------------------------------------------------------------------ */

int da_store_fail(da_store *store, int status, const char *format, ...)
{
  va_list args;
  char text[sizeof store->fault.text];
  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return da_fail(&store->fault, (da_status)status, "%s: %s%s", store->path != NULL ? store->path : "memory store", text,
                 status == DA_ECORRUPT ? "; dahost verify lists what is damaged, an older copy may still hold it" : "");
}

int da_store_bad_row(da_store *store, da_kv_table table, da_slice key, da_status status)
{
  char hex[65];
  size_t shown = key.len < 32 ? key.len : 32;
  for (size_t i = 0; i < shown; i++) (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned)(uint8_t)key.ptr[i]);
  hex[2 * shown] = '\0';
  return da_store_fail(store, status, "%s in table %s, key %s%s",
                       status == DA_EVERSION ? "a record was written by another version of dahost" : "damaged record",
                       da_kv_name(table), hex, shown < key.len ? "..." : "");
}

static int put_into_words(da_store *store, da_kv_table table, const char *verb, int status)
{
  return da_store_fail(store, status, "cannot %s a row of table %s: %s", verb, da_kv_name(table),
                       store->kv->ops->words(store->kv));
}

int da_rows_get(da_store *store, da_kv_table table, da_slice key, da_slice *value)
{
  int there = store->kv->ops->get(store->kv, table, key, value);
  if (there < 0) return put_into_words(store, table, "read", there);
  store->rows_read += (uint64_t)there;
  return there;
}

int da_rows_seek(da_store *store, da_kv_table table, da_slice key, da_slice *found, da_slice *value)
{
  int there = store->kv->ops->seek(store->kv, table, key, found, value);
  if (there < 0) return put_into_words(store, table, "find", there);
  store->rows_read += (uint64_t)there;
  return there;
}

int da_rows_next(da_store *store, da_kv_table table, da_slice *found, da_slice *value)
{
  int there = store->kv->ops->next(store->kv, table, found, value);
  if (there < 0) return put_into_words(store, table, "read", there);
  store->rows_read += (uint64_t)there;
  return there;
}

int da_rows_put(da_store *store, da_kv_table table, da_slice key, da_slice value)
{
  store->dirty = true;
  int status = store->kv->ops->put(store->kv, table, key, value);
  return status < 0 ? put_into_words(store, table, "write", status) : DA_OK;
}

static int insert(da_store *store, da_kv_table table, da_slice key, da_slice value, da_slice *old)
{
  int status = store->kv->ops->insert(store->kv, table, key, value, old);
  if (status != 0) store->dirty = true;
  return status < 0 ? put_into_words(store, table, "write", status) : status;
}

int da_rows_del(da_store *store, da_kv_table table, da_slice key)
{
  int status = store->kv->ops->del(store->kv, table, key);
  if (status != 0) store->dirty = true;
  return status < 0 ? put_into_words(store, table, "delete", status) : status;
}

/* ---- blobs --------------------------------------------------------------------------------------------- */

int da_blob_put(da_store *store, da_slice owner, uint8_t which, da_slice bytes)
{
  size_t pieces = da_blob_pieces(bytes.len);
  if (pieces > DA_BLOB_PIECES_MAX)
    return da_store_fail(store, DA_ETOOBIG, "a value of %zu bytes is too long to store", bytes.len);
  for (size_t i = 0; i < pieces; i++) {
    size_t from = i * DA_BLOB_PIECE;
    size_t len = bytes.len - from < DA_BLOB_PIECE ? bytes.len - from : DA_BLOB_PIECE;
    da_slice piece = da_slice_make(bytes.ptr + from, len);
    da_slice old;
    da_key key;
    da_key_blob(&key, owner, which, (uint16_t)i);
    /* The whole promise is put again when it settles: its param, once written, is compared instead. */
    int put = insert(store, DA_KV_BLOB, da_key_slice(&key), piece, &old);
    if (put == 0 && !da_slice_eq(old, piece)) put = da_rows_put(store, DA_KV_BLOB, da_key_slice(&key), piece);
    if (put < 0) return put;
  }
  return DA_OK;
}

int da_blob_cut(da_store *store, da_slice owner, uint8_t which, size_t from_piece, size_t count)
{
  for (size_t i = from_piece; i < count; i++) {
    da_key key;
    da_key_blob(&key, owner, which, (uint16_t)i);
    int status = da_rows_del(store, DA_KV_BLOB, da_key_slice(&key));
    if (status < 0) return status;
  }
  return DA_OK;
}

int da_blob_get(da_store *store, da_slice owner, uint8_t which, size_t len, char *to)
{
  da_key key;
  da_slice found;
  da_slice piece;
  da_key_blob(&key, owner, which, 0);
  int there = da_rows_seek(store, DA_KV_BLOB, da_key_slice(&key), &found, &piece);
  for (size_t i = 0; i < da_blob_pieces(len); i++) {
    size_t from = i * DA_BLOB_PIECE;
    size_t want = len - from < DA_BLOB_PIECE ? len - from : DA_BLOB_PIECE;
    if (i > 0) {
      da_key_blob(&key, owner, which, (uint16_t)i);
      there = da_rows_next(store, DA_KV_BLOB, &found, &piece);
    }
    if (there < 0) return there;
    if (there == 0 || !da_slice_eq(found, da_key_slice(&key)) || piece.len != want)
      return da_store_bad_row(store, DA_KV_BLOB, da_key_slice(&key), DA_ECORRUPT);
    memcpy(to + from, piece.ptr, want);
  }
  return 1;
}

/* ---- promises ------------------------------------------------------------------------------------------ */

int da_rows_id_key(da_store *store, da_slice id, da_key *key)
{
  uint64_t root;
  int there = da_root_find(store, da_id_root(id), &root);
  if (there > 0) da_key_id(key, root, da_id_rest(id), store->seed);
  return there;
}

static int check_id(da_store *store, da_slice id)
{
  const char *fault = da_id_fault(id);
  return fault == NULL ? DA_OK : da_store_fail(store, DA_EINVAL, "%s", fault);
}

/* Another promise under the same key would be two long ids with one seeded 128-bit hash. */
static int check_same(da_store *store, const da_promise_head *old, da_slice text)
{
  if (old->anchor || !old->has_text || da_slice_eq(old->text, text)) return DA_OK;
  return da_store_fail(store, DA_ECORRUPT, "two ids share the key of a long id: ...%.*s", DA_FMT(text));
}

static size_t blob_bytes(const da_value *value)
{
  return value->has_data && da_codec_in_blob(value->data.len) ? value->data.len : 0;
}

static int put_value_blob(da_store *store, da_slice key, uint8_t which, const da_value *value, size_t old_bytes)
{
  size_t bytes = blob_bytes(value);
  int status = DA_OK;
  if (bytes != 0) status = da_blob_put(store, key, which, value->data);
  if (status == DA_OK && old_bytes > bytes)
    status = da_blob_cut(store, key, which, da_blob_pieces(bytes), da_blob_pieces(old_bytes));
  return status;
}

/* Replaces the row of a promise, or the anchor that held its place. */
static int replace_promise(da_store *store, da_kv_table table, da_slice key, da_slice text, da_slice old,
                           da_promise_head *head)
{
  da_status status = da_codec_promise_head(old, head);
  if (status != DA_OK) return da_store_bad_row(store, table, key, status);
  int same = check_same(store, head, text);
  if (same != DA_OK) return same;
  if (head->anchor) store->counters.anchors--;
  return da_rows_put(store, table, key, da_buf_slice(&store->record));
}

/* What the record just encoded has brought into the dictionary. */
static int put_new_words(da_store *store)
{
  while (store->counters.words < da_words_count(store->words)) {
    da_key key = {0};
    da_slice text;
    uint64_t code = store->counters.words + 1;
    da_key_add_number(&key, code);
    (void)da_words_text(store->words, code, &text);
    int status = da_rows_put(store, DA_KV_WORD, da_key_slice(&key), text);
    if (status != DA_OK) return status;
    store->counters.words = code;
  }
  return DA_OK;
}

static int put_promise(da_store *store, const da_promise *promise)
{
  da_slice root_text = da_id_root(promise->id);
  da_slice rest = da_id_rest(promise->id);
  uint64_t root;
  bool owned;
  int status = check_id(store, promise->id);
  if (status != DA_OK) return status;
  status = da_root_give(store, root_text, &root, rest.len == 0 ? &owned : NULL);
  if (status != DA_OK) return status;
  da_key key;
  da_key_id(&key, root, rest, store->seed);
  da_slice text = rest.len == 0 ? root_text : da_rest_is_long(rest) ? rest : DA_NONE;
  da_buf_clear(&store->record);
  da_codec_promise_put(&store->record, promise, text, store->words);
  status = put_new_words(store);
  if (status != DA_OK) return status;
  /* Most promises are new (a fused step is written once): one search of the tree serves both answers. */
  da_promise_head head = {0};
  da_slice old;
  da_kv_table table = da_rows_table(rest);
  status = insert(store, table, da_key_slice(&key), da_buf_slice(&store->record), &old);
  if (status == 0) status = replace_promise(store, table, da_key_slice(&key), text, old, &head);
  if (status < 0) return status;
  if (blob_bytes(&promise->param) == 0 && blob_bytes(&promise->value) == 0 && head.param_bytes == 0 &&
      head.value_bytes == 0)
    return DA_OK;
  status = put_value_blob(store, da_key_slice(&key), DA_BLOB_PARAM, &promise->param, head.param_bytes);
  if (status != DA_OK) return status;
  return put_value_blob(store, da_key_slice(&key), DA_BLOB_VALUE, &promise->value, head.value_bytes);
}

/* ---- the other tables ---------------------------------------------------------------------------------- */

int da_rows_root_for(da_store *store, da_slice id, bool del, uint64_t *root)
{
  int status = check_id(store, id);
  if (status != DA_OK) return status;
  if (del) return da_root_find(store, da_id_root(id), root);
  status = da_root_give(store, da_id_root(id), root, NULL);
  return status == DA_OK ? 1 : status;
}

int da_rows_put_or_del(da_store *store, da_kv_table table, const da_key *key, bool del)
{
  if (!del) return da_rows_put(store, table, da_key_slice(key), da_buf_slice(&store->record));
  int status = da_rows_del(store, table, da_key_slice(key));
  return status < 0 ? status : DA_OK;
}

da_slice da_rows_long_text(da_slice id)
{
  da_slice rest = da_id_rest(id);
  return da_rest_is_long(rest) ? rest : DA_NONE;
}

static int write_task(da_store *store, const da_task *task, bool del)
{
  uint64_t root;
  da_key key;
  int there = da_rows_root_for(store, task->id, del, &root);
  if (there <= 0) return there;
  da_key_id(&key, root, da_id_rest(task->id), store->seed);
  da_buf_clear(&store->record);
  if (!del) da_codec_task_put(&store->record, task, da_rows_long_text(task->id));
  int status = da_rows_put_or_del(store, DA_KV_TASK, &key, del);
  return status == DA_OK && task->state == DA_TASK_FULFILLED ? da_image_drop(store, task->id) : status;
}

static int write_due(da_store *store, const da_due *due, bool del)
{
  uint64_t root;
  da_key key;
  if (due->at < 0) return da_store_fail(store, DA_EINVAL, "a due row before the epoch");
  int there = da_rows_root_for(store, due->id, del, &root);
  if (there <= 0) return there;
  da_key_due(&key, due->class_, due->at, root, da_id_rest(due->id), store->seed);
  da_buf_clear(&store->record);
  if (!del) da_buf_add_slice(&store->record, da_rows_long_text(due->id));
  return da_rows_put_or_del(store, da_rows_due_table(due->class_), &key, del);
}

static int write_out(da_store *store, const da_message *message, bool del)
{
  uint64_t root;
  da_key key;
  int there = da_rows_root_for(store, message->id, del, &root);
  if (there <= 0) return there;
  da_key_out(&key, message->kind, root, da_id_rest(message->id), message->address, store->seed);
  da_buf_clear(&store->record);
  if (!del) da_codec_out_put(&store->record, message, da_rows_long_text(message->id));
  return da_rows_put_or_del(store, DA_KV_OUT, &key, del);
}

static int write_schedule(da_store *store, const da_schedule *schedule, bool del)
{
  if (schedule->id.len == 0 || schedule->id.len > DA_SCHEDULE_ID_MAX)
    return da_store_fail(store, DA_EINVAL, "no schedule has an id of %zu bytes", schedule->id.len);
  if (del) {
    int gone = da_rows_del(store, DA_KV_SCHED, schedule->id);
    return gone < 0 ? gone : DA_OK;
  }
  da_buf_clear(&store->record);
  da_codec_schedule_put(&store->record, schedule, store->words);
  int status = put_new_words(store);
  return status == DA_OK ? da_rows_put(store, DA_KV_SCHED, schedule->id, da_buf_slice(&store->record)) : status;
}

static int write_row(da_store *store, const da_write *write)
{
  switch (write->table) {
  case DA_TABLE_PROMISE:
    if (write->del) return da_store_fail(store, DA_EINVAL, "a promise is not deleted by a write");
    return put_promise(store, write->row.promise);
  case DA_TABLE_TASK:
    return write_task(store, write->row.task, write->del);
  case DA_TABLE_WAIT:
    return da_wait_write(store, &write->row.wait, write->del);
  case DA_TABLE_DUE:
    return write_due(store, &write->row.due, write->del);
  case DA_TABLE_OUT:
    return write_out(store, &write->row.out, write->del);
  case DA_TABLE_SCHEDULE:
    return write_schedule(store, write->row.schedule, write->del);
  case DA_TABLE_QUEUE:
    return da_queue_write(store, write->row.queue, write->del);
  case DA_TABLE_QUEUE_ROW:
    return da_queue_row_write(store, write->row.queue_row, write->del);
  }
  return da_store_fail(store, DA_EINVAL, "a write to no table");
}

da_status da_store_write(da_store *store, const da_write *write, da_err *err)
{
  DA_ASSERT(store->open);
  if (store->read_only) return da_fail(err, DA_EACCES, "%s is open for reading only", store->path);
  int status = write_row(store, write);
  return status == DA_OK ? DA_OK : da_store_words_to(store, status, err);
}
