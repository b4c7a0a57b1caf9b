/* outbox.c - messages for others: offered to the transports after the flush, kept in the store until one has taken
 * them.
 *
 * Two ways lead to an offer. What a batch has just made is at hand: an execute goes out as it is told, the records of
 * unblocks are read first (an op that collects them). What lies in the store is found by a walk over the outbox, a page
 * at a time: when the first transport comes, when one has room or somebody again (da_sched_offer()), and once in
 * DA_UNBLOCK_WALK_MS while unblocks are kept, so that those go which nobody fetched.
 *
 *   (offered) --DA_LATER--> kept in the store, forgotten here
 *       |--DA_UNDER_WAY--> under way --da_delivery_end()--+
 *       +--DA_TAKEN, DA_NEVER--> gone --its row is deleted--> forgotten
 *
 * Under way and gone are in `deliveries`: what is in there is not offered again. A death before the deletion is flushed
 * sends a message twice, none loses it.
 * Threads: the loop thread, but for read_records().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "kill.h"
#include "pump.h"

struct da_delivery {
  da_sched *sched;
  da_message message; /* its slices are owned */
  bool gone;
  bool rowless;      /* of da_sched_hand_on(): the store knows nothing of it */
  da_delivery *next; /* among the gone ones */
  da_slice key;      /* of `deliveries`, owned; message's slices point into it */
};

/* Of an op that reads the records of unblocks, in its arena. */
typedef struct unblocks {
  da_message messages[DA_CLAIM_MAX];
  da_promise promises[DA_CLAIM_MAX]; /* id.ptr NULL: not read */
  size_t count;
  bool cut; /* the last ones were left for a walk: too much at a time */
} unblocks;

/* ---- deliveries ---------------------------------------------------------------------------------------- */

/* kind | version | len of id | id | address: two versions of an execute are two messages. */
static da_slice make_key(da_buf *buf, const da_message *m)
{
  da_buf_clear(buf);
  da_buf_addf(buf, "%d %lld %zu ", (int)m->kind, (long long)m->version, m->id.len);
  da_buf_add_slice(buf, m->id);
  da_buf_add_slice(buf, m->address);
  return da_buf_slice(buf);
}

static da_delivery *find(da_sched *s, const da_message *message)
{
  return da_table_get(&s->outbox.deliveries, make_key(&s->outbox.key, message));
}

static da_delivery *begin(da_sched *s, const da_message *message)
{
  da_delivery *d = da_xcalloc(1, sizeof *d);
  da_slice key = make_key(&s->outbox.key, message);
  d->sched = s;
  d->key = da_slice_make(da_xstrndup(key), key.len);
  size_t head = key.len - message->id.len - message->address.len;
  d->message = *message;
  d->message.id = da_slice_make(d->key.ptr + head, message->id.len);
  d->message.address = da_slice_make(d->key.ptr + head + message->id.len, message->address.len);
  (void)da_table_put(&s->outbox.deliveries, d->key, d);
  return d;
}

static void forget(da_delivery *d)
{
  (void)da_table_remove(&d->sched->outbox.deliveries, d->key);
  free((void *)(uintptr_t)d->key.ptr);
  free(d);
}

static void end_keeping(void *sched)
{
  da_sched *s = sched;
  s->outbox.keeping = NULL;
  da_sched_offer(s, DA_NONE);
}

/* The store knows nothing of it, so whoever handed it on is told it as when it was made: somebody else may be there. */
static void tell_again(da_delivery *d)
{
  da_sched *s = d->sched;
  da_message message = d->message;
  message.local = true;
  (void)da_table_remove(&s->outbox.deliveries, d->key); /* it may be offered within the call */
  if (s->events.execute != NULL) s->events.execute(s->events.user, &message);
  free((void *)(uintptr_t)d->key.ptr);
  free(d);
}

static void end_later(da_delivery *d)
{
  da_sched *s = d->sched;
  if (d->message.kind == DA_UNBLOCK && s->outbox.keeping == NULL && !s->closing)
    s->outbox.keeping = da_timer_start(s, da_clock_now_ms() + DA_UNBLOCK_WALK_MS, end_keeping, s);
  forget(d);
}

static void end_gone(da_delivery *d, bool taken)
{
  da_outbox *outbox = &d->sched->outbox;
  if (taken)
    outbox->taken[d->message.kind]++;
  else
    outbox->dropped++;
  if (d->rowless) {
    forget(d);
    return;
  }
  d->gone = true;
  if (taken) da_kill_at(DA_KILL_OUTBOX_AFTER);
  *outbox->gone_end = d;
  outbox->gone_end = &d->next;
  outbox->gone_count++;
}

