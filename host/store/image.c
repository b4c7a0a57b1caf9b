/* image.c - images of suspended isolates: opaque bytes beside the records of an execution, a cache of what they say.
 *
 * A head row and pieces. The head holds the length, and the *reach*: how many calls the execution may have made at most
 * since it began. Whoever runs an execution that has an image raises the reach before it makes more calls than that; so
 * the records behind an image are found by looking for so many numbers of each name (tail.c), and none is missed,
 * though records of calls that were under way leave gaps. Whoever runs it without knowing of the image drops it first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "rows.h"

/* length u32 | reach u64 | check, of the key as well. No seal covers the head, and a wrong reach would have records
 * passed over, or be searched for ever. */
enum { HEAD_PLAIN = 12, HEAD_BYTES = HEAD_PLAIN + 8 };

/* The key of the head (piece 0) or of a piece, from 1. */
static void image_key(da_store *store, da_key *key, uint64_t root, da_slice id, size_t piece)
{
  uint8_t tail[2] = {(uint8_t)(piece >> 8), (uint8_t)piece};
  da_key_live(key, root, da_id_rest(id), da_slice_make((const char *)tail, sizeof tail), store->seed);
}

static da_digest head_check(const da_store *store, const da_key *key, const char *plain)
{
  char all[sizeof key->bytes + HEAD_PLAIN];
  memcpy(all, plain, HEAD_PLAIN);
  memcpy(all + HEAD_PLAIN, key->bytes, key->len);
  return da_hash128_seeded(da_slice_make(all, HEAD_PLAIN + key->len), store->seed);
}

static int put_head(da_store *store, const da_key *key, size_t len, uint64_t reach)
{
  da_buf *head = &store->record;
  da_buf_clear(head);
  da_buf_add_u32(head, (uint32_t)len);
  da_buf_add_u32(head, (uint32_t)(reach >> 32));
  da_buf_add_u32(head, (uint32_t)reach);
  da_digest check = head_check(store, key, head->ptr);
  da_buf_add(head, check.bytes, HEAD_BYTES - HEAD_PLAIN);
  return da_rows_put(store, DA_KV_IMAGE, da_key_slice(key), da_buf_slice(head));
}

size_t da_image_len(const da_store *store, const da_key *key, da_slice head)
{
  if (head.len != HEAD_BYTES) return 0;
  da_digest check = head_check(store, key, head.ptr);
  bool whole = memcmp(head.ptr + HEAD_PLAIN, check.bytes, HEAD_BYTES - HEAD_PLAIN) == 0;
  return whole ? da_get_u32(head.ptr) : 0;
}

/* 1, 0 or negative. */
static int get_head(da_store *store, da_slice id, uint64_t *root, size_t *len, uint64_t *reach)
{
  da_key key;
  da_slice row;
  int there = da_root_find(store, da_id_root(id), root);
  if (there <= 0) return there;
  image_key(store, &key, *root, id, 0);
  there = da_rows_get(store, DA_KV_IMAGE, da_key_slice(&key), &row);
  if (there <= 0) return there;
  *len = da_image_len(store, &key, row);
  if (*len == 0) return da_store_bad_row(store, DA_KV_IMAGE, da_key_slice(&key), DA_ECORRUPT);
  *reach = da_get_u64(row.ptr + 4);
  return 1;
}

static int cut_pieces(da_store *store, uint64_t root, da_slice id, size_t from, size_t count)
{
  for (size_t i = from; i < count; i++) {
    da_key key;
    image_key(store, &key, root, id, i + 1);
    int status = da_rows_del(store, DA_KV_IMAGE, da_key_slice(&key));
    if (status < 0) return status;
  }
  return DA_OK;
}

static int image_put(da_store *store, da_slice id, da_slice bytes, uint64_t reach)
{
  uint64_t root;
  size_t old_len = 0;
  uint64_t old_reach = 0;
  int there = get_head(store, id, &root, &old_len, &old_reach);
  if (there == DA_ECORRUPT) there = da_image_drop(store, id); /* whatever it is, it is of no use */
  if (there < 0) return there;
  if (there == 0 && (there = da_root_find(store, da_id_root(id), &root)) <= 0) return there;
  da_key key;
  image_key(store, &key, root, id, 0);
  int status = put_head(store, &key, bytes.len, reach > old_reach ? reach : old_reach);
  size_t pieces = da_blob_pieces(bytes.len);
  for (size_t i = 0; i < pieces && status == DA_OK; i++) {
    size_t from = i * DA_BLOB_PIECE;
    size_t len = bytes.len - from < DA_BLOB_PIECE ? bytes.len - from : DA_BLOB_PIECE;
    image_key(store, &key, root, id, i + 1);
    status = da_rows_put(store, DA_KV_IMAGE, da_key_slice(&key), da_slice_make(bytes.ptr + from, len));
  }
  store->images = true;
  return status == DA_OK ? cut_pieces(store, root, id, pieces, da_blob_pieces(old_len)) : status;
}

