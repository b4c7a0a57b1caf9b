/* subtree.c - what lies below an id: one by one for the engine, in one pass for a replay.
 * SPDX-License-Identifier: Apache-2.0 */
#include "subtree.h"

static void add_range(da_subtree *tree, da_slice begin, char separator)
{
  da_key *key = &tree->ranges[tree->count++];
  key->len = 0;
  da_key_add_number(key, tree->root);
  da_key_add(key, begin.ptr, begin.len);
  if (separator != '\0') da_key_add_byte(key, (uint8_t)separator);
}

void da_subtree_make(da_subtree *tree, uint64_t root, da_slice rest)
{
  tree->root = root;
  tree->rest = rest;
  tree->count = 0;
  tree->filter = rest.len >= DA_ID_REST_KEY_HEAD;
  if (tree->filter) {
    add_range(tree, da_slice_make(rest.ptr, DA_ID_REST_KEY_HEAD), '\0');
    return;
  }
  if (rest.len != 0) add_range(tree, rest, '.');
  add_range(tree, rest, ':'); /* every rest begins with it */
}

/* ---- one by one ---------------------------------------------------------------------------------------- */

/* The first promise with this key prefix, at `from` or (behind) strictly behind it. */
static int first_in(da_store *store, da_slice prefix, da_slice from, bool behind, const da_subtree *tree,
                    da_prom_row *row)
{
  da_slice key;
  da_slice value;
  int there = da_rows_seek(store, DA_KV_PROM, from, &key, &value);
  if (there > 0 && behind && da_slice_eq(key, from)) there = da_rows_next(store, DA_KV_PROM, &key, &value);
  while (there > 0) {
    if (!da_slice_starts(key, prefix)) return 0;
    int opened = da_prom_row_open(store, key, value, row);
    if (opened < 0) return opened;
    if (!row->head.anchor && (tree == NULL || da_subtree_holds(tree, row))) return 1;
    there = da_rows_next(store, DA_KV_PROM, &key, &value);
  }
  return there;
}

static int next_of_own_root(da_store *store, da_slice ancestor, uint64_t root, const da_key *after, da_prom_row *row)
{
  da_subtree tree;
  da_subtree_make(&tree, root, da_id_rest(ancestor));
  for (size_t i = 0; i < tree.count; i++) {
    da_slice prefix = da_key_slice(&tree.ranges[i]);
    da_slice from = prefix;
    bool behind = after != NULL && da_slice_cmp(da_key_slice(after), prefix) >= 0;
    if (behind) from = da_key_slice(after);
    int there = first_in(store, prefix, from, behind, &tree, row);
    if (there != 0) return there;
  }
  return 0;
}

/* The promise of a root itself, unless there is an anchor. */
static int open_root(da_store *store, uint64_t root, da_prom_row *row, da_key *key)
{
  da_slice value;
  da_key_id(key, root, DA_NONE, store->seed);
  int there = da_rows_get(store, DA_KV_ROOT, da_key_slice(key), &value);
  if (there > 0) there = da_prom_row_open(store, da_key_slice(key), value, row);
  return there > 0 && row->head.anchor ? 0 : there;
}

/* The number of the first root that `ancestor.` begins, behind the root `after` (empty: the very first). */
static int next_dot_root(da_store *store, da_slice ancestor, da_slice after, uint64_t *root)
{
  da_key prefix = {0};
  da_slice text;
  da_slice value;
  da_key_add(&prefix, ancestor.ptr, ancestor.len);
  da_key_add_byte(&prefix, '.');
  da_slice from = after.len != 0 ? after : da_key_slice(&prefix);
  int there = da_rows_seek(store, DA_KV_IDS, from, &text, &value);
  if (there > 0 && after.len != 0 && da_slice_eq(text, after)) there = da_rows_next(store, DA_KV_IDS, &text, &value);
  if (there <= 0) return there;
  if (!da_slice_starts(text, da_key_slice(&prefix))) return 0;
  return da_root_find(store, text, root);
}

static int next_of_dot_roots(da_store *store, da_slice ancestor, da_slice after_root, const da_key *after,
                             da_arena *arena, da_prom_row *row, da_key *row_key)
{
  uint64_t root = 0;
  da_slice text;
  int there = after != NULL ? da_root_find(store, after_root, &root) : 1;
  while (there > 0) {
    da_key prefix = {0};
    if (after != NULL) {
      da_key_add_number(&prefix, root);
      there = first_in(store, da_key_slice(&prefix), da_key_slice(after), true, NULL, row);
      if (there != 0) return there;
    }
    there = next_dot_root(store, ancestor, after_root, &root);
    if (there <= 0) return there;
    there = open_root(store, root, row, row_key);
    if (there != 0) return there;
    there = da_root_text(store, root, &text);
    if (there < 0) return there;
    after_root = da_arena_dup(arena, text);
    after = row_key; /* that of the root: its children come behind it */
  }
  return there;
}

int da_subtree_next(da_store *store, da_slice ancestor, da_slice after, da_arena *arena, da_prom_row *row, da_slice *id)
{
  uint64_t root;
  da_key after_key;
  da_key row_key; /* of a row that was not found by a seek */
  da_slice own = da_id_root(ancestor);
  bool behind = after.ptr != NULL;
  bool in_own = !behind || da_slice_eq(da_id_root(after), own);
  int there = 0;
  if (behind && (there = da_rows_id_key(store, after, &after_key)) <= 0) return there;
  if (in_own) {
    there = da_root_find(store, own, &root);
    if (there > 0) there = next_of_own_root(store, ancestor, root, behind ? &after_key : NULL, row);
  }
  if (there == 0 || !in_own) {
    if (da_id_rest(ancestor).len != 0) return 0;
    there = in_own ? next_of_dot_roots(store, ancestor, DA_NONE, NULL, arena, row, &row_key)
                   : next_of_dot_roots(store, ancestor, da_id_root(after), &after_key, arena, row, &row_key);
  }
  return there <= 0 ? there : da_prom_row_id(store, row, arena, id);
}