static void end_with(da_delivery *d, da_verdict verdict)
{
  DA_ASSERT(!d->gone);
  switch (verdict) {
  case DA_UNDER_WAY:
    break;
  case DA_LATER:
    end_later(d);
    break;
  case DA_NEVER:
    da_log(DA_LOG_INFO, "outbox.dropped", "id=%.*s address=%.*s why=\"nobody can take it\"", DA_FMT(d->message.id),
           DA_FMT(d->message.address));
    end_gone(d, false);
    break;
  case DA_TAKEN:
    end_gone(d, true);
    break;
  }
}

void da_delivery_end(da_delivery *d, da_verdict verdict)
{
  da_sched *s = d->sched;
  DA_ASSERT_OP((int)verdict, !=, (int)DA_UNDER_WAY);
  if (d->rowless && verdict == DA_LATER && !s->closing)
    tell_again(d);
  else
    end_with(d, verdict);
  da_outbox_turn(s);
}

/* What a transport said, or DA_LATER: it has no room. */
static da_verdict offer_as(da_sched *s, const da_message *message, const da_promise *promise, bool rowless)
{
  if (find(s, message) != NULL) return DA_UNDER_WAY;
  for (size_t i = 0; i < s->outbox.count; i++) {
    const da_transport *t = &s->outbox.transports[i];
    if (!t->accepts(t->user, message->address)) continue;
    da_delivery *d = begin(s, message);
    da_verdict verdict = DA_LATER;
    d->rowless = rowless;
    if (t->busy == NULL || !t->busy(t->user)) {
      da_kill_at(DA_KILL_OUTBOX_BEFORE);
      verdict = t->deliver(t->user, d, message, promise);
    }
    end_with(d, verdict);
    return verdict;
  }
  da_delivery *d = begin(s, message);
  d->rowless = rowless;
  end_with(d, DA_NEVER);
  return DA_NEVER;
}

static da_verdict offer(da_sched *s, const da_message *message, const da_promise *promise)
{
  return offer_as(s, message, promise, false);
}

da_verdict da_sched_hand_on(da_sched *s, const da_message *message)
{
  return s->outbox.count > 0 && !s->closing ? offer_as(s, message, NULL, true) : DA_LATER;
}

bool da_sched_reaches(const da_sched *s, da_slice address, bool exactly)
{
  for (size_t i = 0; i < s->outbox.count; i++) {
    const da_transport *t = &s->outbox.transports[i];
    if (t->accepts(t->user, address)) return t->reaches != NULL && t->reaches(t->user, address, exactly);
  }
  return false;
}

/* ---- out of the store ---------------------------------------------------------------------------------- */

static void free_gone(da_delivery *list)
{
  while (list != NULL) {
    da_delivery *d = list;
    list = d->next;
    forget(d);
  }
}

static void on_delete_again(void *sched)
{
  da_sched *s = sched;
  s->outbox.delete_timer = NULL;
  s->outbox.deleting = false;
  da_outbox_turn(s);
}

/* A full disk refuses them: they are gone all the same, and wait for room. */
static void on_deleted(da_op *op)
{
  da_sched *s = op->user;
  da_outbox *outbox = &s->outbox;
  da_delivery *list = outbox->leaving;
  outbox->leaving = NULL;
  if (op->status == DA_OK || s->closing) {
    free_gone(list);
    outbox->deleting = false;
    da_op_delete(op);
    da_outbox_turn(s);
    return;
  }
  da_delivery *last = list;
  size_t count = 1;
  for (; last->next != NULL; last = last->next) count++;
  last->next = outbox->gone;
  if (outbox->gone == NULL) outbox->gone_end = &last->next;
  outbox->gone = list;
  outbox->gone_count += count;
  da_op_delete(op);
  outbox->delete_timer = da_timer_start(s, da_clock_now_ms() + DA_BACKOFF_MS, on_delete_again, s);
}

static void delete_gone(da_sched *s)
{
  da_outbox *outbox = &s->outbox;
  if (outbox->gone == NULL || outbox->deleting || s->closing) return;
  da_op *op = da_op_new();
  da_message *messages = da_arena_alloc(&op->arena, outbox->gone_count * sizeof *messages);
  size_t count = 0;
  for (const da_delivery *d = outbox->gone; d != NULL; d = d->next) messages[count++] = d->message;
  da_request *request = da_op_request(op, DA_REQ_SENT);
  request->messages = messages;
  request->message_count = count;
  outbox->leaving = outbox->gone;
  op->background = true;
  op->user = s;
  op->done = on_deleted;
  outbox->gone = NULL;
  outbox->gone_end = &outbox->gone;
  outbox->gone_count = 0;
  outbox->deleting = true;
  da_sched_submit(s, op, false);
}