da_status da_store_image_put(da_store *store, da_slice id, da_slice bytes, uint64_t reach, da_err *err)
{
  DA_ASSERT(store->open);
  DA_ASSERT(bytes.len > 0 && bytes.len <= DA_STORE_IMAGE_MAX);
  if (store->read_only) return da_fail(err, DA_EACCES, "%s is open for reading only", store->path);
  int status = image_put(store, id, bytes, reach);
  return status < 0 ? da_store_words_to(store, status, err) : DA_OK;
}

static int image_reach(da_store *store, da_slice id, uint64_t reach)
{
  uint64_t root, old_reach;
  size_t len;
  int there = get_head(store, id, &root, &len, &old_reach);
  if (there <= 0 || old_reach >= reach) return there;
  da_key key;
  image_key(store, &key, root, id, 0);
  return put_head(store, &key, len, reach);
}

da_status da_store_image_reach(da_store *store, da_slice id, uint64_t reach, da_err *err)
{
  DA_ASSERT(store->open);
  int status = image_reach(store, id, reach);
  return status < 0 ? da_store_words_to(store, status, err) : DA_OK;
}

static int image_get(da_store *store, da_slice id, da_arena *arena, da_slice *bytes, uint64_t *reach)
{
  uint64_t root;
  size_t len = 0;
  int there = get_head(store, id, &root, &len, reach);
  if (there <= 0) return there;
  if (len > DA_STORE_IMAGE_MAX) return DA_ECORRUPT;
  char *to = da_arena_alloc(arena, len);
  da_key key;
  da_slice found, piece;
  image_key(store, &key, root, id, 1);
  there = da_rows_seek(store, DA_KV_IMAGE, da_key_slice(&key), &found, &piece);
  for (size_t i = 0; i < da_blob_pieces(len); i++) {
    size_t from = i * DA_BLOB_PIECE;
    size_t want = len - from < DA_BLOB_PIECE ? len - from : DA_BLOB_PIECE;
    if (i > 0) {
      image_key(store, &key, root, id, i + 1);
      there = da_rows_next(store, DA_KV_IMAGE, &found, &piece);
    }
    if (there < 0) return there;
    if (there == 0 || !da_slice_eq(found, da_key_slice(&key)) || piece.len != want) return DA_ECORRUPT;
    memcpy(to + from, piece.ptr, want);
  }
  *bytes = da_slice_make(to, len);
  return 1;
}

int da_store_image_get(da_store *store, da_slice id, da_arena *arena, da_slice *bytes, uint64_t *reach)
{
  DA_ASSERT(store->open);
  return store->images ? image_get(store, id, arena, bytes, reach) : 0;
}

int da_image_drop(da_store *store, da_slice id)
{
  uint64_t root;
  da_key prefix, own;
  da_slice key, value;
  if (!store->images) return DA_OK;
  int there = da_root_find(store, da_id_root(id), &root);
  if (there <= 0) return there;
  da_key_live(&prefix, root, da_id_rest(id), DA_NONE, store->seed);
  for (;;) { /* a delete takes the place of the seek */
    there = da_rows_seek(store, DA_KV_IMAGE, da_key_slice(&prefix), &key, &value);
    if (there <= 0 || !da_slice_starts(key, da_key_slice(&prefix))) return there < 0 ? there : DA_OK;
    own.len = 0;
    da_key_add(&own, key.ptr, key.len);
    there = da_rows_del(store, DA_KV_IMAGE, da_key_slice(&own));
    if (there < 0) return there;
  }
}

da_status da_store_image_drop(da_store *store, da_slice id, da_err *err)
{
  DA_ASSERT(store->open);
  int status = da_image_drop(store, id);
  return status < 0 ? da_store_words_to(store, status, err) : DA_OK;
}

int da_image_any(da_store *store)
{
  da_slice key, value;
  da_key first = {0};
  da_key_add_byte(&first, 0);
  int there = da_rows_seek(store, DA_KV_IMAGE, da_key_slice(&first), &key, &value);
  if (there >= 0) store->images = there > 0;
  return there;
}
