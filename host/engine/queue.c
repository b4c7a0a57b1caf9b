/* queue.c - queues: channels, semaphores and limiters as one thing.
 *
 * A queue has tokens and those who wait for them, each in the order in which it came. Who waits is a promise; it is
 * given a token by being resolved. What a token is makes the kind: a message that somebody put, a permit that is free,
 * an instant at which one more grant keeps the rate.
 *
 *     wait: the promise is made -> a token is there, nobody is before it: born resolved
 *                               -> else it takes a place
 *     put, back, an instant that came: the first who still waits gets it
 *
 * A hold says what an execution has to do with a queue: a place, a token it was given, a message it sent, an inbox that
 * is its own. So a token can be given back as long as its hold is there, and only once however often that is asked;
 * and when the execution is settled (settle.c), one walk over its holds finds all that has to go. A place whose promise
 * was settled otherwise is passed over when its turn comes: it takes no token. A place always has its hold.
 *
 * The window of a limiter is exact: the last `limit` grants are rows, and one more is allowed as soon as the oldest of
 * them is per_ms ago. If somebody waits, that instant is the queue's due row.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/limits.h"
#include "handlers.h"

typedef struct da_queue_node {
  da_node node;
  struct da_queue_node *next;
  bool stored; /* the store has it, and so its due row at stored_due */
  bool exists;
  bool dirty;
  bool wants; /* something changed: see who can be served */
  int64_t stored_due;
  da_queue q;
  uint64_t place_after; /* the places in the store up to here are dealt with */
  uint64_t token_after; /* the same of tokens */
  uint64_t token_gone;  /* one behind that which is */
} queue_node;

typedef struct da_hold_node {
  da_node node;
  struct da_hold_node *next;
  bool stored;
  bool present;
  bool dirty;
  da_queue_row row;
} hold_node;

static bool found(da_change *c, int rc)
{
  if (rc < 0 && c->status == DA_OK) c->status = (da_status)rc;
  return rc > 0;
}

static bool next_row(da_change *c, const da_queue_row *after, da_queue_row *out)
{
  return c->status == DA_OK && found(c, c->view->ops->queue_next(c->view, after, c->arena, out));
}

static void write_row(da_change *c, const da_queue_row *row, bool del)
{
  da_queue_row *kept = da_arena_alloc(c->arena, sizeof *kept);
  *kept = *row;
  da_write write = {.table = DA_TABLE_QUEUE_ROW, .del = del, .row.queue_row = kept};
  da_change_write(c, &write);
}

/* ---- the working set ----------------------------------------------------------------------------------- */

static queue_node *queue_of(da_change *c, da_slice name)
{
  bool made;
  queue_node *n = da_change_node(c, DA_NODE_QUEUE, name, DA_NONE, sizeof *n, &made);
  if (!made) return n;
  n->next = c->queues;
  c->queues = n;
  n->q.name = name;
  n->exists = n->stored = c->status == DA_OK && found(c, c->view->ops->queue(c->view, name, c->arena, &n->q));
  n->stored_due = n->q.due_at;
  return n;
}

static hold_node *hold_of(da_change *c, da_slice owner, da_slice id)
{
  bool made;
  hold_node *h = da_change_node(c, DA_NODE_HOLD, owner, id, sizeof *h, &made);
  if (!made) return h;
  h->next = c->holds;
  c->holds = h;
  h->row = (da_queue_row){.kind = DA_QUEUE_HOLD, .owner = owner, .id = id};
  if (c->status == DA_OK) h->stored = found(c, c->view->ops->queue_hold(c->view, owner, id, c->arena, &h->row));
  h->present = h->stored;
  return h;
}

static void hold_set(hold_node *h, da_slice name, da_hold_state state, uint64_t seq)
{
  h->present = h->dirty = true;
  h->row.name = name;
  h->row.state = state;
  h->row.seq = seq;
}

static void hold_drop(hold_node *h)
{
  h->present = false;
  h->dirty = true;
}

