/* queue.c - queues: themselves, their messages and grants, who waits in them, what executions hold of them.
 *
 * Keys are hashes of names (key.h), so that a name may be long; the records hold the texts, and a record whose text is
 * another one is damage.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

static void row_key(da_store *store, const da_queue_row *row, da_key *key)
{
  bool hold = row->kind == DA_QUEUE_HOLD;
  da_key_queue(key, row->kind, hold ? row->owner : row->name, store->seed);
  if (hold)
    da_key_add_hash(key, row->id, store->seed);
  else
    da_key_add_number(key, row->seq);
}

int da_queue_write(da_store *store, const da_queue *queue, bool del)
{
  da_key key;
  da_key_queue(&key, DA_QUEUE_SELF, queue->name, store->seed);
  da_buf_clear(&store->record);
  if (!del) da_codec_queue_put(&store->record, queue);
  return da_rows_put_or_del(store, DA_KV_QUEUE, &key, del);
}

int da_queue_row_write(da_store *store, const da_queue_row *row, bool del)
{
  da_key key;
  row_key(store, row, &key);
  da_buf_clear(&store->record);
  if (!del) da_codec_queue_row_put(&store->record, row);
  return da_rows_put_or_del(store, DA_KV_QUEUE, &key, del);
}

int da_queue_get(da_view *view, da_slice name, da_arena *arena, da_queue *out)
{
  da_store *store = (da_store *)view;
  da_key key;
  da_slice value;
  da_key_queue(&key, DA_QUEUE_SELF, name, store->seed);
  int there = da_rows_get(store, DA_KV_QUEUE, da_key_slice(&key), &value);
  if (there <= 0) return there;
  da_status status = da_codec_queue_get(da_arena_dup(arena, value), out);
  if (status == DA_OK && !da_slice_eq(out->name, name)) status = DA_ECORRUPT;
  return status == DA_OK ? 1 : da_store_bad_row(store, DA_KV_QUEUE, da_key_slice(&key), status);
}

/* A hold whose ids are not those of its key would lead a walk over holds astray, without an end. */
static bool hold_fits(da_store *store, da_slice key, const da_queue_row *row)
{
  da_key own;
  row_key(store, row, &own);
  return da_slice_eq(da_key_slice(&own), key);
}

/* Copies a row of table `queue` out. name: what the key says only as a hash. bare: of a token all but its value. */
static int load_row(da_store *store, da_slice key, da_slice value, da_slice name, bool bare, da_arena *arena,
                    da_queue_row *out)
{
  da_queue_key parts;
  bool good = da_key_queue_get(key, &parts);
  if (!bare) value = da_arena_dup(arena, value);
  da_status status = good ? da_codec_queue_row_get(value, arena, out) : DA_ECORRUPT;
  if (status == DA_OK && (unsigned)out->kind != parts.kind) status = DA_ECORRUPT;
  if (status == DA_OK && out->kind == DA_QUEUE_HOLD && !hold_fits(store, key, out)) status = DA_ECORRUPT;
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_QUEUE, key, status);
  if (bare) out->value = (da_value){0};
  if (out->kind != DA_QUEUE_HOLD) {
    out->name = name;
    out->seq = parts.seq;
  }
  return 1;
}

int da_queue_hold(da_view *view, da_slice owner, da_slice id, da_arena *arena, da_queue_row *out)
{
  da_store *store = (da_store *)view;
  da_queue_row row = {.kind = DA_QUEUE_HOLD, .owner = owner, .id = id};
  da_key key;
  da_slice value;
  row_key(store, &row, &key);
  int there = da_rows_get(store, DA_KV_QUEUE, da_key_slice(&key), &value);
  if (there <= 0) return there;
  return load_row(store, da_key_slice(&key), value, DA_NONE, false, arena, out);
}

int da_queue_next(da_view *view, const da_queue_row *after, da_arena *arena, da_queue_row *out)
{
  da_store *store = (da_store *)view;
  bool hold = after->kind == DA_QUEUE_HOLD;
  bool bare = after->kind == DA_QUEUE_TOKEN && after->bare;
  da_key prefix;
  da_key key;
  da_slice found;
  da_slice value;
  da_slice name = after->name; /* out may be after */
  da_key_queue(&prefix, after->kind, hold ? after->owner : name, store->seed);
  key = prefix;
  if (hold && after->id.ptr != NULL)
    da_key_add_hash(&key, after->id, store->seed);
  else if (!hold)
    da_key_add_number(&key, after->seq);
  int there = da_view_seek(store, DA_KV_QUEUE, &key, true, &found, &value);
  if (there <= 0) return there;
  if (!da_slice_starts(found, da_key_slice(&prefix))) return 0;
  return load_row(store, found, value, name, bare, arena, out);
}

/* ---- all of them --------------------------------------------------------------------------------------- */

/* Rows of one kind: each is decoded and shown to `each`, which says whether to go on, or a failure. */
typedef struct scan {
  da_store *store;
  da_arena *arena;
  da_store_queue_visit *queue;
  da_store_hold_visit *hold;
  void *user;
} scan;

static int scan_row(const scan *s, da_slice key, da_slice value)
{
  if (s->hold != NULL) {
    da_queue_row row;
    int there = load_row(s->store, key, value, DA_NONE, false, s->arena, &row);
    return there < 0 ? there : s->hold(s->user, &row);
  }
  da_queue queue;
  da_status status = da_codec_queue_get(da_arena_dup(s->arena, value), &queue);
  return status != DA_OK ? da_store_bad_row(s->store, DA_KV_QUEUE, key, status) : s->queue(s->user, &queue);
}

static da_status scan_kind(const scan *s, da_err *err)
{
  const char kind = s->hold != NULL ? DA_QUEUE_HOLD : DA_QUEUE_SELF;
  da_slice prefix = da_slice_make(&kind, 1);
  da_slice key;
  da_slice value;
  da_visit inside;
  da_status status = da_store_enter(s->store, &inside, err);
  if (status != DA_OK) return status;
  int there = da_rows_seek(s->store, DA_KV_QUEUE, prefix, &key, &value);
  while (there > 0 && da_slice_starts(key, prefix)) {
    there = scan_row(s, key, value);
    if (there > 0) there = da_rows_next(s->store, DA_KV_QUEUE, &key, &value);
  }
  da_store_leave(s->store, &inside);
  return there < 0 ? da_store_words_to(s->store, there, err) : DA_OK;
}

da_status da_store_scan_queues(da_store *store, da_arena *arena, da_store_queue_visit *visit, void *user, da_err *err)
{
  scan s = {.store = store, .arena = arena, .queue = visit, .user = user};
  return scan_kind(&s, err);
}

da_status da_store_scan_holds(da_store *store, da_arena *arena, da_store_hold_visit *visit, void *user, da_err *err)
{
  scan s = {.store = store, .arena = arena, .hold = visit, .user = user};
  return scan_kind(&s, err);
}
