/* search.c - all promises, or all tasks, in the byte order of their ids.
 *
 * The order of the tables is not that order. Roots are walked by text (`ids`), but between `wf` and its children
 * `wf:...` lie the roots `wf-2`, `wf.x`, `wf 3`, everything that goes on with a byte below ':'. So a root whose
 * children are still to come waits on a stack until the walk has passed them: each root on it begins the next, and the
 * text of the last one holds all. And ids too long to be keyed whole lie in the order of their hashes: those that share
 * a beginning are gathered and sorted, a bounded number at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "subtree.h"

enum { GROUP_MAX = 1024 }; /* long ids sorted at a time: 1 MiB of text at most; more only mean more passes */

typedef struct waiting {
  uint64_t root;
  size_t len; /* of its text, the beginning of search.text */
} waiting;

/* A scan visits whole promises; a walk (view.h) promises without their long values, or tasks, and not for ever. */
typedef struct search {
  da_store *store;
  da_arena *arena;
  da_store_visit *visit;
  void *user;
  da_walk *walk; /* NULL: a scan */
  bool tasks;    /* a walk over them */
  bool stopped;
  size_t last_bytes; /* of the row visit_key() read */
  da_slice prefix;   /* only this id and what lies below it; empty: all */
  da_slice after;    /* only ids behind this one; empty: all */
  waiting stack[DA_ID_ROOT_MAX + 1];
  size_t depth;
  size_t reading; /* of text: the root whose rows are being read */
  char text[DA_ID_ROOT_MAX];
} search;

/* What a row that could not be read comes to: 1 if it was told and is passed over. */
static int pass_over_of(const search *s, da_slice root, int status)
{
  if (status != DA_ECORRUPT && status != DA_EVERSION) return status;
  if (s->walk != NULL) {
    s->store->skipped = s->store->fault;
    return 1;
  }
  if (s->store->on_damaged == NULL) return status;
  s->store->on_damaged(s->store->on_damaged_user, root, s->store->fault.text);
  return 1;
}

static int pass_over(const search *s, int status)
{
  return pass_over_of(s, s->prefix.len > 0 ? da_id_root(s->prefix) : da_slice_make(s->text, s->reading), status);
}

/* The table of what lies below roots, and that of the roots themselves. */
static da_kv_table table_of(const search *s, bool roots)
{
  if (s->tasks) return DA_KV_TASK;
  return roots ? DA_KV_ROOT : DA_KV_PROM;
}

/* Of a task: its key, and in the place of the head the text of a long id. */
static int open_task(da_store *store, da_slice key, da_slice value, da_arena *arena, da_prom_row *out, da_task *task)
{
  *out = (da_prom_row){.key = key, .value = value};
  if (!da_key_id_get(key, &out->id)) return da_store_bad_row(store, DA_KV_TASK, key, DA_ECORRUPT);
  da_status status = da_codec_task_get(value, arena, task, &out->head.text);
  return status == DA_OK ? 1 : da_store_bad_row(store, DA_KV_TASK, key, status);
}

static int open_row(search *s, da_slice key, da_slice value, da_prom_row *out)
{
  da_task task;
  return s->tasks ? open_task(s->store, key, value, s->arena, out, &task) : da_prom_row_open(s->store, key, value, out);
}

/* The walk goes on behind this row of the root that is being read. */
static void pause_at(search *s, da_slice rest)
{
  da_slice parts[2] = {da_slice_make(s->text, s->reading), rest};
  s->walk->after = da_arena_join(s->walk->arena, parts, 2);
  s->stopped = true;
}

/* One more row was looked at; a long one counts as many as it has pages. */
static void count_row(search *s, da_slice rest, size_t bytes)
{
  size_t rows = 1 + bytes / DA_BLOB_PIECE;
  if (s->walk == NULL || s->stopped) return;
  s->walk->rows -= rows < s->walk->rows ? rows : s->walk->rows;
  if (s->walk->rows == 0) pause_at(s, rest);
}

static int show_task(search *s, const da_prom_row *row, da_slice id)
{
  da_task task;
  da_prom_row again;
  int status = open_task(s->store, row->key, da_arena_dup(s->arena, row->value), s->arena, &again, &task);
  if (status < 0) return pass_over(s, status);
  task.id = id;
  if (s->walk->task(s->walk->user, &task)) return 1;
  pause_at(s, da_id_rest(id));
  return 1;
}

static int show_promise(search *s, const da_prom_row *row, da_slice id)
{
  da_promise promise;
  int status = da_prom_row_load_head(s->store, row, id, s->arena, &promise);
  if (status < 0) return pass_over(s, status);
  if (s->walk->promise(s->walk->user, &promise)) return 1;
  pause_at(s, da_id_rest(id));
  return 1;
}