/* ---- what was just made -------------------------------------------------------------------------------- */

/* On the store thread. */
static da_status read_records(da_store *store, da_op *op, da_err *err)
{
  unblocks *u = op->call_argument;
  da_view *view = da_store_view(store);
  size_t bytes = 0;
  (void)err;
  for (size_t i = 0; i < u->count && !u->cut; i++) {
    int found = view->ops->promise(view, u->messages[i].id, &op->arena, &u->promises[i]);
    if (found <= 0) u->promises[i] = (da_promise){0}; /* one that is damaged stays with the store, which says so */
    bytes += u->promises[i].param.data.len + u->promises[i].value.data.len;
    u->cut = bytes >= DA_SEARCH_BYTES_MAX && i + 1 < u->count;
  }
  return DA_OK;
}

static void on_read(da_op *op)
{
  da_sched *s = op->user;
  const unblocks *u = op->call_argument;
  s->outbox.reading--;
  for (size_t i = 0; op->status == DA_OK && i < u->count && !s->closing; i++)
    if (u->promises[i].id.ptr != NULL) (void)offer(s, &u->messages[i], &u->promises[i]);
  if ((op->status != DA_OK || u->cut) && !s->closing) da_sched_offer(s, DA_NONE);
  da_op_delete(op);
  da_outbox_turn(s);
}

static void submit_fresh(da_sched *s)
{
  da_op *op = s->outbox.fresh;
  if (op == NULL) return;
  s->outbox.fresh = NULL;
  s->outbox.reading++;
  da_sched_submit(s, op, false);
}

static void add_fresh(da_sched *s, const da_message *message)
{
  da_outbox *outbox = &s->outbox;
  if (outbox->reading >= DA_OUTBOX_READS_MAX) { /* a walk will find it */
    da_sched_offer(s, DA_NONE);
    return;
  }
  if (outbox->fresh == NULL) {
    outbox->fresh = da_op_new();
    outbox->fresh->call = read_records;
    outbox->fresh->call_argument = da_arena_zalloc(&outbox->fresh->arena, sizeof(unblocks));
    outbox->fresh->user = s;
    outbox->fresh->done = on_read;
  }
  da_op *op = outbox->fresh;
  unblocks *u = op->call_argument;
  da_message *copy = &u->messages[u->count++];
  *copy = *message;
  copy->id = da_arena_dup(&op->arena, message->id);
  copy->address = da_arena_dup(&op->arena, message->address);
  if (u->count == DA_CLAIM_MAX) submit_fresh(s);
}

void da_outbox_emitted(da_sched *s, const da_message *message)
{
  if (s->outbox.count == 0 || s->closing) return;
  if (atomic_load(&s->paused))
    da_sched_offer(s, DA_NONE);
  else if (message->kind == DA_EXECUTE)
    (void)offer(s, message, NULL);
  else
    add_fresh(s, message);
}

/* ---- the walk ------------------------------------------------------------------------------------------ */

static void on_walk_again(void *sched)
{
  da_sched *s = sched;
  s->outbox.walk_timer = NULL;
  s->outbox.walking = false;
  da_sched_offer(s, da_buf_slice(&s->outbox.prefix));
}

/* One that is for the worker in this process was told to it by now. */
static da_verdict offer_claimed(da_sched *s, const da_message *message, const da_promise *promise)
{
  if (!message->local) return offer(s, message, message->kind == DA_UNBLOCK ? promise : NULL);
  if (find(s, message) == NULL) end_with(begin(s, message), DA_TAKEN);
  return DA_TAKEN;
}

/* False: whoever asked for the walk has no more room. */
static bool offer_page(da_sched *s, const da_outcome *out)
{
  da_slice prefix = da_buf_slice(&s->outbox.prefix);
  for (size_t i = 0; i < out->message_count; i++) {
    const da_message *message = &out->messages[i];
    da_verdict verdict = offer_claimed(s, message, &out->reply.promises[i]);
    if (verdict == DA_LATER && prefix.len > 0 && da_slice_eq(message->address, prefix)) return false;
  }
  return true;
}

static void walk_page(da_sched *s, const da_message *after);

