/* tail.c - what an execution recorded behind its image, without reading what lies before it.
 *
 * Keys are the texts of ids, so the numbers of one name lie in no order of time: `charge.10` comes before `charge.9`.
 * But calls of a name are numbered in the order in which they are made. So, name by name: one that the image has not
 * counted is new as a whole; of one that it has, the numbers behind its count are looked up, as many as calls can have
 * been made since (image.c), for a branch that is under way has no record though its calls have. Names are found by
 * jumping from one to the next. What has a key in place of a number (`charge=x`) is known or new by its id.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "subtree.h"

typedef struct tail_scan {
  da_store *store;
  const da_tail *tail;
  const da_tail_scope *scope;
  uint64_t root;
  da_subtree tree; /* of the scope */
  da_pass pass;
  size_t skip; /* bytes of a rest before the names of the scope */
} tail_scan;

static bool is_separator(char c)
{
  return c == '.' || c == ':';
}

/* The length of the first part of an id below the scope, "charge.3" or "charge=x" of a longer one; *name: of its name;
 * *number: of a numbered one, else 0. */
static size_t first_part(da_slice below, size_t *name, uint64_t *number)
{
  size_t at = 0;
  *number = 0;
  while (at < below.len && !is_separator(below.ptr[at]) && below.ptr[at] != '=') at++;
  *name = at;
  if (at == below.len) return at;
  bool numbered = below.ptr[at] == '.';
  for (at++; at < below.len && !is_separator(below.ptr[at]); at++)
    if (numbered) {
      if (below.ptr[at] < '0' || below.ptr[at] > '9' || *number > UINT64_MAX / 100) {
        *number = 0; /* made from outside under an id of this kind */
        return *name;
      }
      *number = *number * 10 + (uint64_t)(below.ptr[at] - '0');
    }
  return at;
}

static const da_tail_name *find_name(const da_tail_scope *scope, da_slice name)
{
  for (size_t i = 0; i < scope->name_count; i++)
    if (da_slice_eq(scope->names[i].name, name)) return &scope->names[i];
  return NULL;
}

/* Does the image know the call whose id is the scope's with rest[0, len) behind it? */
static bool is_known(const tail_scan *scan, da_slice below, size_t len)
{
  char id[DA_ID_ROOT_MAX + DA_ID_REST_MAX + 2];
  size_t head = scan->scope->id.len;
  if (head + 1 + len > sizeof id) return false;
  memcpy(id, scan->scope->id.ptr, head);
  id[head] = da_id_separator(scan->scope->id);
  memcpy(id + head + 1, below.ptr, len);
  return da_table_get(scan->tail->known, da_slice_make(id, head + 1 + len)) != NULL;
}

/* `name.number` of the scope, and what lies below it. */
static int scan_number(tail_scan *scan, da_slice name, uint64_t number)
{
  char digits[24];
  da_key prefix = {0};
  da_slice key, value;
  da_prom_row row;
  int len = snprintf(digits, sizeof digits, ".%llu", (unsigned long long)number);
  da_key_add_number(&prefix, scan->root);
  da_slice rest = scan->pass.tree->rest;
  da_key_add(&prefix, rest.ptr, rest.len);
  da_key_add_byte(&prefix, (uint8_t)da_id_separator(scan->scope->id));
  da_key_add(&prefix, name.ptr, name.len);
  da_key_add(&prefix, digits, (size_t)len);
  da_slice own = da_key_slice(&prefix);
  scan->pass.depth = 0;
  int there = da_rows_seek(scan->store, DA_KV_PROM, own, &key, &value);
  while (there > 0 && !scan->pass.stopped && da_slice_starts(key, own)) {
    if (key.len > own.len && !is_separator(key.ptr[own.len])) { /* name.7-x, made from outside, lies before name.7.x */
      if (key.ptr[own.len] > '.') break;
      there = da_rows_next(scan->store, DA_KV_PROM, &key, &value);
      continue;
    }
    int status = da_prom_row_open(scan->store, key, value, &row);
    if (status < 0) return status;
    there = da_pass_step(&scan->pass, true, &row, &key, &value);
  }
  return there < 0 ? there : 1;
}

