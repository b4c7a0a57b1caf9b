/* table.c - a hash table from byte strings to pointers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdlib.h>

#include "hash.h"

/* The entry that holds key, else NULL. */
static da_table_entry *find(const da_table *table, da_slice key, uint64_t hash)
{
  if (table->cap == 0) return NULL;
  for (size_t i = hash & (table->cap - 1);; i = (i + 1) & (table->cap - 1)) {
    da_table_entry *e = &table->entries[i];
    if (!e->used) return NULL;
    if (e->value != NULL && e->hash == hash && da_slice_eq(e->key, key)) return e;
  }
}

static void place(da_table *table, da_slice key, void *value, uint64_t hash)
{
  size_t i = hash & (table->cap - 1);
  while (table->entries[i].value != NULL) i = (i + 1) & (table->cap - 1);
  if (!table->entries[i].used) table->filled++;
  table->entries[i] = (da_table_entry){key, value, hash, true};
  table->count++;
}

static void grow(da_table *table)
{
  da_table old = *table;
  size_t cap = 16;
  while (cap < (old.count + 1) * 2) cap *= 2;
  *table = (da_table){.entries = da_xcalloc(cap, sizeof *old.entries), .cap = cap};
  for (size_t i = 0; i < old.cap; i++)
    if (old.entries[i].value != NULL) place(table, old.entries[i].key, old.entries[i].value, old.entries[i].hash);
  free(old.entries);
}

void *da_table_get(const da_table *table, da_slice key)
{
  da_table_entry *e = find(table, key, da_hash64(key));
  return e != NULL ? e->value : NULL;
}

void *da_table_put(da_table *table, da_slice key, void *value)
{
  DA_ASSERT(value != NULL);
  uint64_t hash = da_hash64(key);
  da_table_entry *e = find(table, key, hash);
  if (e != NULL) {
    void *old = e->value;
    e->value = value;
    e->key = key;
    return old;
  }
  if ((table->filled + 1) * 4 > table->cap * 3) grow(table);
  place(table, key, value, hash);
  return NULL;
}

void *da_table_remove(da_table *table, da_slice key)
{
  da_table_entry *e = find(table, key, da_hash64(key));
  if (e == NULL) return NULL;
  void *old = e->value;
  e->value = NULL;
  table->count--;
  return old;
}

bool da_table_next(const da_table *table, size_t *at, void **value)
{
  while (*at < table->cap) {
    *value = table->entries[(*at)++].value;
    if (*value != NULL) return true;
  }
  return false;
}

void da_table_free(da_table *table)
{
  free(table->entries);
  *table = (da_table){0};
}
