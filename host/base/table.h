/* table.h - a hash table from byte strings to pointers.
 *
 * Keys are borrowed: the caller keeps them alive and unchanged while they are in the table (they usually live in
 * the value). Open addressing; not for threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_TABLE_H
#define DA_BASE_TABLE_H

#include "bytes.h"

typedef struct da_table_entry {
  da_slice key; /* borrowed */
  void *value;  /* borrowed; NULL marks a removed or free entry */
  uint64_t hash;
  bool used; /* ever used: a probe goes on */
} da_table_entry;

typedef struct da_table {
  da_table_entry *entries; /* owned */
  size_t cap;              /* a power of two, or 0 */
  size_t count;            /* live entries */
  size_t filled;           /* live and removed entries */
} da_table;                /* {0} is an empty table */

void *da_table_get(const da_table *table, da_slice key); /* NULL if absent */
/* Sets, replacing value and key. value must not be NULL. Returns the value replaced, or NULL. */
void *da_table_put(da_table *table, da_slice key, void *value);
void *da_table_remove(da_table *table, da_slice key); /* the value removed, or NULL */
/* Iteration: for (size_t i = 0; da_table_next(t, &i, &v);) ... ; removing the current entry is allowed. */
bool da_table_next(const da_table *table, size_t *at, void **value);
void da_table_free(da_table *table);

#endif
