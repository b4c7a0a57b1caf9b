/* change.h - the working set of one apply: records as the request at hand sees them, and what becomes of them.
 *
 * Here:     promises and tasks, loaded once each and changed in place; rows of the wait table; messages; the flush that
 *           turns what changed into absolute writes.
 * Reads:    every read sees what this apply has changed so far. A read that fails is remembered in `status` and looks
 *           like "absent" from then on, so that handlers need not ask after each; da_change_flush() returns it.
 * Due rows: nobody writes them by hand. A promise's deadline row follows from `armed`, a task's timer row from its
 *           state and `timer_at`; the flush compares with what was stored.
 * Memory:   the apply's arena, all of it.
 * Cost:     linear in the rows touched, also when one settlement wakes ten thousand awaiters: everything is found by
 *           hash.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_ENGINE_CHANGE_H
#define DA_ENGINE_CHANGE_H

#include "engine.h"

/* What the hash of the working set finds. The first member of everything in it. */
typedef struct da_node da_node;
struct da_node {
  da_node *next; /* in its slot */
  uint64_t hash;
  int tag;
  da_slice a;
  da_slice b;
};

/* A promise and its task. One object per id and apply. */
typedef struct da_entity da_entity;
struct da_entity {
  da_node node;
  da_entity *next; /* in order of loading */
  bool exists;
  bool head;     /* the data of param and value has not been read */
  bool has_task; /* exists, and its tags name a target */
  bool promise_dirty;
  bool task_dirty;
  bool stored;         /* the store knew it when this apply began */
  bool stored_armed;   /* its deadline row is in the store */
  da_due stored_timer; /* its task's row in the store; id.len 0: none */
  da_promise promise;
  da_task task;
};

/* A row of the wait table, there or not. */
typedef struct da_wait_row da_wait_row;
struct da_wait_row {
  da_node node;
  da_wait_row *next;     /* in order of first mention */
  da_wait_row *next_own; /* in its group: the rows of the same kind and first id */
  bool stored;
  bool present;
  da_wait wait;
};

typedef struct da_message_row da_message_row;
struct da_message_row {
  da_node node;
  da_message_row *next;
  da_message message;
};

typedef struct da_message_list {
  da_message_row *first;
  da_message_row *last;
  size_t count;
} da_message_list;

typedef struct da_change {
  da_engine_env *env;
  da_view *view;
  da_arena *arena;
  da_outcome *out;
  da_status status; /* of the first read that failed */

  da_node **slots; /* chained hash; cap is a power of two */
  size_t slot_count;
  size_t node_count;
  da_node *first_slots[16]; /* most requests touch fewer nodes than this */

  da_entity *entities;
  da_entity *entity_last;
  da_wait_row *waits;
  da_wait_row *wait_last;
  da_message_list executes;
  da_message_list unblocks;
  struct da_queue_node *queues; /* engine/queue.c */
  struct da_hold_node *holds;
} da_change;

void da_change_begin(da_change *c, da_engine_env *env, da_view *view, da_arena *arena, da_outcome *out);

/* The promise `id` and its task, or NULL if there is none (or the read failed). Most requests want to know its state
 * only, so the data of its values is read when it is asked for: by the two calls below. */
da_entity *da_change_load(da_change *c, da_slice id);
/* The whole record, for an answer. */
const da_promise *da_change_show(da_change *c, da_entity *e);
/* A promise that da_change_load() just told absent: zeroed but for its id, dirty, to be filled by the caller. With a
 * target among `tags`, its task too. */
da_entity *da_change_add(da_change *c, da_slice id, da_map tags);
/* To be called before each change of a promise or of a task. */
da_promise *da_change_promise(da_change *c, da_entity *e);
static inline da_task *da_change_task(da_entity *e)
{
  e->task_dirty = true;
  return &e->task;
}

/* For a noun with nodes of its own: that of (tag, a, b), zeroed and *made if it was not met before. */
enum { DA_NODE_QUEUE = 32, DA_NODE_HOLD };
void *da_change_node(da_change *c, int tag, da_slice a, da_slice b, size_t size, bool *made);

/* Rows of the wait table. */
bool da_change_wait_has(da_change *c, da_wait_kind kind, da_slice first, da_slice second);
void da_change_wait_add(da_change *c, da_wait_kind kind, da_slice first, da_slice second);
/* Walks the rows of (kind, first) that are there; the current row may be deleted, none may be added to the group. */
da_wait_row *da_change_wait_first(da_change *c, da_wait_kind kind, da_slice first);
da_wait_row *da_change_wait_after(da_wait_row *row);
/* Both rows of a callback. */
void da_change_callback_add(da_change *c, da_slice awaited, da_slice awaiter);
void da_change_callback_del(da_change *c, da_slice awaited, da_slice awaiter);

/* Messages. A second execute of one task replaces the first. */
void da_change_execute(da_change *c, const da_entity *e);
void da_change_unblock(da_change *c, da_slice id, da_slice address);
/* Does an execute go to the worker in this process? pinned: its promise names a bundle. */
bool da_change_is_local(const da_change *c, da_slice address, bool pinned);

/* Notes a promise that was settled now, for the outcome. */
void da_change_settled(da_change *c, const da_promise *promise);
/* A row that is not derived from a record: the outbox of a claim, a due row nobody asks for. */
void da_change_write(da_change *c, const da_write *write);

/* Every entity of the apply, absent ones too; is `id` among them? */
da_entity *da_change_entities(const da_change *c);
bool da_change_touched(const da_change *c, da_slice id);

/* Writes, messages: what changed goes into the outcome. */
da_status DA_MUST_USE da_change_flush(da_change *c);

#endif
