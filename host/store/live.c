/* live.c - what executions publish of their state: key -> value, beside the records and no part of them.
 *
 * A table of its own, not a part of the promise: a record is written twice in its life, a published value may change at
 * every step, and a replay, which reads the records, must not read these.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "rows.h"

static int live_put(da_store *store, da_slice id, da_slice name, da_slice value)
{
  uint64_t root;
  da_key key;
  da_slice old;
  int there = da_root_find(store, da_id_root(id), &root);
  if (there <= 0) return there < 0 ? there : da_store_fail(store, DA_EINVAL, "'%.*s' is not there", DA_FMT(id));
  da_key_live(&key, root, da_id_rest(id), name, store->seed);
  there = da_rows_get(store, DA_KV_LIVE, da_key_slice(&key), &old);
  if (there < 0) return there;
  if (value.ptr == NULL) return there == 0 ? DA_OK : da_rows_del(store, DA_KV_LIVE, da_key_slice(&key));
  if (there > 0 && da_slice_eq(old, value)) return DA_OK;
  return da_rows_put(store, DA_KV_LIVE, da_key_slice(&key), value);
}

da_status da_store_live_put(da_store *store, da_slice id, da_slice key, da_slice value, da_err *err)
{
  DA_ASSERT(store->open);
  DA_ASSERT(key.len > 0 && key.len <= DA_LIVE_KEY_MAX);
  DA_ASSERT(value.ptr == NULL || (value.len > 0 && value.len <= DA_LIVE_VALUE_MAX));
  if (store->read_only) return da_fail(err, DA_EACCES, "%s is open for reading only", store->path);
  int status = live_put(store, id, key, value);
  return status < 0 ? da_store_words_to(store, status, err) : DA_OK;
}

static bool is_text(da_slice json, da_slice text)
{
  if (json.len != text.len + 2 || json.ptr[0] != '"') return false;
  return da_slice_eq(da_slice_make(json.ptr + 1, text.len), text) && da_slice_find(text, '\\') < 0;
}

int da_live_is(da_view *view, da_slice id, da_slice name, da_slice value)
{
  da_store *store = (da_store *)view;
  uint64_t root;
  da_key key;
  da_slice json;
  if (name.len == 0 || name.len > DA_LIVE_KEY_MAX || da_id_fault(id) != NULL) return 0;
  int there = da_root_find(store, da_id_root(id), &root);
  if (there <= 0) return there;
  da_key_live(&key, root, da_id_rest(id), name, store->seed);
  there = da_rows_get(store, DA_KV_LIVE, da_key_slice(&key), &json);
  if (there <= 0) return there;
  return da_slice_eq(json, value) || is_text(json, value);
}

int da_live_drop(da_store *store, da_slice id)
{
  uint64_t root;
  da_key prefix;
  da_slice key;
  da_slice value;
  int there = da_root_find(store, da_id_root(id), &root);
  if (there <= 0) return there;
  da_key_live(&prefix, root, da_id_rest(id), DA_NONE, store->seed);
  for (;;) { /* a delete takes the place of the seek */
    there = da_rows_seek(store, DA_KV_LIVE, da_key_slice(&prefix), &key, &value);
    if (there <= 0 || !da_slice_starts(key, da_key_slice(&prefix))) return there;
    da_key own = {0};
    da_key_add(&own, key.ptr, key.len);
    there = da_rows_del(store, DA_KV_LIVE, da_key_slice(&own));
    if (there < 0) return there;
  }
}

static int live_scan(da_store *store, da_slice id, da_store_live_visit *visit, void *user)
{
  uint64_t root;
  da_key prefix;
  da_slice key;
  da_slice value;
  int there = da_root_find(store, da_id_root(id), &root);
  if (there <= 0) return there;
  da_key_live(&prefix, root, da_id_rest(id), DA_NONE, store->seed);
  there = da_rows_seek(store, DA_KV_LIVE, da_key_slice(&prefix), &key, &value);
  while (there > 0 && da_slice_starts(key, da_key_slice(&prefix))) {
    visit(user, da_slice_make(key.ptr + prefix.len, key.len - prefix.len), value);
    there = da_rows_next(store, DA_KV_LIVE, &key, &value);
  }
  return there < 0 ? there : DA_OK;
}

da_status da_store_live_scan(da_store *store, da_slice id, da_store_live_visit *visit, void *user, da_err *err)
{
  da_visit inside;
  da_status status = da_store_enter(store, &inside, err);
  if (status != DA_OK) return status;
  int scanned = live_scan(store, id, visit, user);
  da_store_leave(store, &inside);
  return scanned < 0 ? da_store_words_to(store, scanned, err) : DA_OK;
}
