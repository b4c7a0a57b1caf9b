/* search.c - promises, tasks and schedules in the byte order of their ids, a page at a time.
 *
 * What is told is what any other answer would tell at this instant: a promise past its deadline is settled, its task
 * fulfilled, whether somebody has written that down or not. Nothing is written here.
 *
 * A search that finds little among millions of records must hold up nobody, so one turn looks at a bounded number of
 * them; what was found by then, and how far it came, are handed back as a da_search, with which the same request goes
 * on. Each row is right at the instant of its turn.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/limits.h"
#include "handlers.h"

enum { FOUND_DEFAULT = 100, SCHEDULES_DEFAULT = 10, TAGS_FEW = 16 };

/* In the arena of the request, which the turns share. */
struct da_search {
  da_slice at; /* the last id looked at */
  void *rows;  /* found: promises, tasks or schedules */
  size_t count;
  size_t cap;
  size_t bytes; /* of their values */
  bool more;    /* one was found that has no room */
};

typedef struct turn {
  da_change *c;
  const da_request *req;
  da_search *search;
  size_t limit;
  da_walk walk;
} turn;

static turn begin(da_change *c, const da_request *req, size_t limit)
{
  da_search *search = req->search;
  if (search == NULL) {
    search = da_arena_zalloc(c->arena, sizeof *search);
    search->at = req->search_after;
  }
  return (turn){
      .c = c, .req = req, .search = search, .limit = req->has_search_limit ? (size_t)req->search_limit : limit};
}

/* The place of one more row, or NULL: it is the one that tells of more. */
static void *add(turn *t, size_t size)
{
  da_search *s = t->search;
  if (s->count == t->limit || s->bytes >= DA_SEARCH_BYTES_MAX) {
    s->more = true;
    return NULL;
  }
  if (s->count == s->cap) {
    s->cap = s->cap == 0 ? 16 : 2 * s->cap;
    void *rows = da_arena_alloc(t->c->arena, s->cap * size);
    if (s->count != 0) memcpy(rows, s->rows, s->count * size);
    s->rows = rows;
  }
  return (char *)s->rows + size * s->count++;
}

static size_t look_max(const da_request *req)
{
  return req->limit != 0 ? req->limit : DA_SEARCH_LOOK;
}

/* False: all that begins so was passed. */
static bool may_begin(const da_request *req, da_slice id)
{
  return da_slice_starts(id, req->search_begins) || da_slice_cmp(id, req->search_begins) < 0;
}

/* No id lies between what this gives and the first one that begins so. */
static da_slice just_before(da_arena *arena, da_slice begins)
{
  char *text = da_arena_alloc(arena, begins.len + 1);
  memcpy(text, begins.ptr, begins.len);
  text[begins.len - 1]--;
  text[begins.len] = '\xff';
  return da_slice_make(text, begins.len + 1);
}

static da_slice start_of(const turn *t)
{
  da_slice begins = t->req->search_begins;
  if (begins.len == 0 || begins.ptr[begins.len - 1] == '\0') return t->search->at;
  da_slice before = just_before(t->c->arena, begins);
  return da_slice_cmp(before, t->search->at) > 0 ? before : t->search->at;
}

static int by_key(const void *a, const void *b)
{
  return da_slice_cmp(((const da_pair *)a)->key, ((const da_pair *)b)->key);
}

/* Both a record and a request may have tags by the ten thousand: they are not to be compared each with each. */
typedef struct tag_index {
  da_map tags;
  bool sorted;
} tag_index;

static tag_index index_tags(da_map tags, da_map wanted, da_arena *temp)
{
  if (tags.count <= TAGS_FEW || wanted.count <= TAGS_FEW) return (tag_index){tags, false};
  da_pair *items = da_arena_alloc(temp, tags.count * sizeof *items);
  memcpy(items, tags.items, tags.count * sizeof *items);
  qsort(items, tags.count, sizeof *items, by_key);
  return (tag_index){{items, tags.count}, true};
}

static const da_slice *find_tag(const tag_index *index, da_slice key)
{
  if (!index->sorted) return da_map_get(index->tags, key);
  da_pair wanted = {.key = key};
  const da_pair *found = bsearch(&wanted, index->tags.items, index->tags.count, sizeof wanted, by_key);
  return found != NULL ? &found->value : NULL;
}

static bool is_published(da_change *c, da_slice id, const da_pair *tag)
{
  int there = c->view->ops->published(c->view, id, tag->key, tag->value);
  if (there < 0) c->status = (da_status)there;
  return there > 0;
}

/* id: of a promise, which may have published what no tag of it says; else empty. */
static bool tags_fit(da_change *c, da_slice id, da_map tags, da_map wanted, da_arena *temp)
{
  if (wanted.count > tags.count + DA_LIVE_KEYS_MAX) return false;
  tag_index index = index_tags(tags, wanted, temp);
  for (size_t i = 0; i < wanted.count; i++) {
    const da_pair *tag = &wanted.items[i];
    const da_slice *own = find_tag(&index, tag->key);
    bool fits = own != NULL ? da_slice_eq(*own, tag->value) : id.len != 0 && is_published(c, id, tag);
    if (!fits) return false;
  }
  return true;
}

