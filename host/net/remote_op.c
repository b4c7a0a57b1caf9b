/* remote_op.c - an op's requests on their way to the server, and its outcomes.
 *
 * Ops of a lane are answered in the order in which they were submitted, whenever their answers came: what waits for
 * nothing (an op that would have read the store) takes its turn too. The requests of an op that stops at a refusal are
 * asked one after the other, and the ops behind it when it is over; all others are on their way at once.
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../engine/effect.h"
#include "remote_parts.h"

enum { PART_ONLY, PART_CREATE, PART_SETTLE, PART_SETTLE_AGAIN };

struct da_remote_op {
  da_remote_lane *lane;
  da_op *op;
  size_t left; /* requests without a reply */
  bool begun;  /* its requests are on their way */
  bool over;
  bool stopped; /* the rest is not asked any more */
  da_remote_op *next;
};

/* ---- answering ----------------------------------------------------------------------------------------- */

static void tell_over(da_remote_lane *lane)
{
  da_remote *remote = lane->remote;
  while (lane->ops != NULL && lane->ops->over) {
    da_remote_op *first = lane->ops;
    lane->ops = first->next;
    if (lane->ops == NULL) lane->ops_end = &lane->ops;
    da_op *op = first->op;
    free(first);
    da_sched_answer(remote->sched, op);
  }
}

static void flush(void *arg)
{
  da_remote_lane *lane = arg;
  lane->flush_posted = false;
  tell_over(lane);
}

static void begin_next(da_remote_lane *lane);

static void end(da_remote_op *o)
{
  o->over = true;
  if (o->lane->apart != o) return;
  o->lane->apart = NULL;
  begin_next(o->lane);
}

/* Not from within submit(). */
static void tell_soon(da_remote_lane *lane)
{
  if (lane->flush_posted) return;
  lane->flush_posted = true;
  da_sched_post(lane->remote->sched, flush, lane);
}

static void ask_request(da_remote_op *o, size_t index);

static void request_over(da_remote_op *o, size_t index)
{
  const da_reply *reply = &o->op->outcomes[index].reply;
  bool good = reply->status == 200 || reply->status == 300;
  o->left--;
  if (o->op->stop_at_refusal && !good) o->stopped = true;
  if (o->stopped || o->left == 0)
    end(o);
  else if (o->op->stop_at_refusal)
    ask_request(o, index + 1);
}

/* ---- what a suspension found settled ------------------------------------------------------------------- */

typedef struct look {
  da_remote_op *o;
  size_t index;
  size_t left;
} look;

static void looked(da_remote_call *call, const da_client_answer *answer, da_arena *arena)
{
  look *l = call->user;
  da_remote_lane *lane = call->lane;
  (void)arena;
  if (answer != NULL && answer->reply.status == 200 && answer->reply.promise->state != DA_PENDING)
    da_remote_settled(lane->remote, answer->reply.promise);
  if (--l->left > 0 || answer == NULL) return;
  request_over(l->o, l->index);
  tell_over(lane);
}