static int scan_numbers(tail_scan *scan, const da_tail_name *name)
{
  int there = 1;
  for (uint64_t i = 1; i <= scan->tail->calls && there >= 0 && !scan->pass.stopped; i++)
    there = scan_number(scan, name->name, name->count + i);
  return there;
}

/* Steps behind the scope's ids that begin with below[0, len) and the separator, or, of a name, with a dot. */
static int skip_part(tail_scan *scan, da_slice rest, size_t len, da_slice *key, da_slice *value)
{
  return da_pass_jump(&scan->pass, rest, scan->skip + len, key, value);
}

/* One row below the scope; steps on. */
static int scan_row(tail_scan *scan, const da_prom_row *row, da_slice *key, da_slice *value)
{
  da_slice rest = da_prom_row_rest(row);
  da_slice below = da_slice_make(rest.ptr + scan->skip, rest.len - scan->skip);
  size_t name_len;
  uint64_t number;
  size_t len = first_part(below, &name_len, &number);
  const da_tail_name *name = number > 0 ? find_name(scan->scope, da_slice_make(below.ptr, name_len)) : NULL;
  if (name != NULL && scan->skip + name_len + 1 < DA_ID_REST_KEY_HEAD) { /* else no image knows it */
    char kept[DA_ID_REST_KEY_MAX]; /* the lookups move what the row is borrowed from */
    memcpy(kept, rest.ptr, scan->skip + name_len + 1);
    int status = scan_numbers(scan, name);
    scan->pass.depth = 0;
    return status < 0 ? status : skip_part(scan, da_slice_make(kept, scan->skip + name_len + 1), name_len, key, value);
  }
  bool known = number == 0 && is_known(scan, below, len);
  if (known && len < below.len && !row->id.is_long) return skip_part(scan, rest, len, key, value);
  return da_pass_step(&scan->pass, !known, row, key, value);
}

static int scan_scope(tail_scan *scan)
{
  da_key prefix = {0};
  da_slice key, value;
  da_prom_row row;
  da_slice rest = da_id_rest(scan->scope->id);
  da_subtree_make(&scan->tree, scan->root, rest);
  da_key_add_number(&prefix, scan->root);
  da_key_add(&prefix, rest.ptr, rest.len);
  da_key_add_byte(&prefix, (uint8_t)da_id_separator(scan->scope->id));
  scan->pass.tree = &scan->tree;
  scan->pass.depth = 0;
  scan->skip = rest.len + 1;
  int there = da_rows_seek(scan->store, DA_KV_PROM, da_key_slice(&prefix), &key, &value);
  while (there > 0 && !scan->pass.stopped && da_slice_starts(key, da_key_slice(&prefix))) {
    int status = da_prom_row_open(scan->store, key, value, &row);
    if (status < 0) return status;
    there = scan_row(scan, &row, &key, &value);
  }
  return there < 0 ? there : 1;
}

static int scan_tail(da_store *store, const da_tail *tail, da_arena *arena, da_store_visit *visit, void *user)
{
  tail_scan scan = {.store = store, .tail = tail};
  scan.pass = (da_pass){.store = store, .arena = arena, .visit = visit, .user = user};
  int there = da_root_find(store, da_id_root(tail->scopes[0].id), &scan.root);
  for (size_t i = 0; i < tail->scope_count && there > 0 && !scan.pass.stopped; i++) {
    scan.scope = &tail->scopes[i];
    DA_ASSERT(da_id_rest(scan.scope->id).len < DA_ID_REST_KEY_HEAD);
    there = scan_scope(&scan);
    scan.pass.tree = NULL; /* it lay in there */
  }
  return there;
}

da_status da_store_scan_tail(da_store *store, const da_tail *tail, da_arena *arena, da_store_visit *visit, void *user,
                             da_err *err)
{
  DA_ASSERT(store->open && tail->scope_count > 0);
  int done = scan_tail(store, tail, arena, visit, user);
  return done < 0 ? da_store_words_to(store, done, err) : DA_OK;
}