static int row_id(search *s, const da_prom_row *row, da_slice *id)
{
  return s->tasks ? da_id_of_key(s->store, &row->id, row->head.text, s->arena, id)
                  : da_prom_row_id(s->store, row, s->arena, id);
}

static int visit_row(search *s, const da_prom_row *row)
{
  da_slice id;
  if (row->head.anchor) return 1;
  int status = row_id(s, row, &id);
  if (status < 0) return pass_over(s, status);
  if (s->after.len != 0 && da_slice_cmp(id, s->after) <= 0) return 1;
  if (s->walk != NULL) return s->tasks ? show_task(s, row, id) : show_promise(s, row, id);
  da_promise *promise = da_arena_alloc(s->arena, sizeof *promise);
  status = da_prom_row_load(s->store, row, id, s->arena, promise);
  if (status < 0) return pass_over(s, status);
  if (!s->visit(s->user, promise)) s->stopped = true;
  return 1;
}

static int visit_key(search *s, da_kv_table table, da_slice key)
{
  da_prom_row row;
  da_slice value;
  if (s->walk != NULL) da_arena_reset(s->arena);
  s->last_bytes = 0;
  int there = da_rows_get(s->store, table, key, &value);
  if (there <= 0) return there;
  s->last_bytes = value.len;
  there = open_row(s, key, value, &row);
  return there < 0 ? pass_over(s, there) : visit_row(s, &row);
}

/* ---- rests that share the head of a long one ----------------------------------------------------------- */

typedef struct gathered {
  da_slice rest; /* in the group's arena, as key */
  da_slice key;
} gathered;

typedef struct group {
  gathered items[GROUP_MAX * 2];
  size_t count;
  bool cut; /* more than fitted: only the least GROUP_MAX were kept */
} group;

static int compare_rests(const void *a, const void *b)
{
  const gathered *x = a;
  const gathered *y = b;
  return da_slice_cmp(x->rest, y->rest);
}

static void sort_group(group *g)
{
  qsort(g->items, g->count, sizeof g->items[0], compare_rests);
  if (g->count <= GROUP_MAX) return;
  g->count = GROUP_MAX;
  g->cut = true;
}

/* Collects the least rests behind `bound` (empty: from the start) among the rows behind the head. */
static int gather(search *s, const da_key *head, da_slice bound, const da_subtree *tree, da_arena *temp, group *g)
{
  da_slice key;
  da_slice value;
  da_key from = *head;
  g->count = 0;
  g->cut = false;
  da_key_add_byte(&from, 0);
  da_kv_table table = table_of(s, false);
  int there = da_rows_seek(s->store, table, da_key_slice(&from), &key, &value);
  while (there > 0 && da_slice_starts(key, da_key_slice(head))) {
    da_prom_row row;
    if (s->walk != NULL) da_arena_reset(s->arena);
    int opened = open_row(s, key, value, &row);
    if (opened < 0) {
      if (pass_over(s, opened) < 0) return opened;
      there = da_rows_next(s->store, table, &key, &value);
      continue;
    }
    da_slice rest = da_prom_row_rest(&row);
    bool wanted = (bound.len == 0 || da_slice_cmp(rest, bound) > 0) && (tree == NULL || da_subtree_holds(tree, &row));
    if (wanted && g->cut) wanted = da_slice_cmp(rest, g->items[GROUP_MAX - 1].rest) < 0;
    if (wanted) g->items[g->count++] = (gathered){da_arena_dup(temp, rest), da_arena_dup(temp, key)};
    if (g->count == (size_t)GROUP_MAX * 2) sort_group(g);
    there = da_rows_next(s->store, table, &key, &value);
  }
  sort_group(g);
  return there < 0 ? there : 1;
}

/* Visits every row that begins with head (root | 128 bytes) and goes on, in order. */
static int visit_group(search *s, const da_key *head, const da_subtree *tree, bool resume)
{
  group *g = da_xmalloc(sizeof *g);
  da_buf bound = {0};
  da_arena temp = {0};
  int status = 1;
  if (resume) da_buf_add_slice(&bound, da_id_rest(s->after));
  do {
    da_arena_reset(&temp);
    status = gather(s, head, da_buf_slice(&bound), tree, &temp, g);
    for (size_t i = 0; i < g->count && status > 0 && !s->stopped; i++) {
      status = visit_key(s, table_of(s, false), g->items[i].key);
      count_row(s, g->items[i].rest, s->last_bytes);
      if (i + 1 < g->count) continue;
      da_buf_clear(&bound);
      da_buf_add_slice(&bound, g->items[i].rest);
    }
  } while (status > 0 && g->cut && !s->stopped);
  da_arena_free(&temp);
  da_buf_free(&bound);
  free(g);
  return status;
}