/* A walk over promises or tasks; the reply, unless it is to go on. False: it is. */
static bool walk(turn *t)
{
  da_change *c = t->c;
  da_walk *walk = &t->walk;
  walk->after = start_of(t);
  walk->rows = look_max(t->req);
  walk->arena = c->arena;
  walk->user = t;
  int rc = c->view->ops->walk(c->view, walk);
  if (rc < 0) c->status = (da_status)rc;
  if (rc <= 0 || t->search->more || !may_begin(t->req, walk->after)) return true;
  t->search->at = walk->after;
  c->out->reply.search = t->search;
  return false;
}

/* ---- promises ------------------------------------------------------------------------------------------ */

static bool see_promise(void *user, const da_promise *stored)
{
  turn *t = user;
  da_change *c = t->c;
  if (!may_begin(t->req, stored->id)) return false;
  if (!da_slice_starts(stored->id, t->req->search_begins)) return true;
  da_promise shown = da_rule_projected(stored, c->env->now_ms);
  if (t->req->has_search_state && shown.state != t->req->state) return true;
  bool fits = tags_fit(c, stored->id, stored->tags, t->req->tags, t->walk.temp);
  if (!fits || c->status != DA_OK) return c->status == DA_OK;
  da_promise *row = add(t, sizeof *row);
  if (row == NULL) return false;
  int rc = c->view->ops->promise(c->view, stored->id, c->arena, row);
  if (rc <= 0) { /* its long value is damaged: passed over as a damaged record is */
    t->search->count--;
    if (rc < 0 && rc != DA_ECORRUPT && rc != DA_EVERSION) c->status = (da_status)rc;
    return c->status == DA_OK;
  }
  *row = da_rule_projected(row, c->env->now_ms);
  t->search->bytes += row->param.data.len + row->value.data.len;
  return true;
}

void da_promise_search(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  turn t = begin(c, req, FOUND_DEFAULT);
  t.walk.promise = see_promise;
  if (!walk(&t)) return;
  reply->promises = t.search->rows;
  reply->promise_count = t.search->count;
  reply->more = t.search->more;
}

/* ---- tasks --------------------------------------------------------------------------------------------- */

/* A task ends with its promise. */
static da_task projected(da_change *c, const da_task *stored, da_arena *temp)
{
  da_promise promise;
  if (stored->state == DA_TASK_FULFILLED) return *stored;
  int rc = c->view->ops->promise_head(c->view, stored->id, temp, &promise);
  if (rc < 0 && rc != DA_ECORRUPT && rc != DA_EVERSION) c->status = (da_status)rc;
  if (rc <= 0 || da_rule_is_live(&promise, c->env->now_ms)) return *stored;
  return (da_task){.id = stored->id, .state = DA_TASK_FULFILLED, .version = stored->version};
}

static bool see_task(void *user, const da_task *stored)
{
  turn *t = user;
  da_change *c = t->c;
  if (!may_begin(t->req, stored->id)) return false;
  if (!da_slice_starts(stored->id, t->req->search_begins)) return true;
  bool may_end = t->req->task_state == DA_TASK_FULFILLED;
  if (t->req->has_search_state && stored->state != t->req->task_state && !may_end) return true;
  da_task shown = projected(c, stored, t->walk.temp);
  if (t->req->has_search_state && shown.state != t->req->task_state) return c->status == DA_OK;
  da_task *row = add(t, sizeof *row);
  if (row == NULL) return false;
  *row = shown;
  row->id = da_arena_dup(c->arena, shown.id);
  row->pid = da_arena_dup(c->arena, shown.pid);
  return c->status == DA_OK;
}

void da_task_search(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  turn t = begin(c, req, FOUND_DEFAULT);
  t.walk.task = see_task;
  if (!walk(&t)) return;
  reply->tasks = t.search->rows;
  reply->task_count = t.search->count;
  reply->more = t.search->more;
}

/* ---- schedules ----------------------------------------------------------------------------------------- */

/* Each may have a param of DA_SCHEDULE_MAX, found or not. */
static size_t schedule_bytes(const da_schedule *s)
{
  return s->promise_param.data.len + s->zone_bytes.len;
}

void da_schedule_search(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  turn t = begin(c, req, SCHEDULES_DEFAULT);
  da_schedule s;
  size_t looked = 0, read = 0;
  int rc = 0;
  while (c->status == DA_OK && (rc = c->view->ops->schedule_next(c->view, t.search->at, c->arena, &s)) > 0) {
    t.search->at = s.id;
    read += schedule_bytes(&s);
    if (tags_fit(c, DA_NONE, s.promise_tags, req->tags, c->arena)) {
      da_schedule *row = add(&t, sizeof *row);
      if (row == NULL) break;
      *row = s;
      t.search->bytes += schedule_bytes(&s);
    }
    if (++looked < look_max(req) && read < DA_SEARCH_BYTES_MAX) continue;
    reply->search = t.search;
    return;
  }
  if (rc < 0) c->status = (da_status)rc;
  reply->schedules = t.search->rows;
  reply->schedule_count = t.search->count;
  reply->more = t.search->more;
}