static uint64_t next_seq(queue_node *n)
{
  n->dirty = true;
  return n->q.next_seq++;
}

/* ---- who waits ----------------------------------------------------------------------------------------- */

/* Takes the place of a hold that waits. */
static void leave(da_change *c, queue_node *n, hold_node *h)
{
  da_queue_row place = {.kind = DA_QUEUE_PLACE, .name = n->q.name, .seq = h->row.seq};
  write_row(c, &place, true);
  n->q.places--;
  n->dirty = true;
}

static bool still_waits(da_change *c, const hold_node *h)
{
  const da_entity *e = da_change_load(c, h->row.id);
  const da_entity *owner = da_change_load(c, h->row.owner);
  return e != NULL && owner != NULL && da_rule_is_live(&e->promise, c->env->now_ms) &&
         da_rule_is_live(&owner->promise, c->env->now_ms);
}

/* The first who waits, without taking its place, which is that of *seq; NULL if nobody does. Places before it that
 * nobody needs any more go. */
static hold_node *first_waiter(da_change *c, queue_node *n, uint64_t *seq)
{
  da_queue_row at = {.kind = DA_QUEUE_PLACE, .name = n->q.name, .seq = n->place_after};
  while (n->q.places > 0 && next_row(c, &at, &at)) {
    hold_node *h = hold_of(c, at.owner, at.id);
    bool waits = h->present && h->row.state == DA_HOLD_WAITING && h->row.seq == at.seq;
    if (waits && still_waits(c, h)) {
      *seq = at.seq;
      return h;
    }
    if (waits) {
      leave(c, n, h);
      hold_drop(h);
    }
    n->place_after = at.seq;
  }
  return NULL;
}

static hold_node *take_waiter(da_change *c, queue_node *n)
{
  uint64_t seq;
  hold_node *h = first_waiter(c, n, &seq);
  if (h == NULL) return NULL;
  n->place_after = seq;
  leave(c, n, h);
  return h;
}

/* ---- tokens -------------------------------------------------------------------------------------------- */

/* The first token the store has; of a limiter the oldest grant in the window. bare: without the message. */
static bool first_token(da_change *c, const queue_node *n, bool bare, da_queue_row *out)
{
  da_queue_row at = {.kind = DA_QUEUE_TOKEN, .name = n->q.name, .seq = n->token_after, .bare = bare};
  do {
    if (!next_row(c, &at, out)) return false;
    at.seq = out->seq;
  } while (out->seq == n->token_gone);
  return true;
}

static void drop_token(da_change *c, queue_node *n, const da_queue_row *token)
{
  n->token_after = token->seq;
  n->q.tokens--;
  n->dirty = true;
  write_row(c, token, true);
}

static void add_token(da_change *c, queue_node *n, const da_queue_row *token)
{
  n->q.tokens++;
  n->dirty = true;
  write_row(c, token, false);
}

/* When a limiter may grant again: the present, or the end of the window that begins with the oldest grant. Of a token
 * that this very apply has added the instant is the present. */
static int64_t free_at(da_change *c, const queue_node *n)
{
  int64_t now = c->env->now_ms;
  da_queue_row oldest;
  if (n->q.tokens < (uint64_t)n->q.limit) return now;
  int64_t from = first_token(c, n, true, &oldest) ? oldest.at : now;
  int64_t at = da_rule_later(from, n->q.per_ms);
  return at > now ? at : now;
}

static bool has_token(da_change *c, const queue_node *n)
{
  switch (n->q.kind) {
  case DA_QUEUE_CHANNEL:
    return n->q.tokens > 0;
  case DA_QUEUE_SEMAPHORE:
    return n->q.held < (uint64_t)n->q.limit;
  case DA_QUEUE_LIMITER:
    return free_at(c, n) <= c->env->now_ms;
  case DA_QUEUE_NONE:
    break;
  }
  return false;
}

/* The grants that a window of `limit` cannot hold are forgotten. */
static void trim(da_change *c, queue_node *n)
{
  da_queue_row oldest;
  while (n->q.kind == DA_QUEUE_LIMITER && n->q.tokens > (uint64_t)n->q.limit && first_token(c, n, true, &oldest))
    drop_token(c, n, &oldest);
}

