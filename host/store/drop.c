/* drop.c - a promise that nobody needs any more: its row, its values, its task, what it published.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "rows.h"

static int cut_values(da_store *store, da_slice key, const da_promise_head *head)
{
  int status = da_blob_cut(store, key, DA_BLOB_PARAM, 0, da_blob_pieces(head->param_bytes));
  if (status < 0) return status;
  return da_blob_cut(store, key, DA_BLOB_VALUE, 0, da_blob_pieces(head->value_bytes));
}

static int drop(da_store *store, da_slice id)
{
  da_key key;
  da_slice value;
  da_promise_head head = {0};
  int there = da_rows_id_key(store, id, &key);
  if (there > 0) there = da_rows_get(store, DA_KV_PROM, da_key_slice(&key), &value);
  if (there <= 0) return there;
  da_status status = da_codec_promise_head(value, &head);
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_PROM, da_key_slice(&key), status);
  there = cut_values(store, da_key_slice(&key), &head);
  if (there >= 0) there = da_rows_del(store, DA_KV_PROM, da_key_slice(&key));
  if (there >= 0) there = da_rows_del(store, DA_KV_TASK, da_key_slice(&key));
  if (there >= 0) there = da_image_drop(store, id);
  return there < 0 ? there : da_live_drop(store, id);
}

da_status da_store_drop(da_store *store, da_slice id, da_err *err)
{
  DA_ASSERT(store->open);
  if (store->read_only) return da_fail(err, DA_EACCES, "%s is open for reading only", store->path);
  if (da_id_rest(id).len == 0) return da_fail(err, DA_EINVAL, "'%.*s' is a root, which stays", DA_FMT(id));
  int status = drop(store, id);
  return status < 0 ? da_store_words_to(store, status, err) : DA_OK;
}
