/* server_debug.c - the protocol's debug requests: time stands, everything goes, everything is shown. For tests.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "../base/text.h"
#include "server_parts.h"

static void answer(da_ask *a, da_op *op, da_slice json)
{
  da_server *s = a->waiting.server;
  da_buf_clear(&s->text);
  da_envelope_write_data(&s->text, &a->envelope, 200, json);
  da_ask_end(a, op, 200);
}

static void answer_failed(da_ask *a, da_op *op, da_status status, const da_err *err)
{
  op->status = status;
  if (err != NULL) op->err = *err;
  da_ask_refuse_failed(a, op);
}

/* ---- the snapshot -------------------------------------------------------------------------------------- */

static void open_list(da_buf *out, const char *name)
{
  da_buf_addf(out, "%s\"%s\":[", out->len > 1 ? "," : "", name);
}

static void next(da_buf *out, size_t i)
{
  if (i > 0) da_buf_add_byte(out, ',');
}

static void put_pair(da_buf *out, const char *first, da_slice first_text, const char *second, da_slice second_text)
{
  da_buf_addf(out, "{\"%s\":", first);
  da_text_quote_lossy(out, first_text);
  da_buf_addf(out, ",\"%s\":", second);
  da_text_quote_lossy(out, second_text);
  da_buf_add_byte(out, '}');
}

static void put_due(da_buf *out, const da_due *due)
{
  da_buf_add_slice(out, DA_LIT("{\"id\":"));
  da_text_quote_lossy(out, due->id);
  da_buf_addf(out, ",\"timeout\":%" PRId64, due->at);
  if (due->class_ != DA_DUE_DEADLINE) da_buf_addf(out, ",\"type\":%d", due->class_ == DA_DUE_LEASE ? 1 : 0);
  da_buf_add_byte(out, '}');
}

static void put_waits(da_buf *out, const da_snapshot *snapshot)
{
  open_list(out, "callbacks");
  for (size_t i = 0; i < snapshot->callback_count; i++) {
    const da_wait *wait = &snapshot->callbacks[i];
    next(out, i);
    put_pair(out, "awaited", wait->first, "awaiter", wait->second);
  }
  da_buf_add_byte(out, ']');
  open_list(out, "listeners");
  for (size_t i = 0; i < snapshot->listener_count; i++) {
    const da_wait *wait = &snapshot->listeners[i];
    next(out, i);
    put_pair(out, "address", wait->second, "id", wait->first);
  }
  da_buf_add_byte(out, ']');
}

static void put_messages(da_buf *out, const da_snapshot *snapshot)
{
  open_list(out, "messages");
  for (size_t i = 0; i < snapshot->message_count; i++) {
    const da_message *message = &snapshot->messages[i];
    next(out, i);
    da_buf_add_slice(out, DA_LIT("{\"address\":"));
    da_text_quote_lossy(out, message->address);
    da_buf_add_slice(out, DA_LIT(",\"message\":"));
    da_envelope_write_message(out, message, snapshot->message_promises[i], DA_NONE);
    da_buf_add_byte(out, '}');
  }
  da_buf_add_byte(out, ']');
}

static void put_dues(da_buf *out, const char *name, const da_due *dues, size_t count)
{
  open_list(out, name);
  for (size_t i = 0; i < count; i++) {
    next(out, i);
    put_due(out, &dues[i]);
  }
  da_buf_add_byte(out, ']');
}

static void put_snapshot(da_buf *out, const da_snapshot *snapshot)
{
  da_buf_add_byte(out, '{');
  put_waits(out, snapshot);
  put_messages(out, snapshot);
  put_dues(out, "promiseTimeouts", snapshot->deadlines, snapshot->deadline_count);
  open_list(out, "promises");
  for (size_t i = 0; i < snapshot->promise_count; i++) {
    next(out, i);
    da_envelope_write_promise(out, &snapshot->promises[i]);
  }
  da_buf_add_byte(out, ']');
  open_list(out, "schedules");
  for (size_t i = 0; i < snapshot->schedule_count; i++) {
    next(out, i);
    da_envelope_write_schedule(out, &snapshot->schedules[i]);
  }
  da_buf_add_byte(out, ']');
  put_dues(out, "taskTimeouts", snapshot->timers, snapshot->timer_count);
  open_list(out, "tasks");
  for (size_t i = 0; i < snapshot->task_count; i++) {
    next(out, i);
    da_envelope_write_task(out, &snapshot->tasks[i]);
  }
  da_buf_add_slice(out, DA_LIT("]}"));
}

/* ---- requests ------------------------------------------------------------------------------------------ */

static void on_snapshot(void *user, const da_snapshot *snapshot, const da_err *err)
{
  da_op *op = user;
  da_ask *a = op->user;
  da_server *s = a->waiting.server;
  da_buf json = {0};
  if (snapshot == NULL) {
    answer_failed(a, op, DA_EIO, err);
  } else {
    put_snapshot(&json, snapshot);
    answer(a, op, da_buf_slice(&json));
    da_buf_free(&json);
  }
  da_server_heard(s);
}

static void on_done(void *user, da_status status, const da_err *err)
{
  da_op *op = user;
  da_ask *a = op->user;
  da_server *s = a->waiting.server;
  if (status != DA_OK)
    answer_failed(a, op, status, err);
  else
    answer(a, op, a->envelope.debug == DA_DEBUG_TICK ? DA_LIT("[]") : DA_LIT("{}"));
  da_server_heard(s);
}

static void wait(da_ask *a)
{
  a->waiting.server->asked++;
  da_http_exchange_set_user(a->waiting.exchange, &a->waiting);
}

void da_ask_debug(da_ask *a, da_op *op)
{
  da_sched *sched = a->waiting.server->sched;
  switch (a->envelope.debug) {
  case DA_DEBUG_START:
  case DA_DEBUG_STOP:
    da_sched_pause(sched, a->envelope.debug == DA_DEBUG_START);
    answer(a, op, DA_LIT("{}"));
    break;
  case DA_DEBUG_RESET:
    wait(a);
    da_sched_reset(sched, on_done, op);
    break;
  case DA_DEBUG_TICK:
    wait(a);
    da_sched_tick(sched, a->envelope.tick_time, on_done, op);
    break;
  case DA_DEBUG_SNAP:
    wait(a);
    da_sched_snapshot(sched, on_snapshot, op);
    break;
  case DA_DEBUG_NONE:
    DA_ASSERT(false);
  }
}