static void on_claimed(da_op *op)
{
  da_sched *s = op->user;
  da_outbox *outbox = &s->outbox;
  if (s->closing) {
    da_op_delete(op);
    return;
  }
  if (op->status != DA_OK) {
    da_op_delete(op);
    outbox->walk_timer = da_timer_start(s, da_clock_now_ms() + DA_BACKOFF_MS, on_walk_again, s);
    return;
  }
  const da_reply *reply = &op->outcomes[0].reply;
  outbox->dropped += reply->count;
  if (reply->count > 0)
    da_log(DA_LOG_WARN, "outbox.dropped", "unblocks=%zu why=\"nobody came for them in %d h\"", reply->count,
           (int)(DA_UNBLOCK_KEEP_MS / 3600000));
  bool room = atomic_load(&s->paused) ? false : offer_page(s, &op->outcomes[0]);
  if (atomic_load(&s->paused)) da_sched_offer(s, da_buf_slice(&outbox->prefix));
  if (room && reply->more)
    walk_page(s, &reply->last_message);
  else
    outbox->walking = false;
  da_op_delete(op);
  da_outbox_turn(s);
}

static void walk_page(da_sched *s, const da_message *after)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_CLAIM);
  request->limit = DA_CLAIM_MAX;
  request->keeps_all = atomic_load(&s->instants_given); /* no age can be told by the clock */
  request->address = da_arena_dup(&op->arena, da_buf_slice(&s->outbox.prefix));
  if (after != NULL) {
    request->after_message = *after;
    request->after_message.id = da_arena_dup(&op->arena, after->id);
    request->after_message.address = da_arena_dup(&op->arena, after->address);
  }
  op->background = true;
  op->user = s;
  op->done = on_claimed;
  da_sched_submit(s, op, false);
}

static void begin_walk(da_sched *s)
{
  da_outbox *outbox = &s->outbox;
  if (!outbox->wanted || outbox->walking || outbox->count == 0 || atomic_load(&s->paused)) return;
  outbox->wanted = false;
  outbox->walking = true;
  da_buf_clear(&outbox->prefix);
  da_buf_add_slice(&outbox->prefix, da_buf_slice(&outbox->wanted_prefix));
  walk_page(s, NULL);
}

/* ---- the door ------------------------------------------------------------------------------------------ */

void da_outbox_turn(da_sched *s)
{
  if (s->closing) return;
  submit_fresh(s);
  delete_gone(s);
  begin_walk(s);
}

static void on_offer(void *sched)
{
  da_outbox_turn(sched);
}

/* One walk serves all who ask for one before it begins: over what their prefixes have in common. */
void da_sched_offer(da_sched *s, da_slice prefix)
{
  da_outbox *outbox = &s->outbox;
  da_buf *wanted = &outbox->wanted_prefix;
  if (s->closing) return;
  if (s->events.offered != NULL) s->events.offered(s->events.user, prefix);
  if (!outbox->wanted) {
    da_buf_clear(wanted);
    da_buf_add_slice(wanted, prefix);
  } else {
    size_t common = 0;
    da_slice other = da_buf_slice(wanted);
    while (common < prefix.len && common < other.len && prefix.ptr[common] == other.ptr[common]) common++;
    wanted->len = common;
  }
  outbox->wanted = true;
  if (!outbox->walking) da_sched_post(s, on_offer, s);
}

void da_sched_add_transport(da_sched *s, const da_transport *transport)
{
  DA_ASSERT_OP(s->outbox.count, <, DA_TRANSPORTS_MAX);
  if (s->outbox.count == 0) da_sched_offer(s, DA_NONE);
  s->outbox.transports[s->outbox.count++] = *transport;
}

void da_sched_remove_transport(da_sched *s, const void *user)
{
  da_outbox *outbox = &s->outbox;
  size_t kept = 0;
  for (size_t i = 0; i < outbox->count; i++)
    if (outbox->transports[i].user != user) outbox->transports[kept++] = outbox->transports[i];
  outbox->count = kept;
}

void da_outbox_create(da_sched *s)
{
  s->outbox.gone_end = &s->outbox.gone;
}

void da_outbox_close(da_sched *s)
{
  da_outbox *outbox = &s->outbox;
  da_timer_stop(outbox->walk_timer);
  da_timer_stop(outbox->delete_timer);
  da_timer_stop(outbox->keeping);
  outbox->walk_timer = outbox->delete_timer = outbox->keeping = NULL;
  da_op_delete(outbox->fresh);
  outbox->fresh = NULL;
  outbox->count = 0;
}

/* What is under way has become DA_LATER: the next process offers it again. */
void da_outbox_destroy(da_sched *s)
{
  da_outbox *outbox = &s->outbox;
  void *d;
  for (size_t i = 0; da_table_next(&outbox->deliveries, &i, &d);) forget(d);
  da_table_free(&outbox->deliveries);
  da_buf_free(&outbox->key);
  da_buf_free(&outbox->prefix);
  da_buf_free(&outbox->wanted_prefix);
}
