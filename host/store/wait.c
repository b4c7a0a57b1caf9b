/* wait.c - who waits for whom.
 *
 * A callback (awaited, awaiter) must be found from both ends, so the engine writes it as two rows. The second one,
 * seen from the awaiter, is left out here where the first leads to it: an execution that awaits what lies below itself
 * (its own sleeps, steps and children: nearly all there is) finds those callbacks in the range of its descendants. What
 * it awaits elsewhere has a row in `await`. So a parked execution is a row smaller, and suspending it a put cheaper.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "subtree.h"

static da_kv_table table_of(da_wait_kind kind)
{
  switch (kind) {
  case DA_WAIT_CALLBACK:
    return DA_KV_CALLBACK;
  case DA_WAIT_AWAITED:
    return DA_KV_AWAIT;
  case DA_WAIT_RESUME:
  case DA_WAIT_LISTENER:
    break;
  }
  return DA_KV_WAIT;
}

/* The row that stands for this one: an await of a descendant is the callback, seen from the other end. */
static da_wait stored_form(const da_wait *wait)
{
  if (wait->kind != DA_WAIT_AWAITED || !da_slice_eq(da_id_root(wait->first), da_id_root(wait->second))) return *wait;
  if (!da_id_below(wait->second, wait->first)) return *wait;
  return (da_wait){DA_WAIT_CALLBACK, wait->second, wait->first};
}

/* The key of a row whose roots have numbers. */
static void make_key(const da_store *store, const da_wait *wait, uint64_t first, uint64_t second, da_key *key)
{
  da_key_wait_first(key, wait->kind, first, da_id_rest(wait->first), store->seed);
  if (wait->kind == DA_WAIT_LISTENER)
    da_key_wait_address(key, wait->second, store->seed);
  else
    da_key_wait_second(key, first, second, da_id_rest(wait->second), store->seed);
}

/* The key under which a row lies if it is there: 1; 0 if a root has no number. */
static int find_key(da_store *store, const da_wait *wait, da_key *key)
{
  uint64_t first;
  uint64_t second = 0;
  int there = da_root_find(store, da_id_root(wait->first), &first);
  if (there > 0 && wait->kind != DA_WAIT_LISTENER) there = da_root_find(store, da_id_root(wait->second), &second);
  if (there > 0) make_key(store, wait, first, second, key);
  return there;
}

static void put_value(da_buf *out, const da_wait *wait)
{
  da_slice first = da_rows_long_text(wait->first);
  uint8_t len[DA_VARINT_MAX];
  if (first.len != 0) da_buf_add(out, len, da_varint_put(len, first.len));
  da_buf_add_slice(out, first);
  da_buf_add_slice(out, wait->kind == DA_WAIT_LISTENER ? wait->second : da_rows_long_text(wait->second));
}

bool da_wait_value_get(const da_wait_key *key, da_slice value, da_slice *first_text, da_slice *second_text)
{
  const uint8_t *at = (const uint8_t *)value.ptr;
  const uint8_t *end = at + value.len;
  uint64_t len = 0;
  if (key->first.is_long && (!da_varint_get(&at, end, &len) || len > (size_t)(end - at))) return false;
  *first_text = da_slice_make((const char *)at, (size_t)len);
  *second_text = da_slice_make((const char *)at + len, (size_t)(end - at) - (size_t)len);
  return key->second.is_long || key->kind == DA_WAIT_LISTENER ? second_text->len != 0 : second_text->len == 0;
}

int da_wait_write(da_store *store, const da_wait *wait, bool del)
{
  uint64_t first;
  uint64_t second = 0;
  da_key key;
  da_wait stored = stored_form(wait);
  if (stored.kind != wait->kind) return DA_OK; /* comes as the callback */
  int there = da_rows_root_for(store, wait->first, del, &first);
  if (there > 0 && wait->kind != DA_WAIT_LISTENER) there = da_rows_root_for(store, wait->second, del, &second);
  if (there <= 0) return there;
  make_key(store, wait, first, second, &key);
  da_buf_clear(&store->record);
  if (!del) put_value(&store->record, wait);
  return da_rows_put_or_del(store, table_of(wait->kind), &key, del);
}

static bool is_possible(const da_wait *wait)
{
  return da_id_fault(wait->first) == NULL && (wait->kind == DA_WAIT_LISTENER || da_id_fault(wait->second) == NULL);
}

int da_wait_has(da_view *view, const da_wait *wait)
{
  da_store *store = (da_store *)view;
  da_wait stored = stored_form(wait);
  da_key key;
  da_slice value;
  if (!is_possible(wait)) return 0;
  int there = find_key(store, &stored, &key);
  return there <= 0 ? there : da_rows_get(store, table_of(stored.kind), da_key_slice(&key), &value);
}

/* ---- walks --------------------------------------------------------------------------------------------- */

static int read_row(da_store *store, da_wait_kind kind, da_slice key, da_slice value, da_wait_key *out,
                    da_slice *first_text, da_slice *second_text)
{
  da_kv_table table = table_of(kind);
  if (da_key_wait_get(key, table == DA_KV_WAIT, kind, out) && da_wait_value_get(out, value, first_text, second_text))
    return 1;
  return da_store_bad_row(store, table, key, DA_ECORRUPT);
}