/* ---- rests of one root --------------------------------------------------------------------------------- */

/* Where to begin in a range: at its prefix, or about where s->after lies; false if that is behind the range. */
static bool start_of(const search *s, uint64_t root, da_slice prefix, bool resume, da_key *from)
{
  from->len = 0;
  da_key_add(from, prefix.ptr, prefix.len);
  if (!resume) return true;
  da_slice rest = da_id_rest(s->after);
  da_key after = {0};
  da_key_add_number(&after, root);
  da_key_add(&after, rest.ptr, rest.len < DA_ID_REST_KEY_HEAD ? rest.len : DA_ID_REST_KEY_HEAD);
  if (da_slice_cmp(da_key_slice(&after), prefix) <= 0) return true;
  if (!da_slice_starts(da_key_slice(&after), prefix)) return false;
  *from = after;
  return true;
}

static int visit_range(search *s, uint64_t root, da_slice prefix, bool resume)
{
  da_slice key;
  da_slice value;
  da_key from;
  da_kv_table table = table_of(s, false);
  if (!start_of(s, root, prefix, resume, &from)) return 1;
  int there = da_rows_seek(s->store, table, da_key_slice(&from), &key, &value);
  while (there > 0 && !s->stopped && da_slice_starts(key, prefix)) {
    da_prom_row row;
    if (s->walk != NULL) da_arena_reset(s->arena);
    int status = open_row(s, key, value, &row);
    if (status < 0) {
      if (pass_over(s, status) < 0) return status;
      there = da_rows_next(s->store, table, &key, &value);
      continue;
    }
    if (!row.id.is_long) {
      char rest[DA_ID_REST_KEY_MAX]; /* the row dies with the visit */
      size_t bytes = value.len;
      da_slice kept = da_slice_make(rest, row.id.rest.len);
      memcpy(rest, row.id.rest.ptr, kept.len);
      status = visit_row(s, &row);
      if (status < 0) return status;
      bool behind = !resume || da_slice_cmp(kept, da_id_rest(s->after)) > 0; /* else it would go no further */
      if (behind) count_row(s, kept, bytes);
      there = da_rows_next(s->store, table, &key, &value);
      continue;
    }
    da_key head = {0};
    da_key_add_number(&head, root);
    da_key_add(&head, row.id.rest.ptr, DA_ID_REST_KEY_HEAD);
    status = visit_group(s, &head, NULL, resume);
    if (status < 0 || !da_key_after_prefix(&head)) return status;
    there = da_rows_seek(s->store, table, da_key_slice(&head), &key, &value);
  }
  return there < 0 ? there : 1;
}

/* The ids of one root below `rest` (empty: all but the root itself). */
static int visit_below(search *s, uint64_t root, da_slice rest, bool resume)
{
  da_subtree tree;
  int status = 1;
  da_subtree_make(&tree, root, rest);
  if (tree.filter) return visit_group(s, &tree.ranges[0], &tree, resume);
  for (size_t i = 0; i < tree.count && status > 0 && !s->stopped; i++) {
    da_slice prefix = da_key_slice(&tree.ranges[i]);
    status = visit_range(s, root, prefix, resume);
  }
  return status;
}

/* ---- the walk over roots ------------------------------------------------------------------------------- */

static bool root_wanted(const search *s, da_slice root)
{
  if (s->prefix.len == 0 || da_slice_eq(root, s->prefix)) return true;
  return root.len > s->prefix.len && da_slice_starts(root, s->prefix) && root.ptr[s->prefix.len] == '.';
}

static void push(search *s, da_slice text, uint64_t root)
{
  memcpy(s->text, text.ptr, text.len);
  s->reading = text.len;
  s->stack[s->depth++] = (waiting){root, text.len};
}

/* The children of the last waiting root. */
static int pop(search *s)
{
  waiting w = s->stack[--s->depth];
  s->reading = w.len;
  bool resume = s->after.len > w.len && da_slice_eq(da_id_root(s->after), da_slice_make(s->text, w.len));
  return visit_below(s, w.root, DA_NONE, resume);
}

/* Do the children of the last waiting root come before this root? */
static bool passed(const search *s, da_slice root)
{
  size_t len = s->stack[s->depth - 1].len;
  return !da_slice_starts(root, da_slice_make(s->text, len)) || (root.len > len && (uint8_t)root.ptr[len] > ':');
}

static int visit_root(search *s, uint64_t root)
{
  da_key key;
  da_key_id(&key, root, DA_NONE, s->store->seed);
  int status = visit_key(s, table_of(s, true), da_key_slice(&key));
  count_row(s, DA_NONE, s->last_bytes);
  return status < 0 ? status : 1;
}