/* ---- granting ------------------------------------------------------------------------------------------ */

static void resolve(da_change *c, da_entity *e, const da_value *value, bool newborn)
{
  if (newborn)
    da_settle_born(c, e, DA_RESOLVED, value, c->env->now_ms);
  else
    da_settle(c, e, DA_RESOLVED, value);
}

/* message: of a channel. */
static void grant(da_change *c, queue_node *n, hold_node *h, const da_queue_row *message, bool newborn)
{
  static const da_value nothing = {.has_data = true, .encoding = DA_JSON, .data = {"null", 4}};
  da_queue_row token = {.kind = DA_QUEUE_TOKEN, .name = n->q.name};
  switch (n->q.kind) {
  case DA_QUEUE_CHANNEL:
    DA_ASSERT(message != NULL);
    token = *message;
    break;
  case DA_QUEUE_SEMAPHORE:
    n->q.held++;
    n->dirty = true;
    break;
  case DA_QUEUE_LIMITER:
    token.seq = next_seq(n);
    token.at = c->env->now_ms;
    add_token(c, n, &token);
    trim(c, n);
    break;
  case DA_QUEUE_NONE:
    break;
  }
  hold_set(h, n->q.name, DA_HOLD_GRANTED, token.seq);
  da_entity *e = da_change_load(c, h->row.id);
  if (e != NULL) resolve(c, e, n->q.kind == DA_QUEUE_CHANNEL ? &message->value : &nothing, newborn);
}

/* A message for whoever waits first; else it waits itself. */
static void offer(da_change *c, queue_node *n, const da_queue_row *message)
{
  hold_node *h = take_waiter(c, n);
  if (h != NULL)
    grant(c, n, h, message, false);
  else
    add_token(c, n, message);
}

/* Gives out what is there, a bounded part at a time, and says how much that was. Messages never lie about while
 * somebody waits: see offer(). */
static size_t serve(da_change *c, queue_node *n)
{
  size_t count = 0;
  n->wants = false;
  trim(c, n);
  for (; n->q.kind != DA_QUEUE_CHANNEL && count < DA_QUEUE_GRANTS_MAX && has_token(c, n); count++) {
    hold_node *h = take_waiter(c, n);
    if (h == NULL) break;
    grant(c, n, h, NULL, false);
  }
  return count;
}

static void serve_all(da_change *c)
{
  for (queue_node *n = c->queues; n != NULL; n = n->next)
    if (n->wants && n->exists) (void)serve(c, n);
}

/* ---- names --------------------------------------------------------------------------------------------- */

/* `<execution id>/<name>` is an inbox of that execution. */
static bool inbox_owner(da_slice name, da_slice *owner)
{
  size_t end = name.len;
  while (end > 0 && name.ptr[end - 1] != '/') end--;
  if (end == 0) return false;
  *owner = da_slice_make(name.ptr, end - 1);
  return true;
}

static queue_node *refuse(da_change *c, int status, da_slice words)
{
  c->out->reply.status = status;
  c->out->reply.message = words;
  return NULL;
}

static void refuse_gone(da_change *c, da_slice owner, bool there)
{
  (void)refuse(c, 410,
               there ? da_arena_printf(c->arena, "execution '%.*s' has ended", DA_FMT(owner))
                     : da_arena_printf(c->arena, "there is no execution '%.*s'", DA_FMT(owner)));
}

