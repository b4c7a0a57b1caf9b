/* change.c - the working set of one apply.
 * SPDX-License-Identifier: Apache-2.0 */
#include "change.h"

#include "handlers.h"

enum { TAG_ENTITY, TAG_EXECUTE, TAG_UNBLOCK, TAG_GROUP, TAG_WAIT = TAG_GROUP + 4 }; /* 4: the wait kinds */

/* The rows of one kind and first id. */
typedef struct wait_group {
  da_node node;
  bool loaded; /* every stored row is in the list */
  da_wait_row *first;
  da_wait_row *last;
} wait_group;

void da_change_begin(da_change *c, da_engine_env *env, da_view *view, da_arena *arena, da_outcome *out)
{
  *c = (da_change){.env = env, .view = view, .arena = arena, .out = out};
  c->slots = c->first_slots;
  c->slot_count = sizeof c->first_slots / sizeof c->first_slots[0];
}

/* ---- the hash ------------------------------------------------------------------------------------------ */

static uint64_t node_hash(int tag, da_slice a, da_slice b)
{
  uint64_t h = da_hash64(a) + (uint64_t)tag * 0x9e3779b97f4a7c15u;
  return b.len == 0 ? h : (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9u + da_hash64(b);
}

static da_node *node_find(const da_change *c, uint64_t hash, int tag, da_slice a, da_slice b)
{
  da_node *n = c->slots[hash & (c->slot_count - 1)];
  while (n != NULL && !(n->hash == hash && n->tag == tag && da_slice_eq(n->a, a) && da_slice_eq(n->b, b))) n = n->next;
  return n;
}

static void slots_grow(da_change *c)
{
  size_t count = c->slot_count * 4;
  da_node **slots = da_arena_zalloc(c->arena, count * sizeof *slots);
  for (size_t i = 0; i < c->slot_count; i++) {
    for (da_node *n = c->slots[i], *next; n != NULL; n = next) {
      next = n->next;
      n->next = slots[n->hash & (count - 1)];
      slots[n->hash & (count - 1)] = n;
    }
  }
  c->slots = slots;
  c->slot_count = count;
}

/* A zeroed node of `size` bytes, found from now on. */
static void *node_add(da_change *c, size_t size, uint64_t hash, int tag, da_slice a, da_slice b)
{
  if (c->node_count >= c->slot_count) slots_grow(c);
  da_node *n = da_arena_zalloc(c->arena, size);
  size_t at = hash & (c->slot_count - 1);
  *n = (da_node){.next = c->slots[at], .hash = hash, .tag = tag, .a = a, .b = b};
  c->slots[at] = n;
  c->node_count++;
  return n;
}

void *da_change_node(da_change *c, int tag, da_slice a, da_slice b, size_t size, bool *made)
{
  uint64_t hash = node_hash(tag, a, b);
  da_node *n = node_find(c, hash, tag, a, b);
  *made = n == NULL;
  return n != NULL ? n : node_add(c, size, hash, tag, a, b);
}

/* Notes a failed read. True if the row was found. */
static bool found(da_change *c, int rc)
{
  if (rc < 0 && c->status == DA_OK) c->status = (da_status)rc;
  return rc > 0;
}

/* ---- promises and tasks -------------------------------------------------------------------------------- */

static da_due timer_row(const da_task *task)
{
  switch (task->state) {
  case DA_TASK_PENDING:
    return (da_due){DA_DUE_RETRY, task->timer_at, task->id};
  case DA_TASK_ACQUIRED:
    return (da_due){DA_DUE_LEASE, task->timer_at, task->id};
  case DA_TASK_SUSPENDED:
  case DA_TASK_HALTED:
  case DA_TASK_FULFILLED:
    break;
  }
  return (da_due){.id = DA_NONE};
}

static void entity_read(da_change *c, da_entity *e, da_slice id)
{
  if (c->status != DA_OK) return;
  const da_view_ops *ops = c->view->ops;
  e->head = ops->promise_head != NULL;
  e->exists = e->stored = found(c, (e->head ? ops->promise_head : ops->promise)(c->view, id, c->arena, &e->promise));
  if (!e->exists) return;
  e->stored_armed = e->promise.armed;
  if (da_map_get(e->promise.tags, DA_TAG_TARGET) == NULL) return;
  e->has_task = found(c, c->view->ops->task(c->view, id, c->arena, &e->task));
  if (e->has_task) e->stored_timer = timer_row(&e->task);
}

static da_entity *entity_of(da_change *c, da_slice id)
{
  uint64_t hash = node_hash(TAG_ENTITY, id, DA_NONE);
  da_node *n = node_find(c, hash, TAG_ENTITY, id, DA_NONE);
  if (n != NULL) return (da_entity *)n;
  da_entity *e = node_add(c, sizeof *e, hash, TAG_ENTITY, id, DA_NONE);
  if (c->entity_last != NULL)
    c->entity_last->next = e;
  else
    c->entities = e;
  c->entity_last = e;
  entity_read(c, e, id);
  return e;
}

da_entity *da_change_load(da_change *c, da_slice id)
{
  da_entity *e = entity_of(c, id);
  return e->exists && c->status == DA_OK ? e : NULL;
}

const da_promise *da_change_show(da_change *c, da_entity *e)
{
  if (e->head && c->status == DA_OK) {
    e->head = false;
    (void)found(c, c->view->ops->promise(c->view, e->promise.id, c->arena, &e->promise));
  }
  return &e->promise;
}

da_promise *da_change_promise(da_change *c, da_entity *e)
{
  (void)da_change_show(c, e); /* what is written is the whole row */
  e->promise_dirty = true;
  return &e->promise;
}

da_entity *da_change_add(da_change *c, da_slice id, da_map tags)
{
  da_entity *e = entity_of(c, id);
  e->exists = true;
  e->head = false;
  e->promise = (da_promise){.id = id, .tags = tags};
  e->promise_dirty = true;
  e->has_task = da_map_get(tags, DA_TAG_TARGET) != NULL;
  e->task = (da_task){.id = id};
  e->task_dirty = e->has_task;
  return e;
}

da_entity *da_change_entities(const da_change *c)
{
  return c->entities;
}

bool da_change_touched(const da_change *c, da_slice id)
{
  return node_find(c, node_hash(TAG_ENTITY, id, DA_NONE), TAG_ENTITY, id, DA_NONE) != NULL;
}

/* ---- waits --------------------------------------------------------------------------------------------- */

static wait_group *group_of(da_change *c, da_wait_kind kind, da_slice first)
{
  int tag = TAG_GROUP + (int)kind;
  uint64_t hash = node_hash(tag, first, DA_NONE);
  da_node *n = node_find(c, hash, tag, first, DA_NONE);
  return n != NULL ? (wait_group *)n : node_add(c, sizeof(wait_group), hash, tag, first, DA_NONE);
}

static da_wait_row *row_find(da_change *c, const da_wait *wait)
{
  int tag = TAG_WAIT + (int)wait->kind;
  return (da_wait_row *)node_find(c, node_hash(tag, wait->first, wait->second), tag, wait->first, wait->second);
}

/* A row not met before. */
static da_wait_row *row_add(da_change *c, const da_wait *wait, bool stored)
{
  int tag = TAG_WAIT + (int)wait->kind;
  wait_group *group = group_of(c, wait->kind, wait->first);
  da_wait_row *row =
      node_add(c, sizeof *row, node_hash(tag, wait->first, wait->second), tag, wait->first, wait->second);
  row->wait = *wait;
  row->stored = row->present = stored;
  if (group->last != NULL)
    group->last->next_own = row;
  else
    group->first = row;
  group->last = row;
  if (c->wait_last != NULL)
    c->wait_last->next = row;
  else
    c->waits = row;
  c->wait_last = row;
  return row;
}

static da_wait_row *row_of(da_change *c, const da_wait *wait)
{
  da_wait_row *row = row_find(c, wait);
  if (row != NULL) return row;
  bool stored = false;
  if (c->status == DA_OK && !group_of(c, wait->kind, wait->first)->loaded)
    stored = found(c, c->view->ops->wait_has(c->view, wait));
  return row_add(c, wait, stored);
}

bool da_change_wait_has(da_change *c, da_wait_kind kind, da_slice first, da_slice second)
{
  da_wait wait = {kind, first, second};
  return row_of(c, &wait)->present;
}

void da_change_wait_add(da_change *c, da_wait_kind kind, da_slice first, da_slice second)
{
  da_wait wait = {kind, first, second};
  row_of(c, &wait)->present = true;
}

/* For rows the caller has met in the store or in this apply. */
static void wait_del(da_change *c, da_wait_kind kind, da_slice first, da_slice second)
{
  da_wait wait = {kind, first, second};
  da_wait_row *row = row_find(c, &wait);
  if (row == NULL) row = row_add(c, &wait, true); /* met through its mirror: no need to read it */
  row->present = false;
}

static void group_load(da_change *c, wait_group *group, da_wait_kind kind, da_slice first)
{
  if (group->loaded) return;
  group->loaded = true;
  da_wait at = {kind, first, DA_NONE};
  da_wait next;
  while (c->status == DA_OK && found(c, c->view->ops->wait_next(c->view, &at, c->arena, &next))) {
    if (row_find(c, &next) == NULL) row_add(c, &next, true);
    at = next;
  }
}

static da_wait_row *row_present(da_wait_row *row)
{
  while (row != NULL && !row->present) row = row->next_own;
  return row;
}

da_wait_row *da_change_wait_first(da_change *c, da_wait_kind kind, da_slice first)
{
  wait_group *group = group_of(c, kind, first);
  group_load(c, group, kind, first);
  return row_present(group->first);
}

da_wait_row *da_change_wait_after(da_wait_row *row)
{
  return row_present(row->next_own);
}

void da_change_callback_add(da_change *c, da_slice awaited, da_slice awaiter)
{
  da_change_wait_add(c, DA_WAIT_CALLBACK, awaited, awaiter);
  da_change_wait_add(c, DA_WAIT_AWAITED, awaiter, awaited);
}

void da_change_callback_del(da_change *c, da_slice awaited, da_slice awaiter)
{
  wait_del(c, DA_WAIT_CALLBACK, awaited, awaiter);
  wait_del(c, DA_WAIT_AWAITED, awaiter, awaited);
}

/* ---- messages ------------------------------------------------------------------------------------------ */

bool da_change_is_local(const da_change *c, da_slice address, bool pinned)
{
  for (size_t i = c->env->first_pinned_only && !pinned ? 1 : 0; i < c->env->local_target_count; i++) {
    da_slice local = c->env->local_targets[i];
    if (da_slice_starts(address, local) && (address.len == local.len || address.ptr[local.len] == '/')) return true;
  }
  return false;
}

static void message_put(da_change *c, da_message_list *list, int tag, const da_message *message)
{
  da_slice b = message->kind == DA_UNBLOCK ? message->address : DA_NONE;
  uint64_t hash = node_hash(tag, message->id, b);
  da_message_row *row = (da_message_row *)node_find(c, hash, tag, message->id, b);
  if (row == NULL) {
    row = node_add(c, sizeof *row, hash, tag, message->id, b);
    if (list->last != NULL)
      list->last->next = row;
    else
      list->first = row;
    list->last = row;
    list->count++;
  }
  row->message = *message;
}

void da_change_execute(da_change *c, const da_entity *e)
{
  const da_slice *target = da_map_get(e->promise.tags, DA_TAG_TARGET);
  DA_ASSERT(target != NULL);
  bool pinned = e->promise.call.has_bundle;
  da_message message = {.kind = DA_EXECUTE,
                        .id = e->promise.id,
                        .version = e->task.version,
                        .address = *target,
                        .local = da_change_is_local(c, *target, pinned),
                        .pinned = pinned};
  message_put(c, &c->executes, TAG_EXECUTE, &message);
}

void da_change_unblock(da_change *c, da_slice id, da_slice address)
{
  /* Nobody in this process listens. */
  da_message message = {.kind = DA_UNBLOCK, .id = id, .at_ms = c->env->now_ms, .address = address};
  message_put(c, &c->unblocks, TAG_UNBLOCK, &message);
}

/* ---- the outcome --------------------------------------------------------------------------------------- */

/* Room for one more item: doubles the array in the arena. */
static void *grown(da_change *c, void *items, size_t count, size_t *cap, size_t size)
{
  if (count < *cap) return items;
  size_t more = *cap == 0 ? 8 : *cap * 2;
  void *bigger = da_arena_alloc(c->arena, more * size);
  if (count != 0) memcpy(bigger, items, count * size);
  *cap = more;
  return bigger;
}

void da_change_settled(da_change *c, const da_promise *promise)
{
  da_outcome *out = c->out;
  out->settled = grown(c, out->settled, out->settled_count, &out->settled_cap, sizeof(const da_promise *));
  out->settled[out->settled_count++] = promise;
}

void da_change_write(da_change *c, const da_write *write)
{
  da_outcome *out = c->out;
  out->writes = grown(c, out->writes, out->write_count, &out->write_cap, sizeof *out->writes);
  out->writes[out->write_count++] = *write;
}

static void write_due(da_change *c, da_due due, bool del)
{
  da_write write = {.table = DA_TABLE_DUE, .del = del, .row.due = due};
  da_change_write(c, &write);
}

static void flush_promise(da_change *c, const da_entity *e)
{
  if (e->promise_dirty) {
    da_write write = {.table = DA_TABLE_PROMISE, .row.promise = &e->promise};
    da_change_write(c, &write);
  }
  if (e->promise.armed != e->stored_armed)
    write_due(c, (da_due){DA_DUE_DEADLINE, e->promise.timeout_at, e->promise.id}, e->stored_armed);
}

static void flush_task(da_change *c, const da_entity *e)
{
  if (!e->has_task || !e->task_dirty) return;
  da_write write = {.table = DA_TABLE_TASK, .row.task = &e->task};
  da_change_write(c, &write);
  da_due old = e->stored_timer;
  da_due new = timer_row(&e->task);
  bool same = old.id.len == new.id.len && (old.id.len == 0 || (old.class_ == new.class_ &&old.at == new.at));
  if (same) return;
  if (old.id.len != 0) write_due(c, old, true);
  if (new.id.len != 0) write_due(c, new, false);
}

static void flush_messages(da_change *c, const da_message_list *list)
{
  da_outcome *out = c->out;
  for (const da_message_row *m = list->first; m != NULL; m = m->next) {
    out->messages = grown(c, out->messages, out->message_count, &out->message_cap, sizeof *out->messages);
    out->messages[out->message_count++] = m->message;
    if (m->message.local) continue;
    da_write write = {.table = DA_TABLE_OUT, .row.out = m->message};
    da_change_write(c, &write);
  }
}

da_status da_change_flush(da_change *c)
{
  if (c->status != DA_OK) return c->status;
  for (const da_entity *e = c->entities; e != NULL; e = e->next) {
    if (!e->exists) continue;
    flush_promise(c, e);
    flush_task(c, e);
  }
  for (const da_wait_row *w = c->waits; w != NULL; w = w->next) {
    if (w->present == w->stored) continue;
    da_write write = {.table = DA_TABLE_WAIT, .del = w->stored, .row.wait = w->wait};
    da_change_write(c, &write);
  }
  da_queue_flush(c);
  flush_messages(c, &c->executes);
  flush_messages(c, &c->unblocks);
  return c->status;
}
