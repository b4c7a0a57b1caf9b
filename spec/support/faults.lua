-- faults.lua - mistakes a person could make in the engine, one line each, for the random runs to find.
--
-- Each is a change of the engine's own text: `from` must be there exactly once. The spec compiles the changed file
-- into a probe of its own, so that nothing of this is in the engine. run = "queue": the run of queue_lockstep.lua.
--
-- SPDX-License-Identifier: Apache-2.0
return {
  {
    words = "an expired promise is stamped with the instant of discovery",
    file = "settle.c",
    from = "settle_begin(c, e, da_rule_verdict(&e->promise), NULL, e->promise.timeout_at);",
    to = "settle_begin(c, e, da_rule_verdict(&e->promise), NULL, c->env->now_ms);",
  },
  {
    words = "an awaiter past its own deadline is woken",
    file = "settle.c",
    from = "if (!awaiter->has_task || !da_rule_is_live(&awaiter->promise, c->env->now_ms)) return;",
    to = "if (!awaiter->has_task) return;",
  },
  {
    words = "a settled promise goes on waiting for others",
    file = "settle.c",
    from = "  forget_awaited(c, e->promise.id);\n",
    to = "",
  },
  {
    words = "a halted awaiter does not count what settles",
    file = "settle.c",
    from = "  case DA_TASK_HALTED:\n    da_turn_resume_add(c, awaiter, settled);\n    break;\n  case DA_TASK_FULFILLED:\n",
    to = "    da_turn_resume_add(c, awaiter, settled);\n    break;\n  case DA_TASK_HALTED:\n  case DA_TASK_FULFILLED:\n",
  },
  {
    words = "the version moves when a lease is lost, not when the task is acquired again",
    file = "turn.c",
    from = "  da_turn_delay(e, da_rule_later(",
    to = "  if (e->task.state == DA_TASK_ACQUIRED) e->task.version++;\n  da_turn_delay(e, da_rule_later(",
  },
  {
    words = "an acquired task keeps its resumes",
    file = "turn.c",
    from = "{\n  da_turn_resumes_clear(c, e);\n  da_task *t = da_change_task(e);\n",
    to = "{\n  da_task *t = da_change_task(e);\n",
  },
  {
    words = "the first waiter of an internal promise does not arm it",
    file = "promise.c",
    from = "if (c->env->profile->arm == DA_ARM_EXTERNAL) arm(c, e);",
    to = "if (c->env->profile->arm == DA_ARM_EXTERNAL && e->promise.armed) arm(c, e);",
  },
  {
    words = "every promise is armed at birth",
    file = "promise.c",
    from = "return da_rule_is_external(&e->promise);",
    to = "return true;",
  },
  {
    words = "a settled promise can be settled again",
    file = "promise.c",
    from = "if (e->promise.state == DA_PENDING) da_settle(c, e, req->state, &req->value);",
    to = "da_settle(c, e, req->state, &req->value);",
  },
  {
    words = "a delay is ignored and the task sent at once",
    file = "promise.c",
    from = "  if (at > c->env->now_ms)\n",
    to = "  if (at < 0)\n",
  },
  {
    words = "a stale version passes the fence",
    file = "task.c",
    from = "return e->task.state == DA_TASK_ACQUIRED && e->task.version == version;",
    to = "return e->task.state == DA_TASK_ACQUIRED && e->task.version >= version;",
  },
  {
    words = "anybody's heartbeat moves a lease",
    file = "task.c",
    from = "if (!da_slice_eq(e->task.pid, req->pid) || ",
    to = "if (",
  },
  {
    words = "a heartbeat past the deadline moves the lease",
    file = "task.c",
    from = " || !da_rule_is_live(&e->promise, c->env->now_ms)) continue;\n    da_change_task(e)->timer_at",
    to = ") continue;\n    da_change_task(e)->timer_at",
  },
  {
    words = "suspend looks at the first awaited promise only",
    file = "task.c",
    from = "  for (size_t i = 0; i < count; i++)\n    if (awaited[i]->promise.state != DA_PENDING) return true;\n",
    to = "  if (count > 0 && awaited[0]->promise.state != DA_PENDING) return true;\n",
  },
  {
    words = "a promise lives through the very instant of its deadline",
    file = "rule.c",
    from = "return promise->state == DA_PENDING && now_ms < promise->timeout_at;",
    to = "return promise->state == DA_PENDING && now_ms <= promise->timeout_at;",
  },
  {
    words = "only one listener of a promise is told",
    file = "change.c",
    from = "da_slice b = message->kind == DA_UNBLOCK ? message->address : DA_NONE;",
    to = "da_slice b = DA_NONE;",
  },
  {
    words = "an answer 300 registers callbacks all the same",
    file = "task.c",
    from = "    da_turn_resumes_clear(c, e);\n    reply->status = 300;\n",
    to = "    da_turn_resumes_clear(c, e);\n    reply->status = 300;\n"
      .. "    for (size_t i = 0; i < req->await_count; i++)\n      if (awaited[i]->promise.state == DA_PENDING)"
      .. " da_change_callback_add(c, awaited[i]->promise.id, e->promise.id);\n",
  },
  {
    words = "a halted task is woken by register_callback",
    file = "promise.c",
    from = "} else if (awaiter->task.state != DA_TASK_HALTED) {",
    to = "} else {",
  },
  {
    words = "a lease that is over is forgotten",
    file = "due.c",
    from = "if (e->task.timer_at == row->at) da_turn_dispatch(c, e);",
    to = "if (e->task.timer_at == row->at && e->task.state == DA_TASK_PENDING) da_turn_dispatch(c, e);",
  },
  {
    words = "a generation is left out",
    file = "task.c",
    from = "if (req->call.generation != last + 1 ||",
    to = "if (req->call.generation <= last ||",
  },
  {
    words = "one permit more than there are",
    file = "queue.c",
    from = "return n->q.held < (uint64_t)n->q.limit;",
    to = "return n->q.held <= (uint64_t)n->q.limit;",
    run = "queue",
  },
  {
    words = "a limiter grants a millisecond too early",
    file = "queue.c",
    from = "da_rule_later(from, n->q.per_ms)",
    to = "da_rule_later(from, n->q.per_ms - 1)",
    run = "queue",
  },
  {
    words = "somebody who was withdrawn, or whose execution is over, takes a token",
    file = "queue.c",
    from = "if (waits && still_waits(c, h)) {",
    to = "if (waits) {",
    run = "queue",
  },
  {
    words = "a message that comes back goes to the end of its channel",
    file = "queue.c",
    from = ".name = n->q.name, .seq = h->row.seq};\n  da_entity *e",
    to = ".name = n->q.name, .seq = n->q.next_seq++};\n  da_entity *e",
    run = "queue",
  },
  {
    words = "a permit goes to the next only when somebody asks",
    file = "queue.c",
    from = "  else if (h->row.state == DA_HOLD_GRANTED)\n    give_back(c, n, h);\n  serve_all(c);",
    to = "  else if (h->row.state == DA_HOLD_GRANTED)\n    give_back(c, n, h);",
    run = "queue",
  },
  {
    words = "a message of a step is put by each attempt",
    file = "queue.c",
    from = "return req->version < 0 && hold_of(c, req->id, req->promise_id)->present;",
    to = "return false;",
    run = "queue",
  },
  {
    words = "a new generation keeps its permits",
    file = "task.c",
    from = "  da_queue_over(c, req->id, false);\n",
    to = "",
    run = "queue",
  },
  {
    words = "an execution that has ended keeps its permits",
    file = "settle.c",
    from = "  if (e->has_task) da_queue_over(c, e->promise.id, true);\n",
    to = "",
    run = "queue",
  },
}
