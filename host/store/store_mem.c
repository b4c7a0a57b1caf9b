/* store_mem.c - the ordered maps in memory: a skip list per table, and a log that takes a transaction back.
 *
 * For specs and for a runtime that keeps nothing. Same keys, same records, same answers as on disk.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "kv.h"

enum { LEVELS = 20 }; /* a million rows at one in two */

typedef struct bytes {
  size_t len;
  char data[];
} bytes;

typedef struct node {
  bytes *key;   /* owned, as is value */
  bytes *value; /* NULL in a list's head */
  int levels;
  struct node *next[];
} node;

typedef enum change { INSERTED, REPLACED, DELETED } change;

typedef struct undo {
  change what;
  da_kv_table table;
  node *at;     /* owned if DELETED */
  bytes *value; /* REPLACED: the one before; owned */
} undo;

typedef struct list {
  node *head;
  node *cursor;
  uint64_t rows;
} list;

typedef struct memory {
  da_kv kv;
  list lists[DA_KV_TABLES];
  undo *log;
  size_t log_len;
  size_t log_cap;
  uint64_t dice;
} memory;

static memory *memory_of(da_kv *kv)
{
  return (memory *)kv;
}

static bytes *bytes_of(da_slice s)
{
  bytes *b = da_xmalloc(sizeof *b + s.len);
  b->len = s.len;
  if (s.len != 0) memcpy(b->data, s.ptr, s.len);
  return b;
}

static da_slice slice_of(const bytes *b)
{
  return da_slice_make(b->data, b->len);
}

/* ---- lists --------------------------------------------------------------------------------------------- */

static node *node_new(bytes *key, bytes *value, int levels)
{
  node *n = da_xcalloc(1, sizeof *n + (size_t)levels * sizeof n->next[0]);
  n->key = key;
  n->value = value;
  n->levels = levels;
  return n;
}

static void node_delete(node *n)
{
  free(n->key);
  free(n->value);
  free(n);
}

/* One level more for every heads; the same in every run, so that a run can be repeated. */
static int throw_levels(memory *m)
{
  m->dice ^= m->dice << 13;
  m->dice ^= m->dice >> 7;
  m->dice ^= m->dice << 17;
  int levels = 1;
  for (uint64_t d = m->dice >> 16; (d & 1) != 0 && levels < LEVELS; d >>= 1) levels++;
  return levels;
}

/* The first node at or behind key; before[] becomes the last node before it on each level. */
static node *find(list *l, da_slice key, node *before[LEVELS])
{
  node *n = l->head;
  for (int level = LEVELS - 1; level >= 0; level--) {
    while (n->next[level] != NULL && da_slice_cmp(slice_of(n->next[level]->key), key) < 0) n = n->next[level];
    before[level] = n;
  }
  return n->next[0];
}

static bool is_key(const node *n, da_slice key)
{
  return n != NULL && da_slice_eq(slice_of(n->key), key);
}

static void link_node(list *l, node *n)
{
  node *before[LEVELS];
  (void)find(l, slice_of(n->key), before);
  for (int level = 0; level < n->levels; level++) {
    n->next[level] = before[level]->next[level];
    before[level]->next[level] = n;
  }
  l->rows++;
}

static void unlink_node(list *l, node *n)
{
  node *before[LEVELS];
  (void)find(l, slice_of(n->key), before);
  for (int level = 0; level < n->levels; level++) before[level]->next[level] = n->next[level];
  l->rows--;
}

static undo *log_add(memory *m, change what, da_kv_table table, node *at)
{
  if (m->log_len == m->log_cap) {
    m->log_cap = m->log_cap != 0 ? m->log_cap * 2 : 64;
    m->log = da_xrealloc(m->log, m->log_cap * sizeof *m->log);
  }
  undo *u = &m->log[m->log_len++];
  *u = (undo){.what = what, .table = table, .at = at};
  return u;
}

/* ---- transactions -------------------------------------------------------------------------------------- */

static da_status memory_begin(da_kv *kv, da_err *err)
{
  (void)err;
  memory_of(kv)->log_len = 0;
  return DA_OK;
}

static da_status memory_commit(da_kv *kv, da_err *err)
{
  memory *m = memory_of(kv);
  (void)err;
  for (size_t i = 0; i < m->log_len; i++) {
    if (m->log[i].what == DELETED) node_delete(m->log[i].at);
    if (m->log[i].what == REPLACED) free(m->log[i].value);
  }
  m->log_len = 0;
  return DA_OK;
}