/* ---- in one pass --------------------------------------------------------------------------------------- */

static bool is_separator(char c)
{
  return c == '.' || c == ':';
}

/* The length of the shortest remembered rest that this one lies below, else 0. Forgets those it has passed. */
static size_t hidden_below(da_pass *p, da_slice rest)
{
  size_t common = 0;
  size_t top = p->depth > 0 ? p->lens[p->depth - 1] : 0;
  while (common < top && common < rest.len && p->last[common] == rest.ptr[common]) common++;
  while (p->depth > 0 && p->lens[p->depth - 1] > common) p->depth--;
  for (size_t i = 0; i < p->depth; i++)
    if (rest.len > p->lens[i] && is_separator(rest.ptr[p->lens[i]])) return p->lens[i];
  return 0;
}

static void remember_task(da_pass *p, da_slice rest)
{
  if (rest.len > DA_ID_REST_KEY_MAX) return; /* has_task_above() sees to those */
  memcpy(p->last, rest.ptr, rest.len);
  p->lens[p->depth++] = rest.len;
}

/* Does a promise between the ancestor and this long id have a task? Long ids come in the order of their hashes, so
 * that a parent may come after its children. */
static int has_task_above(da_pass *p, da_slice rest)
{
  for (size_t i = p->tree->rest.len + 1; i < rest.len; i++) {
    da_key key;
    da_slice value;
    if (!is_separator(rest.ptr[i])) continue;
    da_key_id(&key, p->tree->root, da_slice_make(rest.ptr, i), p->store->seed);
    int there = da_rows_get(p->store, DA_KV_TASK, da_key_slice(&key), &value);
    if (there != 0) return there;
  }
  return 0;
}

static bool has_own_task(const da_promise *promise)
{
  for (size_t i = 0; i < promise->tags.count; i++)
    if (da_slice_eq(promise->tags.items[i].key, DA_LIT("resonate:target"))) return true;
  return false;
}

static int visit_row(da_pass *p, const da_prom_row *row)
{
  da_slice id;
  int status = da_prom_row_id(p->store, row, p->arena, &id);
  if (status < 0) return status;
  da_promise *promise = da_arena_alloc(p->arena, sizeof *promise);
  status = da_prom_row_load(p->store, row, id, p->arena, promise);
  if (status < 0) return status;
  if (has_own_task(promise)) remember_task(p, da_prom_row_rest(row));
  if (!p->visit(p->user, promise)) p->stopped = true;
  return 1;
}

/* Where the keys do not tell it, the next row. */
int da_pass_jump(da_pass *p, da_slice rest, size_t len, da_slice *key, da_slice *value)
{
  da_key target = {0};
  if (len >= DA_ID_REST_KEY_HEAD) return da_rows_next(p->store, DA_KV_PROM, key, value);
  da_key_add_number(&target, p->tree->root);
  da_key_add(&target, rest.ptr, len + 1);
  if (!da_key_after_prefix(&target)) return 0;
  return da_rows_seek(p->store, DA_KV_PROM, da_key_slice(&target), key, value);
}

int da_pass_step(da_pass *p, bool wanted, const da_prom_row *row, da_slice *key, da_slice *value)
{
  da_slice rest = da_prom_row_rest(row);
  size_t len = hidden_below(p, rest);
  if (len != 0) return da_pass_jump(p, rest, len, key, value);
  int status = !wanted ? 1 : row->id.is_long ? has_task_above(p, rest) : 0;
  if (status == 0) status = visit_row(p, row);
  return status < 0 ? status : da_rows_next(p->store, DA_KV_PROM, key, value);
}

static int pass_range(da_pass *p, da_slice prefix)
{
  da_slice key;
  da_slice value;
  da_prom_row row;
  int there = da_rows_seek(p->store, DA_KV_PROM, prefix, &key, &value);
  while (there > 0 && !p->stopped && da_slice_starts(key, prefix)) {
    int status = da_prom_row_open(p->store, key, value, &row);
    if (status < 0) return status;
    there = da_pass_step(p, da_subtree_holds(p->tree, &row), &row, &key, &value);
  }
  return there < 0 ? there : 1;
}

static int pass_execution(da_store *store, da_slice ancestor, da_arena *arena, da_store_visit *visit, void *user)
{
  uint64_t root;
  da_subtree tree;
  int there = da_root_find(store, da_id_root(ancestor), &root);
  if (there <= 0) return there;
  da_subtree_make(&tree, root, da_id_rest(ancestor));
  da_pass p = {.store = store, .tree = &tree, .arena = arena, .visit = visit, .user = user};
  for (size_t i = 0; i < tree.count && there >= 0 && !p.stopped; i++)
    there = pass_range(&p, da_key_slice(&tree.ranges[i]));
  return there;
}

da_status da_store_scan_execution(da_store *store, da_slice ancestor, da_arena *arena, da_store_visit *visit,
                                  void *user, da_err *err)
{
  da_visit inside;
  if (da_id_fault(ancestor) != NULL) return da_fail(err, DA_EINVAL, "%s", da_id_fault(ancestor));
  da_status status = da_store_enter(store, &inside, err);
  if (status != DA_OK) return status;
  int done = pass_execution(store, ancestor, arena, visit, user);
  da_store_leave(store, &inside);
  return done < 0 ? da_store_words_to(store, done, err) : DA_OK;
}
