/* root.c - numbers of roots: text -> number (`ids`), number -> text (`root`), a bounded cache.
 *
 * Numbers are handed out in order and never again, so that new executions are written side by side at the right edge
 * of every table: what keeps a full store as fast as an empty one. The text of a root is kept in the record
 * of its promise: a row per execution less. A root whose promise does not exist (a child was created
 * without it) has an anchor there.
 *
 * The cache: sets of a few entries, found by hash of the text; a second index by number. Both ways are hints that are
 * checked, so an entry that was replaced is simply not found.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "rows.h"

enum { WAYS = 4, SETS = 8 * 1024, ENTRIES = WAYS * SETS };

typedef struct entry {
  uint64_t hash;
  uint64_t number; /* 0: free */
  char *text;      /* owned */
  size_t len;
} entry;

struct da_roots {
  entry entries[ENTRIES];
  uint32_t by_number[ENTRIES]; /* place of the entry, at the low bits of the number: consecutive ones do not meet */
  unsigned turn;
};

da_roots *da_roots_new(void)
{
  return da_xcalloc(1, sizeof(da_roots)); /* pages not used are not there */
}

void da_roots_forget(da_roots *roots)
{
  for (size_t i = 0; i < ENTRIES; i++) {
    if (roots->entries[i].number == 0) continue;
    free(roots->entries[i].text);
    roots->entries[i] = (entry){0};
  }
}

void da_roots_delete(da_roots *roots)
{
  if (roots == NULL) return;
  da_roots_forget(roots);
  free(roots);
}

static entry *set_of(da_roots *roots, uint64_t hash)
{
  return &roots->entries[(hash & (SETS - 1)) * WAYS];
}

static const entry *cached_text(da_roots *roots, da_slice text, uint64_t hash)
{
  const entry *set = set_of(roots, hash);
  for (size_t i = 0; i < WAYS; i++)
    if (set[i].hash == hash && set[i].number != 0 && da_slice_eq(da_slice_make(set[i].text, set[i].len), text))
      return &set[i];
  return NULL;
}

static const entry *remember(da_roots *roots, da_slice text, uint64_t hash, uint64_t number)
{
  entry *set = set_of(roots, hash);
  size_t way = 0;
  while (way < WAYS && set[way].number != 0) way++;
  if (way == WAYS) way = roots->turn++ % WAYS;
  free(set[way].text);
  set[way] = (entry){hash, number, da_xstrndup(text), text.len};
  roots->by_number[number & (ENTRIES - 1)] = (uint32_t)(&set[way] - roots->entries);
  return &set[way];
}

int da_root_find(da_store *store, da_slice text, uint64_t *number)
{
  uint64_t hash = da_hash64(text);
  const entry *known = cached_text(store->roots, text, hash);
  if (known != NULL) {
    *number = known->number;
    return 1;
  }
  da_slice value;
  if (text.len == 0 || text.len > DA_ID_ROOT_MAX) return 0;
  int there = da_rows_get(store, DA_KV_IDS, text, &value);
  if (there <= 0) return there;
  const uint8_t *at = (const uint8_t *)value.ptr;
  const uint8_t *end = at + value.len;
  if (!da_varint_get(&at, end, number) || at != end || *number == 0)
    return da_store_bad_row(store, DA_KV_IDS, text, DA_ECORRUPT);
  (void)remember(store->roots, text, hash, *number);
  return 1;
}

static int put_anchor(da_store *store, da_slice text, uint64_t number)
{
  da_key key;
  da_key_id(&key, number, DA_NONE, store->seed);
  da_buf_clear(&store->record);
  da_codec_anchor_put(&store->record, text);
  int status = da_rows_put(store, DA_KV_ROOT, da_key_slice(&key), da_buf_slice(&store->record));
  if (status == DA_OK) store->counters.anchors++;
  return status;
}

int da_root_give(da_store *store, da_slice text, uint64_t *number, bool *owned)
{
  if (owned != NULL) *owned = false;
  int there = da_root_find(store, text, number);
  if (there != 0) return there < 0 ? there : DA_OK;
  uint8_t bytes[DA_VARINT_MAX];
  *number = store->counters.next_root;
  size_t len = da_varint_put(bytes, *number);
  int status = da_rows_put(store, DA_KV_IDS, text, da_slice_make((const char *)bytes, len));
  if (status != DA_OK) return status;
  store->counters.next_root++;
  (void)remember(store->roots, text, da_hash64(text), *number);
  if (owned == NULL) return put_anchor(store, text, *number);
  *owned = true;
  return DA_OK;
}

int da_root_text(da_store *store, uint64_t number, da_slice *text)
{
  const entry *known = &store->roots->entries[store->roots->by_number[number & (ENTRIES - 1)]];
  if (known->number == number && number != 0) {
    *text = da_slice_make(known->text, known->len);
    return 1;
  }
  da_key key;
  da_slice value;
  da_promise_head head = {0};
  da_key_id(&key, number, DA_NONE, store->seed);
  int there = da_rows_get(store, DA_KV_ROOT, da_key_slice(&key), &value);
  if (there < 0) return there;
  if (there == 0)
    return da_store_fail(store, DA_ECORRUPT, "root number %llu is used by rows but has no row of its own",
                         (unsigned long long)number);
  da_status status = da_codec_promise_head(value, &head);
  if (status == DA_OK && head.text.len == 0) status = DA_ECORRUPT;
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_ROOT, da_key_slice(&key), status);
  known = remember(store->roots, head.text, da_hash64(head.text), number);
  *text = da_slice_make(known->text, known->len);
  return 1;
}
