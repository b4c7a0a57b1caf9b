/* debug.c - what the debug requests of the protocol do to the pump: pausing it, looking at all there is, ending all of
 * it. Threads: the loop thread, but for the calls of ops. SPDX-License-Identifier: Apache-2.0 */
#include "../base/limits.h"
#include "pump.h"

void da_sched_pause(da_sched *s, bool paused)
{
  atomic_store(&s->paused, paused);
  da_sweep_pause(s);
  if (!paused && s->outbox.count > 0) da_sched_offer(s, DA_NONE);
}

/* ---- reset --------------------------------------------------------------------------------------------- */

typedef struct reset {
  da_sched *sched;
  void (*done)(void *user, da_status status, const da_err *err);
  void *user;
} reset;

static da_status apply_reset(da_store *store, da_op *op, da_err *err)
{
  (void)op;
  return da_store_reset(store, err);
}

static void on_reset(da_op *op)
{
  const reset *r = op->user;
  if (op->status == DA_OK && r->sched->events.reset != NULL) r->sched->events.reset(r->sched->events.user);
  r->done(r->user, op->status, op->status != DA_OK ? &op->err : NULL);
  da_op_delete(op);
}

void da_sched_reset(da_sched *s, void (*done)(void *user, da_status status, const da_err *err), void *user)
{
  da_op *op = da_op_new();
  reset *r = da_arena_alloc(&op->arena, sizeof *r);
  *r = (reset){s, done, user};
  op->call = apply_reset;
  op->user = r;
  op->done = on_reset;
  da_sched_submit(s, op, false);
}

/* ---- snapshot ------------------------------------------------------------------------------------------ */

typedef struct look {
  da_snapshot snapshot;
  void (*done)(void *user, const da_snapshot *snapshot, const da_err *err);
  void *user;
} look;

static da_status apply_look(da_store *store, da_op *op, da_err *err)
{
  look *l = op->user;
  return da_store_snapshot(store, &op->arena, &l->snapshot, err);
}

static void on_looked(da_op *op)
{
  const look *l = op->user;
  l->done(l->user, op->status == DA_OK ? &l->snapshot : NULL, op->status != DA_OK ? &op->err : NULL);
  da_op_delete(op);
}

void da_sched_snapshot(da_sched *s, void (*done)(void *user, const da_snapshot *snapshot, const da_err *err),
                       void *user)
{
  da_op *op = da_op_new();
  look *l = da_arena_zalloc(&op->arena, sizeof *l);
  l->done = done;
  l->user = user;
  op->call = apply_look;
  op->user = l;
  op->done = on_looked;
  da_sched_submit(s, op, false);
}