/* The queue, as the request wants it; made if it is new. NULL, with a reply, if it cannot be. */
static queue_node *open_queue(da_change *c, const da_request *req, da_queue_kind kind)
{
  da_slice owner;
  bool inbox = inbox_owner(req->queue.name, &owner);
  if (inbox) {
    const da_entity *e = da_settle_load(c, owner);
    bool there = e != NULL && e->has_task;
    if (!there || e->promise.state != DA_PENDING) {
      refuse_gone(c, owner, there);
      return NULL;
    }
    if (req->kind == DA_REQ_QUEUE_WAIT && !da_slice_eq(owner, req->id))
      return refuse(c, 422,
                    da_arena_printf(c->arena, "'%.*s' is the inbox of '%.*s': others can only send to it",
                                    DA_FMT(req->queue.name), DA_FMT(owner)));
  }
  queue_node *n = queue_of(c, req->queue.name);
  if (c->status != DA_OK) return NULL;
  if (n->exists && n->q.kind != kind)
    return refuse(c, 422,
                  da_arena_printf(c->arena, "'%.*s' is a %s; it cannot be a %s as well: give one of them another name",
                                  DA_FMT(n->q.name), da_queue_kind_name(n->q.kind), da_queue_kind_name(kind)));
  if (n->exists) return n;
  n->exists = n->dirty = true;
  n->q = (da_queue){.name = req->queue.name, .kind = kind, .next_seq = 1};
  if (inbox) hold_set(hold_of(c, owner, n->q.name), n->q.name, DA_HOLD_INBOX, 0);
  return n;
}

/* ---- queue.wait ---------------------------------------------------------------------------------------- */

/* The newest request says how many there are, and how fast. */
static void set_parameters(queue_node *n, const da_queue *wanted)
{
  if (n->q.limit == wanted->limit && n->q.per_ms == wanted->per_ms) return;
  n->q.limit = wanted->limit;
  n->q.per_ms = wanted->per_ms;
  n->dirty = true;
}

static void join(da_change *c, queue_node *n, hold_node *h)
{
  uint64_t seq = next_seq(n);
  da_queue_row place = {.kind = DA_QUEUE_PLACE, .name = n->q.name, .seq = seq, .owner = h->row.owner, .id = h->row.id};
  write_row(c, &place, false);
  n->q.places++;
  hold_set(h, n->q.name, DA_HOLD_WAITING, seq);
}

static void arrive(da_change *c, queue_node *n, hold_node *h)
{
  uint64_t seq;
  da_queue_row message = {0};
  bool channel = n->q.kind == DA_QUEUE_CHANNEL;
  bool first = first_waiter(c, n, &seq) == NULL && has_token(c, n);
  if (first && channel) first = first_token(c, n, false, &message);
  if (!first) {
    join(c, n, h);
    return;
  }
  if (channel) drop_token(c, n, &message);
  grant(c, n, h, &message, true);
}

void da_queue_wait(da_change *c, const da_request *req)
{
  if (da_task_pass_fence(c, req) == NULL) return;
  da_entity *e = da_change_load(c, req->promise_id);
  if (e == NULL) {
    queue_node *n = open_queue(c, req, req->queue.kind);
    if (n == NULL) return;
    set_parameters(n, &req->queue);
    (void)serve(c, n);
    e = da_promise_birth(c, req->promise_id, req);
    if (e->promise.state == DA_PENDING) arrive(c, n, hold_of(c, req->id, req->promise_id));
  }
  c->out->reply.promise = da_change_show(c, e);
}

/* ---- queue.put ----------------------------------------------------------------------------------------- */

static bool has_name(const da_digest *message)
{
  static const da_digest none;
  return !da_digest_eq(message, &none);
}

static bool is_recent(const queue_node *n, const da_digest *message)
{
  for (size_t i = 0; i < DA_QUEUE_RECENT && has_name(message); i++)
    if (da_digest_eq(&n->q.recent[i], message)) return true;
  return false;
}

/* Is the message one that was put before? Of a workflow's the record of its call tells. */
static bool sent_before(da_change *c, const da_request *req, const queue_node *n)
{
  if (req->promise_id.len == 0) return is_recent(n, &req->message);
  return req->version < 0 && hold_of(c, req->id, req->promise_id)->present;
}