static void take_back(memory *m, const undo *u)
{
  switch (u->what) {
  case INSERTED:
    unlink_node(&m->lists[u->table], u->at);
    node_delete(u->at);
    return;
  case REPLACED:
    free(u->at->value);
    u->at->value = u->value;
    return;
  case DELETED:
    link_node(&m->lists[u->table], u->at);
    return;
  }
}

static void memory_abort(da_kv *kv)
{
  memory *m = memory_of(kv);
  while (m->log_len > 0) take_back(m, &m->log[--m->log_len]);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static int memory_get(da_kv *kv, da_kv_table table, da_slice key, da_slice *value)
{
  node *before[LEVELS];
  node *n = find(&memory_of(kv)->lists[table], key, before);
  if (!is_key(n, key)) return 0;
  *value = slice_of(n->value);
  return 1;
}

static int show(list *l, node *n, da_slice *found, da_slice *value)
{
  l->cursor = n;
  if (n == NULL) return 0;
  *found = slice_of(n->key);
  *value = slice_of(n->value);
  return 1;
}

static int memory_seek(da_kv *kv, da_kv_table table, da_slice key, da_slice *found, da_slice *value)
{
  node *before[LEVELS];
  list *l = &memory_of(kv)->lists[table];
  return show(l, find(l, key, before), found, value);
}

static int memory_next(da_kv *kv, da_kv_table table, da_slice *found, da_slice *value)
{
  list *l = &memory_of(kv)->lists[table];
  return l->cursor == NULL ? 0 : show(l, l->cursor->next[0], found, value);
}

static int memory_insert(da_kv *kv, da_kv_table table, da_slice key, da_slice value, da_slice *old)
{
  memory *m = memory_of(kv);
  list *l = &m->lists[table];
  node *before[LEVELS];
  node *n = find(l, key, before);
  if (is_key(n, key)) {
    *old = slice_of(n->value);
    return 0;
  }
  n = node_new(bytes_of(key), bytes_of(value), throw_levels(m));
  link_node(l, n);
  (void)log_add(m, INSERTED, table, n);
  return 1;
}

static da_status memory_put(da_kv *kv, da_kv_table table, da_slice key, da_slice value)
{
  memory *m = memory_of(kv);
  da_slice old;
  node *before[LEVELS];
  if (memory_insert(kv, table, key, value, &old) == 1) return DA_OK;
  node *n = find(&m->lists[table], key, before);
  log_add(m, REPLACED, table, n)->value = n->value;
  n->value = bytes_of(value);
  return DA_OK;
}

static int memory_del(da_kv *kv, da_kv_table table, da_slice key)
{
  memory *m = memory_of(kv);
  list *l = &m->lists[table];
  node *before[LEVELS];
  node *n = find(l, key, before);
  if (!is_key(n, key)) return 0;
  unlink_node(l, n);
  if (l->cursor == n) l->cursor = NULL;
  (void)log_add(m, DELETED, table, n);
  return 1;
}

static int memory_count(da_kv *kv, da_kv_table table, uint64_t *rows)
{
  *rows = memory_of(kv)->lists[table].rows;
  return 1;
}

static uint64_t memory_file_bytes(da_kv *kv)
{
  (void)kv;
  return 0;
}

static da_status memory_backup(da_kv *kv, const char *path, da_err *err)
{
  (void)kv;
  return da_fail(err, DA_EINVAL, "cannot back up into %s: this store is in memory", path);
}

static const char *memory_words(da_kv *kv)
{
  (void)kv;
  return "out of memory";
}

static void memory_close(da_kv *kv)
{
  memory *m = memory_of(kv);
  memory_abort(kv);
  for (size_t i = 0; i < DA_KV_TABLES; i++) {
    node *n = m->lists[i].head;
    while (n != NULL) {
      node *next = n->next[0];
      node_delete(n);
      n = next;
    }
  }
  free(m->log);
  free(m);
}

static const da_kv_ops memory_ops = {
    .begin = memory_begin,
    .commit = memory_commit,
    .abort = memory_abort,
    .get = memory_get,
    .seek = memory_seek,
    .next = memory_next,
    .put = memory_put,
    .insert = memory_insert,
    .del = memory_del,
    .count = memory_count,
    .file_bytes = memory_file_bytes,
    .backup = memory_backup,
    .words = memory_words,
    .close = memory_close,
};

da_kv *da_kv_open_memory(void)
{
  memory *m = da_xcalloc(1, sizeof *m);
  m->kv.ops = &memory_ops;
  m->dice = UINT64_C(0x9e3779b97f4a7c15);
  for (size_t i = 0; i < DA_KV_TABLES; i++) m->lists[i].head = node_new(NULL, NULL, LEVELS);
  return &m->kv;
}
