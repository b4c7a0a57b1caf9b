/* view.h - what the engine asks of a store: reads, inside the store's open write transaction.
 *
 * A store gives a da_view; the engine never writes through it (see effect.h). Reads see everything that earlier
 * requests of the same batch wrote, and nothing of the request at hand.
 * Errors:   a read returns 1 (found), 0 (absent) or a negative da_status (the store failed: the batch is lost).
 * Memory:   results are copied into the given arena.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_ENGINE_VIEW_H
#define DA_ENGINE_VIEW_H

#include "record.h"

typedef struct da_view da_view;

/* A walk over all promises, or all tasks, in the byte order of their ids. */
typedef struct da_walk {
  da_slice after; /* in: behind this id, there or not (empty: from the start); out, in arena: go on behind this one */
  size_t rows;    /* in: at most so many are looked at, found or not */
  da_arena *arena;
  da_arena *temp; /* out, for the visits: what lies in it is gone when they return */
  /* One of the two. What is handed over is borrowed until it returns; a promise may lack the data of its values, as
   * that of promise_head does. It may read through the view. False: this was the last one. */
  bool (*promise)(void *user, const da_promise *promise);
  bool (*task)(void *user, const da_task *task);
  void *user;
} da_walk;

typedef struct da_view_ops {
  int (*promise)(da_view *view, da_slice id, da_arena *arena, da_promise *out);
  /* As promise, but the data of param and value may stay unread where reading it costs extra (a value of megabytes):
   * has_data as stored, data empty. May be NULL: there is nothing to save. */
  int (*promise_head)(da_view *view, da_slice id, da_arena *arena, da_promise *out);
  int (*task)(da_view *view, da_slice id, da_arena *arena, da_task *out);
  /* Is the row (kind, first, second) there? */
  int (*wait_has)(da_view *view, const da_wait *wait);
  /* Is this very due row there? */
  int (*due_has)(da_view *view, const da_due *due);
  /* The first row of (kind, first) that lies behind `after` in the store's own order (after->second.ptr NULL: the very
   * first). The order is fixed as long as nothing is written. `after` is a row this call returned. */
  int (*wait_next)(da_view *view, const da_wait *after, da_arena *arena, da_wait *out);
  /* The first row of the class of `after` that lies behind it, by (at, id); after->id.ptr NULL: the first at after->at
   * or later. */
  int (*due_next)(da_view *view, const da_due *after, da_arena *arena, da_due *out);
  /* The next promise whose id lies below `ancestor` (da_id_below), behind `after` (ptr NULL: the first), in any fixed
   * order. */
  int (*below_next)(da_view *view, da_slice ancestor, da_slice after, da_arena *arena, da_promise *out);
  /* The queue `name`. */
  int (*queue)(da_view *view, da_slice name, da_arena *arena, da_queue *out);
  /* The first row behind `after`: tokens and places of after->name behind after->seq; holds of after->owner behind
   * after->id in the store's own order (id.ptr NULL: the first). */
  int (*queue_next)(da_view *view, const da_queue_row *after, da_arena *arena, da_queue_row *out);
  /* The hold of (owner, id). */
  int (*queue_hold)(da_view *view, da_slice owner, da_slice id, da_arena *arena, da_queue_row *out);
  /* The first message of the outbox (executes before unblocks) behind `after` (after->id.ptr NULL: the very first). */
  int (*out_next)(da_view *view, const da_message *after, da_arena *arena, da_message *out);
  /* The message with the key of this one: its kind and id, and of an unblock its address. */
  int (*out)(da_view *view, const da_message *key, da_arena *arena, da_message *out);
  int (*schedule)(da_view *view, da_slice id, da_arena *arena, da_schedule *out);
  /* The next schedule behind the id `after` (there or not; empty: the first), in byte order. */
  int (*schedule_next)(da_view *view, da_slice after, da_arena *arena, da_schedule *out);
  /* Did the execution `id` publish this of its state while it ran: under this key a text, or JSON, that is `value`? */
  int (*published)(da_view *view, da_slice id, da_slice key, da_slice value);
  /* 1: it was stopped, or has looked at as many rows as it may; 0: there is nothing behind. Rows that are damaged are
   * passed over, and the store keeps the words. */
  int (*walk)(da_view *view, da_walk *walk);
} da_view_ops;

struct da_view {
  const da_view_ops *ops;
};

#endif