static void note_sent(da_change *c, const da_request *req, queue_node *n)
{
  if (req->promise_id.len == 0) {
    if (!has_name(&req->message)) return; /* in the list it would end it */
    memmove(n->q.recent + 1, n->q.recent, (DA_QUEUE_RECENT - 1) * sizeof n->q.recent[0]);
    n->q.recent[0] = req->message;
  } else if (req->version < 0) {
    hold_set(hold_of(c, req->id, req->promise_id), n->q.name, DA_HOLD_SENT, 0);
  }
}

static bool refuse_full(da_change *c, const queue_node *n)
{
  if (n->q.tokens < DA_MESSAGES_MAX) return false;
  (void)refuse(c, 507,
               da_arena_printf(c->arena,
                               "channel '%.*s' holds %d messages that nobody received, and takes no more: "
                               "receive them first",
                               DA_FMT(n->q.name), (int)DA_MESSAGES_MAX));
  return true;
}

/* The execution whose step sends: once it has ended nobody would forget what it sent. */
static bool step_may_send(da_change *c, const da_request *req)
{
  const da_entity *e = da_settle_load(c, req->id);
  if (e != NULL && e->has_task && e->promise.state == DA_PENDING) return true;
  refuse_gone(c, req->id, e != NULL);
  return false;
}

void da_queue_put(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  bool recorded = req->promise_id.len != 0 && req->version >= 0;
  if (recorded) {
    if (da_task_pass_fence(c, req) == NULL) return;
    da_entity *e = da_change_load(c, req->promise_id);
    if (e != NULL) {
      reply->promise = da_change_show(c, e);
      return;
    }
  } else if (req->promise_id.len != 0 && !step_may_send(c, req)) {
    return;
  }
  queue_node *n = open_queue(c, req, DA_QUEUE_CHANNEL);
  if (n == NULL) return;
  if (!sent_before(c, req, n)) {
    if (refuse_full(c, n)) return;
    note_sent(c, req, n);
    da_queue_row message = {.kind = DA_QUEUE_TOKEN, .name = n->q.name, .seq = next_seq(n), .value = req->value};
    offer(c, n, &message);
  }
  reply->count = (size_t)n->q.tokens;
  if (!recorded) return;
  da_request record = *req;
  record.state = DA_RESOLVED;
  record.value = (da_value){.has_data = true, .encoding = DA_JSON, .data = DA_LIT("null")};
  reply->promise = da_change_show(c, da_task_birth_settled(c, &record));
}

/* ---- queue.back ---------------------------------------------------------------------------------------- */

static void stop_waiting(da_change *c, queue_node *n, hold_node *h)
{
  leave(c, n, h);
  hold_drop(h);
  da_entity *e = da_change_load(c, h->row.id);
  if (e != NULL && e->promise.state == DA_PENDING) da_settle(c, e, DA_CANCELED, NULL);
}

static void give_back(da_change *c, queue_node *n, hold_node *h)
{
  da_queue_row token = {.kind = DA_QUEUE_TOKEN, .name = n->q.name, .seq = h->row.seq};
  da_entity *e = da_change_load(c, h->row.id);
  hold_drop(h);
  n->dirty = true;
  switch (n->q.kind) {
  case DA_QUEUE_CHANNEL:
    if (e == NULL) return;
    token.value = da_change_show(c, e)->value;
    offer(c, n, &token);
    break;
  case DA_QUEUE_SEMAPHORE:
    n->q.held--;
    break;
  case DA_QUEUE_LIMITER: { /* unless the window has forgotten it */
    da_queue_row before = token, there;
    before.seq--;
    if (!next_row(c, &before, &there) || there.seq != token.seq) return;
    n->q.tokens--;
    n->token_gone = token.seq;
    write_row(c, &token, true);
    break;
  }
  case DA_QUEUE_NONE:
    break;
  }
}

void da_queue_back(da_change *c, const da_request *req)
{
  if (da_task_pass_fence(c, req) == NULL) return;
  hold_node *h = hold_of(c, req->id, req->promise_id);
  if (!h->present) return; /* asked before, by what a replay does again */
  queue_node *n = queue_of(c, h->row.name);
  n->wants = true;
  if (h->row.state == DA_HOLD_WAITING)
    stop_waiting(c, n, h);
  else if (h->row.state == DA_HOLD_GRANTED)
    give_back(c, n, h);
  serve_all(c);
}

