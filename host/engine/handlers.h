/* handlers.h - inside the engine: one function per request, and the parts they share.
 *
 * A handler reads, decides, writes. It is called with a request whose shape is right (request.c) and answers in
 * c->out->reply, which stands at status 200 before the call.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_ENGINE_HANDLERS_H
#define DA_ENGINE_HANDLERS_H

#include "change.h"
#include "rule.h"

/* request.c: false, with reply 400, if the request is wrong whatever the store holds. */
bool da_request_check(const da_engine_env *env, const da_request *req, da_arena *arena, da_reply *reply);

/* engine.c */
void da_refuse(da_reply *reply, int status, const char *message);

/* promise.c */
void da_promise_get(da_change *c, const da_request *req);
void da_promise_create(da_change *c, const da_request *req);
void da_promise_settle(da_change *c, const da_request *req);
void da_promise_register_callback(da_change *c, const da_request *req);
void da_promise_register_listener(da_change *c, const da_request *req);
/* Makes the promise `id` the request describes, pending or born dead, with its task if it has one (pending, without a
 * timer: the caller dispatches or acquires it). The promise must be absent. */
da_entity *da_promise_birth(da_change *c, da_slice id, const da_request *req);
/* Makes the promise of a schedule that the request describes, as of created_at, unless there is one. */
void da_promise_fire(da_change *c, const da_request *req, int64_t created_at);
/* What promise.create and promise.settle do once their request is found right; the fence wraps them. */
void da_promise_do_create(da_change *c, da_slice id, const da_request *req, da_reply *reply);
void da_promise_do_settle(da_change *c, da_slice id, const da_request *req, da_reply *reply);
/* Somebody is about to wait for a pending promise: see that its deadline cannot be missed. */
void da_promise_oblige(da_change *c, da_entity *e);

/* task.c */
void da_task_get(da_change *c, const da_request *req);
void da_task_create(da_change *c, const da_request *req);
void da_task_acquire(da_change *c, const da_request *req);
void da_task_release(da_change *c, const da_request *req);
void da_task_fulfill(da_change *c, const da_request *req);
void da_task_suspend(da_change *c, const da_request *req);
void da_task_fence(da_change *c, const da_request *req);
void da_task_heartbeat(da_change *c, const da_request *req);
void da_task_halt(da_change *c, const da_request *req);
void da_task_continue(da_change *c, const da_request *req);
void da_task_step(da_change *c, const da_request *req);
void da_task_spawn(da_change *c, const da_request *req);
void da_task_again(da_change *c, const da_request *req);

/* schedule.c */
void da_schedule_get(da_change *c, const da_request *req);
void da_schedule_create(da_change *c, const da_request *req);
void da_schedule_delete(da_change *c, const da_request *req);
void da_schedule_declare(da_change *c, const da_request *req);
/* NULL, or why no schedule can be made as the request says, whatever the store holds. */
const char *da_schedule_fault(const da_profile *profile, const da_request *req, da_arena *arena);
/* Its due row has come: fires what is due of it. False if the row is not the one of a schedule. */
bool da_schedule_fire(da_change *c, const da_due *row);

/* The task that holds the fence, both promises of the request first settled if past their deadlines; NULL, with a
 * reply, if the caller does not hold it. */
da_entity *da_task_pass_fence(da_change *c, const da_request *req);
/* The record of a call that is over. Its promise must be absent. */
da_entity *da_task_birth_settled(da_change *c, const da_request *req);

/* queue.c */
void da_queue_wait(da_change *c, const da_request *req);
void da_queue_put(da_change *c, const da_request *req);
void da_queue_back(da_change *c, const da_request *req);
void da_queue_due(da_change *c, const da_due *row); /* of a sweep */
/* The execution waits for nothing any more and its permits are free. `ended`: its inboxes go too; else it begins anew
 * under the same id and keeps them. */
void da_queue_over(da_change *c, da_slice owner, bool ended);
void da_queue_flush(da_change *c);

/* search.c */
void da_promise_search(da_change *c, const da_request *req);
void da_task_search(da_change *c, const da_request *req);
void da_schedule_search(da_change *c, const da_request *req);

/* turn.c: the turns of a task. They change state, timer and messages together and decide nothing. */
void da_turn_dispatch(da_change *c, da_entity *e); /* to pending, retry armed, execute sent */
void da_turn_delay(da_entity *e, int64_t at_ms);   /* to pending, nothing sent before at_ms */
void da_turn_acquire(da_change *c, da_entity *e, da_slice pid, int64_t ttl);
void da_turn_rest(da_entity *e, da_task_state state); /* suspended, halted, fulfilled: no holder, no timer */
void da_turn_resume_add(da_change *c, da_entity *e, da_slice settled);
void da_turn_resumes_clear(da_change *c, da_entity *e);

/* settle.c: the one settlement, for every caller. */
void da_settle(da_change *c, da_entity *e, da_promise_state state, const da_value *value);
/* An execution that the promise may not lie below waits for it, or asks for it: it will again, when it is replayed, so
 * the record is marked as one to be kept. A root is kept as it is, and so is what no call made. */
void da_settle_elsewhere(da_change *c, da_entity *e, da_slice awaiter);
/* Settles those of the given promises that are pending past their deadline. Absent ones (NULL) are passed over. */
void da_settle_expired(da_change *c, da_entity *const *list, size_t count);
/* Loads the promise, first settling it if it is past its deadline. NULL if absent. */
da_entity *da_settle_load(da_change *c, da_slice id);
/* A promise that is made settled: nobody can be waiting for it. */
void da_settle_born(da_change *c, da_entity *e, da_promise_state state, const da_value *value, int64_t settled_at);
/* An awaited promise has settled: what becomes of the task that waits for it. */
void da_settle_wake(da_change *c, da_entity *awaiter, da_slice settled);

/* preload.c: the records of the promise's branch into the reply, unless the caller does without. */
void da_preload(da_change *c, const da_request *req, const da_entity *e, da_reply *reply);

/* due.c */
/* A due row that no record asks for. */
void da_due_drop_stray(da_change *c, const da_due *row);
void da_due_sweep(da_change *c, const da_request *req);
void da_due_recover(da_change *c, const da_request *req);
/* Settles what fell due at `at` or before, DA_SWEEP_MAX of them at most. */
void da_due_settle_before(da_change *c, int64_t at);
void da_due_claim(da_change *c, const da_request *req);
void da_due_sent(da_change *c, const da_request *req);

#endif
