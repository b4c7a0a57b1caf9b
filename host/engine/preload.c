/* preload.c - the records a worker gets along with a task: those that share its branch.
 *
 * A hint that saves the worker reads; any part of it would do, so of a long branch it is a part: each step of a worker
 * asks for it anew. A worker that asks for a whole one, once for each claim, gets all records of what its execution
 * does itself, and is told so if nothing had to be left out. It shows the state behind the request at hand.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/id.h"
#include "../base/limits.h"
#include "handlers.h"

enum { RECORD_BYTES = 200 }; /* what an answer spends on a record besides its texts */

typedef struct collection {
  bool whole; /* is to be */
  da_promise *items;
  size_t count;
  size_t cap;
  size_t bytes; /* of their values; of all of them, if it is to be whole */
} collection;

static size_t pairs_bytes(da_map map)
{
  size_t bytes = 0;
  for (size_t i = 0; i < map.count; i++) bytes += map.items[i].key.len + map.items[i].value.len;
  return bytes;
}

static size_t record_bytes(const collection *all, const da_promise *promise)
{
  size_t bytes = promise->param.data.len + promise->value.data.len;
  if (!all->whole) return bytes;
  return bytes + pairs_bytes(promise->param.headers) + pairs_bytes(promise->value.headers) +
         pairs_bytes(promise->tags) + promise->id.len + RECORD_BYTES;
}

static void collect(da_change *c, collection *all, const da_promise *promise)
{
  if (all->count == all->cap) {
    all->cap = all->cap == 0 ? 16 : all->cap * 2;
    da_promise *bigger = da_arena_alloc(c->arena, all->cap * sizeof *bigger);
    if (all->count != 0) memcpy(bigger, all->items, all->count * sizeof *bigger);
    all->items = bigger;
  }
  all->items[all->count++] = da_rule_projected(promise, c->env->now_ms);
  all->bytes += record_bytes(all, promise);
}

static bool belongs(const da_promise *promise, da_slice branch, da_slice self)
{
  return da_rule_tag_is(promise->tags, DA_TAG_BRANCH, branch) && !da_slice_eq(promise->id, self);
}

/* What this apply has loaded or made; the rest is read from the store. */
static void collect_touched(da_change *c, collection *all, da_slice branch, da_slice self)
{
  for (da_entity *e = da_change_entities(c); e != NULL; e = e->next)
    if (e->exists && belongs(&e->promise, branch, self)) collect(c, all, da_change_show(c, e));
}

/* Is that all there is? One that is to be whole does not take a record that leads out of its bounds. */
static bool collect_stored(da_change *c, collection *all, da_slice branch, da_slice self)
{
  size_t records_max = all->whole ? DA_PRELOAD_WHOLE_MAX : DA_PRELOAD_MAX;
  size_t bytes_max = all->whole ? DA_PRELOAD_WHOLE_BYTES_MAX : DA_PRELOAD_BYTES_MAX;
  da_promise promise;
  da_slice after = DA_NONE;
  for (size_t read = 0; c->status == DA_OK && read < records_max && all->bytes < bytes_max; read++) {
    int rc = c->view->ops->below_next(c->view, branch, after, c->arena, &promise);
    if (rc < 0) c->status = (da_status)rc;
    if (rc <= 0) return rc == 0;
    if (belongs(&promise, branch, self) && !da_change_touched(c, promise.id)) {
      if (all->whole && all->bytes + record_bytes(all, &promise) > bytes_max) return false;
      collect(c, all, &promise);
    }
    after = promise.id;
  }
  return false;
}

static int by_id(const void *a, const void *b)
{
  return da_slice_cmp(((const da_promise *)a)->id, ((const da_promise *)b)->id);
}

void da_preload(da_change *c, const da_request *req, const da_entity *e, da_reply *reply)
{
  if (req->no_preload) return;
  reply->has_preload = true;
  int64_t limit = c->env->profile->preload_limit;
  const da_slice *branch = da_map_get(e->promise.tags, DA_TAG_BRANCH);
  if (branch == NULL && req->whole_preload) branch = &e->promise.id; /* as its worker tags what it makes */
  if (limit == 0 || branch == NULL || branch->len == 0) return;
  collection all = {.whole = req->whole_preload};
  if (all.whole) all.bytes = record_bytes(&all, &e->promise); /* it is in the same answer */
  /* The branch's own promise does not lie below itself; loading it puts it among the touched. */
  (void)da_change_load(c, *branch);
  collect_touched(c, &all, *branch, e->promise.id);
  bool complete = collect_stored(c, &all, *branch, e->promise.id);
  if (all.count > 1) qsort(all.items, all.count, sizeof *all.items, by_id);
  reply->preload = all.items;
  reply->preload_count = limit > 0 && all.count > (size_t)limit ? (size_t)limit : all.count;
  reply->preload_whole = all.whole && complete && reply->preload_count == all.count &&
                         da_slice_eq(*branch, e->promise.id) && da_id_fault(*branch) == NULL;
}