/* The server does not say which: all that it named are looked at. */
static void look_at_awaited(da_remote_op *o, size_t index, const da_request *request)
{
  look *l = da_arena_alloc(&o->op->arena, sizeof *l);
  *l = (look){o, index, request->await_count};
  for (size_t i = 0; i < request->await_count; i++) {
    const da_request get = {.kind = DA_REQ_PROMISE_GET, .id = request->awaits[i].awaited};
    (void)da_remote_ask(o->lane, &get, NULL, looked, l, NULL);
  }
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static const da_reply *step_reply(const da_reply *outer)
{
  return outer->status == 200 && outer->inner != NULL ? outer->inner : outer;
}

static void ask_part(da_remote_op *o, size_t index, int part);

/* A settle that came before its create: a server that takes what is pipelined out of order. */
static bool came_too_early(const da_remote_op *o, size_t index, int part, const da_reply *reply)
{
  const da_reply *before = &o->op->outcomes[index].reply;
  return part == PART_SETTLE && reply->status == 404 && before->status == 200;
}

static void part_answered(da_remote_call *call, const da_client_answer *answer, da_arena *arena)
{
  da_remote_op *o = call->user;
  da_remote_lane *lane = call->lane;
  size_t index = call->index;
  const da_request *request = &o->op->requests[index];
  da_reply *reply = &o->op->outcomes[index].reply;
  (void)arena;
  if (answer == NULL) return; /* the ops are closed as a whole */
  da_remote_note(lane->remote, request, &answer->reply);
  if (call->part == PART_CREATE) {
    *reply = *step_reply(&answer->reply);
    return;
  }
  if (call->part == PART_SETTLE || call->part == PART_SETTLE_AGAIN) {
    const da_reply *settled = step_reply(&answer->reply);
    if (came_too_early(o, index, call->part, settled)) {
      ask_part(o, index, PART_SETTLE_AGAIN);
      return;
    }
    if (reply->status == 200 || reply->status == 0) *reply = *settled; /* else the create said why */
  } else {
    *reply = answer->reply;
    if (request->kind == DA_REQ_SCHEDULE_DECLARE) reply->count = 1;
  }
  if (request->kind == DA_REQ_TASK_SUSPEND && reply->status == 300) {
    look_at_awaited(o, index, request);
    return;
  }
  if (request->kind == DA_REQ_TASK_FULFILL && reply->status == 200) da_remote_settled(lane->remote, reply->promise);
  request_over(o, index);
  tell_over(lane);
}

static void ask_part(da_remote_op *o, size_t index, int part)
{
  da_request request = o->op->requests[index];
  const char *preload = NULL;
  if (part != PART_ONLY) {
    request.kind = DA_REQ_TASK_FENCE;
    request.fence_settles = part != PART_CREATE;
  }
  if (request.kind == DA_REQ_TASK_AGAIN) request.state = DA_RESOLVED;
  if (request.kind == DA_REQ_SCHEDULE_DECLARE) request.kind = DA_REQ_SCHEDULE_CREATE;
  if (request.kind == DA_REQ_TASK_ACQUIRE) preload = request.no_preload ? "none" : "whole";
  if (request.kind == DA_REQ_TASK_FENCE || request.kind == DA_REQ_TASK_SUSPEND || request.kind == DA_REQ_TASK_CREATE)
    preload = "none";
  da_remote_call *call = da_remote_ask(o->lane, &request, preload, part_answered, o, &o->op->arena);
  call->index = index;
  call->part = part;
}

static bool is_refused_here(da_req_kind kind)
{
  return kind == DA_REQ_QUEUE_WAIT || kind == DA_REQ_QUEUE_PUT || kind == DA_REQ_QUEUE_BACK;
}

static void ask_request(da_remote_op *o, size_t index)
{
  const da_request *request = &o->op->requests[index];
  if (is_refused_here(request->kind)) {
    o->op->outcomes[index].reply = (da_reply){
        .status = 501,
        .message = DA_LIT("queues are kept by `dahost serve` in its own store; a worker of another server has none")};
    request_over(o, index);
    tell_soon(o->lane);
  } else if (request->kind == DA_REQ_TASK_STEP || request->kind == DA_REQ_TASK_AGAIN) {
    ask_part(o, index, PART_CREATE);
    ask_part(o, index, PART_SETTLE);
  } else {
    ask_part(o, index, PART_ONLY);
  }
}

static void begin(da_remote_op *o)
{
  const da_op *op = o->op;
  o->begun = true;
  if (op->stop_at_refusal && op->request_count > 1) o->lane->apart = o;
  ask_request(o, 0);
  for (size_t i = 1; i < op->request_count && !op->stop_at_refusal; i++) ask_request(o, i);
}

static void begin_next(da_remote_lane *lane)
{
  for (da_remote_op *o = lane->ops; o != NULL && lane->apart == NULL; o = o->next)
    if (!o->begun) begin(o);
}

static da_slice subject_of(const da_op *op)
{
  if (op->subject.len > 0) return op->subject;
  return op->request_count > 0 ? op->requests[0].id : DA_NONE;
}

void da_remote_submit(void *user, da_op *op)
{
  da_remote *remote = user;
  da_remote_lane *lane = da_remote_lane_of(remote, subject_of(op));
  da_remote_op *o = da_xcalloc(1, sizeof *o);
  o->lane = lane;
  o->op = op;
  o->left = op->request_count;
  *lane->ops_end = o;
  lane->ops_end = &o->next;
  op->status = remote->closing ? DA_ECLOSED : DA_OK;
  if (remote->closing || op->request_count == 0) {
    o->begun = true;
    end(o);
    tell_soon(lane);
    return;
  }
  op->outcomes = da_arena_zalloc(&op->arena, op->request_count * sizeof *op->outcomes);
  if (lane->apart == NULL) begin(o);
}

void da_remote_close_ops(da_remote_lane *lane)
{
  for (da_remote_op *o = lane->ops; o != NULL; o = o->next) {
    if (!o->over) {
      o->op->status = DA_ECLOSED;
      o->op->outcomes = NULL;
      (void)da_fail(&o->op->err, DA_ECLOSED, "the program is ending");
    }
    o->over = true;
  }
  if (lane->ops != NULL) tell_soon(lane);
}