/* The next row that lies as it was written. */
static int next_row(da_store *store, const da_wait *after, bool behind, da_arena *arena, da_wait *out)
{
  uint64_t root;
  da_key prefix;
  da_key from;
  da_slice found;
  da_slice value;
  da_wait_key key;
  da_slice first_text;
  da_slice second_text;
  da_slice first = after->first; /* out may be after */
  int there = da_root_find(store, da_id_root(first), &root);
  if (there <= 0) return there;
  da_key_wait_first(&prefix, after->kind, root, da_id_rest(first), store->seed);
  from = prefix;
  if (behind && (there = find_key(store, after, &from)) <= 0) return there;
  there = da_view_seek(store, table_of(after->kind), &from, behind, &found, &value);
  if (there <= 0) return there;
  if (!da_slice_starts(found, da_key_slice(&prefix))) return 0;
  there = read_row(store, after->kind, found, value, &key, &first_text, &second_text);
  if (there < 0) return there;
  *out = (da_wait){.kind = key.kind, .first = da_arena_dup(arena, first)};
  if (key.kind != DA_WAIT_LISTENER) return da_id_of_key(store, &key.second, second_text, arena, &out->second);
  if (!da_key_ends_in_hash(found, second_text, store->seed)) /* a walk could not go on behind it */
    return da_store_bad_row(store, DA_KV_WAIT, found, DA_ECORRUPT);
  out->second = da_arena_dup(arena, second_text);
  return 1;
}

/* Is the awaiter of a callback this id? */
static bool is_id(const da_id_key *key, da_slice long_text, const da_key *id_key, da_slice id)
{
  da_key own = {0};
  da_key_add_number(&own, key->root);
  da_key_add(&own, key->rest.ptr, key->rest.len);
  return da_slice_eq(da_key_slice(&own), da_key_slice(id_key)) &&
         (!key->is_long || da_slice_eq(long_text, da_id_rest(id)));
}

/* The next callback in a range whose awaiter is `awaiter`, seen from it. */
static int next_in_range(da_store *store, const da_subtree *tree, size_t range, const da_key *behind,
                         const da_key *awaiter_key, da_slice awaiter, da_arena *arena, da_wait *out)
{
  da_slice prefix = da_key_slice(&tree->ranges[range]);
  da_slice found;
  da_slice value;
  int there = behind != NULL ? da_view_seek(store, DA_KV_CALLBACK, behind, true, &found, &value)
                             : da_rows_seek(store, DA_KV_CALLBACK, prefix, &found, &value);
  while (there > 0 && da_slice_starts(found, prefix)) {
    da_wait_key key;
    da_slice awaited;
    da_slice second;
    there = read_row(store, DA_WAIT_CALLBACK, found, value, &key, &awaited, &second);
    if (there < 0) return there;
    da_slice rest = key.first.is_long ? awaited : key.first.rest;
    if (is_id(&key.second, second, awaiter_key, awaiter) && (!tree->filter || da_id_below(rest, tree->rest))) {
      *out = (da_wait){.kind = DA_WAIT_AWAITED, .first = da_arena_dup(arena, awaiter)};
      return da_id_of_key(store, &key.first, awaited, arena, &out->second);
    }
    there = da_rows_next(store, DA_KV_CALLBACK, &found, &value);
  }
  return there < 0 ? there : 0;
}

/* The next await of a descendant; `after` is the callback of the one before, or NULL. */
static int next_below(da_store *store, da_slice awaiter, const da_wait *after, da_arena *arena, da_wait *out)
{
  uint64_t root;
  da_subtree tree;
  da_key awaiter_key;
  da_key after_key;
  int there = da_root_find(store, da_id_root(awaiter), &root);
  if (there > 0 && after != NULL) there = find_key(store, after, &after_key);
  if (there <= 0) return there;
  da_subtree_make(&tree, root, da_id_rest(awaiter));
  da_key_id(&awaiter_key, root, da_id_rest(awaiter), store->seed);
  for (size_t i = 0; i < tree.count; i++) {
    da_slice prefix = da_key_slice(&tree.ranges[i]);
    bool inside = after != NULL && da_slice_starts(da_key_slice(&after_key), prefix);
    if (after != NULL && !inside && da_slice_cmp(da_key_slice(&after_key), prefix) > 0) continue;
    there = next_in_range(store, &tree, i, inside ? &after_key : NULL, &awaiter_key, awaiter, arena, out);
    if (there != 0) return there;
  }
  return 0;
}

int da_wait_next(da_view *view, const da_wait *after, da_arena *arena, da_wait *out)
{
  da_store *store = (da_store *)view;
  da_slice first = after->first;
  bool behind = after->second.ptr != NULL;
  if (da_id_fault(first) != NULL) return 0;
  if (after->kind != DA_WAIT_AWAITED) return next_row(store, after, behind, arena, out);
  da_wait stored = behind ? stored_form(after) : *after;
  if (stored.kind == DA_WAIT_CALLBACK) return next_below(store, first, &stored, arena, out);
  int there = next_row(store, after, behind, arena, out);
  return there != 0 ? there : next_below(store, first, NULL, arena, out);
}
