/* outbox.c - messages for others: claimed from the store, handed to a transport after the flush.
 *
 * One claim at a time, so that messages leave in the order of the claims. A claim deletes its rows; the records that
 * its unblocks speak of are read by a second op (they are settled, so they do not change between the two).
 * Threads: the loop thread, but for read_records().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "kill.h"
#include "pump.h"

/* One promise per unblock of a claim, in the same order; its op's `user` while the records are read. */
typedef struct unblocks {
  da_sched *sched;
  da_op *claim; /* owned: the messages live there */
  const da_message *messages;
  size_t count;
  da_promise *promises; /* id.ptr NULL: the record is gone */
} unblocks;

struct da_delivery {
  da_sched *sched;
};

void da_delivery_end(da_delivery *delivery, da_verdict verdict)
{
  if (verdict == DA_LATER || verdict == DA_NEVER) da_log(DA_LOG_INFO, "outbox.lost", "why=\"nobody takes it\"");
  free(delivery);
}

static void hand_over(da_sched *s, const da_message *message, const da_promise *promise)
{
  for (size_t i = 0; i < s->outbox.count; i++) {
    const da_transport *t = &s->outbox.transports[i];
    if (!t->accepts(t->user, message->address)) continue;
    da_kill_at(DA_KILL_OUTBOX_BEFORE);
    da_delivery *delivery = da_xcalloc(1, sizeof *delivery);
    delivery->sched = s;
    da_verdict verdict = t->deliver(t->user, delivery, message, promise);
    if (verdict != DA_UNDER_WAY) da_delivery_end(delivery, verdict);
    return;
  }
  da_log(DA_LOG_INFO, "outbox.lost", "id=%.*s address=%.*s why=\"no transport accepts the address\"",
         DA_FMT(message->id), DA_FMT(message->address));
}

static void end_claim(da_sched *s)
{
  s->outbox.running = false;
  da_outbox_turn(s);
}

/* On the store thread. */
static da_status read_records(da_store *store, da_op *op, da_err *err)
{
  unblocks *u = op->user;
  da_view *view = da_store_view(store);
  for (size_t i = 0; i < u->count; i++) {
    int found = view->ops->promise(view, u->messages[i].id, &op->arena, &u->promises[i]);
    if (found < 0) return da_fail(err, (da_status)found, "reading %.*s to unblock", DA_FMT(u->messages[i].id));
    if (found == 0) u->promises[i] = (da_promise){0};
  }
  return DA_OK;
}

static void on_read(da_op *op)
{
  unblocks *u = op->user;
  da_sched *s = u->sched;
  if (op->status != DA_OK)
    da_log(DA_LOG_WARN, "outbox.lost", "unblocks=%zu status=%s", u->count, da_status_name(op->status));
  for (size_t i = 0; op->status == DA_OK && i < u->count; i++)
    if (u->promises[i].id.ptr != NULL && !u->messages[i].local) hand_over(s, &u->messages[i], &u->promises[i]);
  da_op_delete(u->claim);
  da_op_delete(op);
  end_claim(s);
}

/* Takes over the claim. */
static void read_unblocks(da_sched *s, da_op *claim, const da_message *messages, size_t count)
{
  da_op *op = da_op_new();
  unblocks *u = da_arena_alloc(&op->arena, sizeof *u);
  *u = (unblocks){.sched = s, .claim = claim, .messages = messages, .count = count};
  u->promises = da_arena_zalloc(&op->arena, count * sizeof *u->promises);
  op->call = read_records;
  op->user = u;
  op->done = on_read;
  da_sched_submit(s, op, false);
}

static void on_retry(void *arg)
{
  da_sched *s = arg;
  s->outbox.timer = NULL;
  s->outbox.wanted = true;
  end_claim(s);
}

static void on_claimed(da_op *op)
{
  da_sched *s = op->user;
  if (op->status != DA_OK) {
    da_op_delete(op);
    if (s->closing) return;
    s->outbox.timer = da_timer_start(s, da_clock_now_ms() + DA_BACKOFF_MS, on_retry, s);
    return;
  }
  const da_outcome *out = &op->outcomes[0];
  s->outbox.wanted = out->reply.more;
  size_t i = 0;
  for (; i < out->message_count && out->messages[i].kind == DA_EXECUTE; i++)
    if (!out->messages[i].local) hand_over(s, &out->messages[i], NULL);
  if (i < out->message_count) {
    read_unblocks(s, op, out->messages + i, out->message_count - i);
    return;
  }
  da_op_delete(op);
  end_claim(s);
}

static bool may_claim(const da_sched *s)
{
  const da_outbox *outbox = &s->outbox;
  if (outbox->count == 0 || !outbox->wanted || outbox->running || s->closing) return false;
  for (size_t i = 0; i < outbox->count; i++)
    if (outbox->transports[i].busy != NULL && outbox->transports[i].busy(outbox->transports[i].user)) return false;
  return true;
}

void da_outbox_turn(da_sched *s)
{
  if (!may_claim(s)) return;
  da_op *op = da_op_new();
  da_op_request(op, DA_REQ_CLAIM)->limit = DA_CLAIM_MAX;
  op->background = true;
  op->user = s;
  op->done = on_claimed;
  s->outbox.running = true;
  s->outbox.wanted = false;
  da_sched_submit(s, op, false);
}

void da_sched_add_transport(da_sched *s, const da_transport *transport)
{
  DA_ASSERT_OP(s->outbox.count, <, DA_TRANSPORTS_MAX);
  s->outbox.transports[s->outbox.count++] = *transport;
  s->outbox.wanted = true;
  da_outbox_turn(s);
}

void da_sched_remove_transport(da_sched *s, const void *user)
{
  da_outbox *outbox = &s->outbox;
  size_t kept = 0;
  for (size_t i = 0; i < outbox->count; i++)
    if (outbox->transports[i].user != user) outbox->transports[kept++] = outbox->transports[i];
  outbox->count = kept;
}

void da_sched_offer(da_sched *s, da_slice prefix)
{
  (void)prefix;
  da_outbox_turn(s);
}

void da_outbox_close(da_sched *s)
{
  da_timer_stop(s->outbox.timer);
  s->outbox.timer = NULL;
  s->outbox.count = 0;
}