/* ---- the end of an execution --------------------------------------------------------------------------- */

static void drop_queue(da_change *c, queue_node *n)
{
  da_queue_row token;
  while (first_token(c, n, true, &token)) drop_token(c, n, &token);
  n->exists = false;
  n->dirty = true;
  n->q.due_at = 0;
}

/* Messages it was given stay taken, and so do grants of a limiter: what it did with them is not known. */
static void let_go(da_change *c, hold_node *h, bool ended)
{
  if (h->row.state == DA_HOLD_INBOX && !ended) return;
  queue_node *n = queue_of(c, h->row.name);
  switch (h->row.state) {
  case DA_HOLD_WAITING:
    stop_waiting(c, n, h);
    break;
  case DA_HOLD_GRANTED:
    if (n->q.kind == DA_QUEUE_SEMAPHORE) give_back(c, n, h);
    break;
  case DA_HOLD_INBOX:
    drop_queue(c, n);
    break;
  case DA_HOLD_SENT:
    break;
  }
  n->wants = true;
  hold_drop(h);
}

void da_queue_over(da_change *c, da_slice owner, bool ended)
{
  da_queue_row at = {.kind = DA_QUEUE_HOLD, .owner = owner};
  bool inbox = false;
  while (next_row(c, &at, &at)) {
    hold_node *h = hold_of(c, owner, at.id);
    if (!h->present) continue;
    if (h->row.state == DA_HOLD_INBOX) /* behind those that wait in it */
      inbox = true;
    else
      let_go(c, h, ended);
  }
  for (hold_node *h = c->holds; inbox && h != NULL; h = h->next)
    if (h->present && h->row.state == DA_HOLD_INBOX && da_slice_eq(h->row.owner, owner)) let_go(c, h, ended);
  serve_all(c);
}

/* ---- an instant that came ------------------------------------------------------------------------------ */

void da_queue_due(da_change *c, const da_due *row)
{
  queue_node *n = queue_of(c, row->id);
  if (!n->stored || n->stored_due != row->at) {
    da_due_drop_stray(c, row);
    return;
  }
  size_t granted = n->exists ? serve(c, n) : 0;
  if (granted > 1) c->out->reply.count += granted - 1; /* each is work of its own for the sweep's bound */
}

/* ---- the flush ----------------------------------------------------------------------------------------- */

/* When the queue has to be looked at again: its limiter grants again, or a grant was left out. */
static int64_t due_of(da_change *c, const queue_node *n)
{
  if (!n->exists || n->q.places == 0 || n->q.kind == DA_QUEUE_CHANNEL) return 0;
  int64_t now = c->env->now_ms;
  if (has_token(c, n)) return da_rule_later(now, 1);
  return n->q.kind == DA_QUEUE_LIMITER ? free_at(c, n) : 0;
}

static void flush_queue(da_change *c, queue_node *n)
{
  n->q.due_at = due_of(c, n);
  da_write write = {.table = DA_TABLE_QUEUE, .del = !n->exists, .row.queue = &n->q};
  da_change_write(c, &write);
  if (n->q.due_at == n->stored_due) return;
  da_write old = {.table = DA_TABLE_DUE, .del = true, .row.due = {DA_DUE_QUEUE, n->stored_due, n->q.name}};
  da_write new = {.table = DA_TABLE_DUE, .row.due = {DA_DUE_QUEUE, n->q.due_at, n->q.name}};
  if (n->stored_due != 0) da_change_write(c, &old);
  if (n->q.due_at != 0) da_change_write(c, &new);
}

void da_queue_flush(da_change *c)
{
  for (queue_node *n = c->queues; n != NULL; n = n->next)
    if (n->dirty && (n->exists || n->stored)) flush_queue(c, n);
  for (hold_node *h = c->holds; h != NULL; h = h->next)
    if (h->dirty && (h->present || h->stored)) write_row(c, &h->row, !h->present);
}