/* The roots whose own turn lies before s->after, but not that of all their children. */
static int push_open_roots(search *s)
{
  da_slice root = da_id_root(s->after);
  for (size_t len = 1; len <= root.len && len <= DA_ID_ROOT_MAX; len++) {
    uint64_t number;
    da_slice text = da_slice_make(s->after.ptr, len);
    if (len < s->after.len && (uint8_t)s->after.ptr[len] > ':') continue;
    if (!root_wanted(s, text)) continue;
    int there = da_root_find(s->store, text, &number);
    if (there < 0) return there;
    if (there > 0) push(s, text, number);
  }
  return 1;
}

/* The prefix itself, unless s->after has passed it. */
static int visit_prefix(search *s)
{
  uint64_t number;
  if (s->prefix.len == 0 || da_slice_cmp(s->after, s->prefix) >= 0) return 1;
  int there = da_root_find(s->store, s->prefix, &number);
  if (there <= 0) return there < 0 ? there : 1;
  push(s, s->prefix, number);
  return visit_root(s, number);
}

/* One root of the walk, and before it the children that come before it. */
static int visit_next_root(search *s, da_slice text)
{
  uint64_t number;
  int status = 1;
  while (s->depth > 0 && passed(s, text)) {
    status = pop(s);
    if (status < 0 || s->stopped) return status;
  }
  status = da_root_find(s->store, text, &number);
  if (status <= 0) return status < 0 ? pass_over_of(s, text, status) : status;
  push(s, text, number);
  return visit_root(s, number);
}

static int visit_roots(search *s)
{
  da_slice text;
  da_slice value;
  da_key begin = {0}; /* of the roots to walk over */
  da_key_add(&begin, s->prefix.ptr, s->prefix.len);
  if (s->prefix.len != 0) da_key_add_byte(&begin, '.');
  int status = push_open_roots(s);
  if (status > 0) status = visit_prefix(s);
  if (status < 0) return status;
  da_slice from = da_slice_cmp(s->after, da_key_slice(&begin)) > 0 ? s->after : da_key_slice(&begin);
  if (from.len == 0) from = DA_LIT("\x01"); /* no key is empty */
  if (from.len > DA_KEY_MAX) from.len = DA_KEY_MAX;
  int there = da_rows_seek(s->store, DA_KV_IDS, from, &text, &value);
  if (there > 0 && da_slice_eq(text, s->after)) there = da_rows_next(s->store, DA_KV_IDS, &text, &value);
  while (there > 0 && status >= 0 && !s->stopped && da_slice_starts(text, da_key_slice(&begin))) {
    status = visit_next_root(s, text);
    if (status >= 0 && !s->stopped) there = da_rows_next(s->store, DA_KV_IDS, &text, &value);
  }
  if (there < 0) return there;
  while (s->depth > 0 && status >= 0 && !s->stopped) status = pop(s);
  return status;
}

/* Below an id that has a rest there is one root, and no stack. */
static int visit_descendants(search *s)
{
  uint64_t root;
  da_key key;
  da_slice rest = da_id_rest(s->prefix);
  if (da_slice_cmp(s->after, s->prefix) > 0 && !da_slice_starts(s->after, s->prefix)) return 1; /* all passed */
  int there = da_root_find(s->store, da_id_root(s->prefix), &root);
  if (there <= 0) return there;
  da_key_id(&key, root, rest, s->store->seed);
  there = visit_key(s, DA_KV_PROM, da_key_slice(&key));
  if (there < 0 || s->stopped) return there;
  return visit_below(s, root, rest, da_slice_eq(da_id_root(s->after), da_id_root(s->prefix)));
}

da_status da_store_scan_ids(da_store *store, da_slice prefix, da_slice after, da_arena *arena, da_store_visit *visit,
                            void *user, da_err *err)
{
  da_visit inside;
  da_status status = da_store_enter(store, &inside, err);
  if (status != DA_OK) return status;
  search s = {.store = store, .arena = arena, .visit = visit, .user = user, .prefix = prefix, .after = after};
  int done = 1;
  if (prefix.len == 0 || da_id_fault(prefix) == NULL)
    done = da_id_rest(prefix).len != 0 ? visit_descendants(&s) : visit_roots(&s);
  da_store_leave(store, &inside);
  return done < 0 ? da_store_words_to(store, done, err) : DA_OK;
}

int da_store_walk(da_view *view, da_walk *walk)
{
  da_arena temp = {0};
  search s = {
      .store = (da_store *)view, .arena = &temp, .walk = walk, .tasks = walk->task != NULL, .after = walk->after};
  walk->temp = &temp;
  int done = visit_roots(&s);
  walk->temp = NULL;
  da_arena_free(&temp);
  if (done < 0) return done;
  return s.stopped;
}
