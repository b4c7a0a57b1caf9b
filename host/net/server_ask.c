/* server_ask.c - POST /: one request of the protocol, from its text to its answer.
 *
 * Order: envelope (400), token (401), what the token covers (403), kind and data (400), then one op. Its arena carries
 * everything: the text (copied, since the exchange may go while the store thread reads it), what was read of it, the
 * outcome. The answer is written when the op is told, which is after the flush.
 *
 * A search reads and answers up to DA_SEARCH_BYTES_MAX: a few are carried out at a time, so that many of them hold up
 * nobody else and fill no memory. One whose asker goes while it waits is not carried out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "server_parts.h"

#define JSON_TYPE "application/json"

void da_ask_end(da_ask *a, da_op *op, int status)
{
  da_server *s = a->waiting.server;
  da_access *access = &a->waiting.access;
  access->kind = a->envelope.kind;
  da_metrics_request(s->metrics, a->envelope.kind, status, da_clock_mono_ns() - access->began_ns);
  if (a->waiting.exchange != NULL) {
    access->status = status;
    da_server_answer(s, a->waiting.exchange, status, JSON_TYPE, da_buf_slice(&s->text), access);
  } else {
    s->lost_answers++;
    access->status = 0;
    da_server_log_access(s, access);
  }
  da_op_delete(op);
}

void da_ask_refuse(da_ask *a, da_op *op, int status, da_slice words)
{
  da_buf_clear(&a->waiting.server->text);
  da_envelope_write_error(&a->waiting.server->text, &a->envelope, status, words);
  da_ask_end(a, op, status);
}

void da_server_write_refusal(da_buf *out, int status, da_slice words)
{
  const da_envelope unread = {.kind = DA_LIT("unknown"), .corr_id = DA_LIT("0")};
  da_envelope_write_error(out, &unread, status, words);
}

/* ---- what came back ------------------------------------------------------------------------------------ */

void da_ask_refuse_failed(da_ask *a, da_op *op)
{
  da_slice words;
  switch (op->status) {
  case DA_EQUEUE:
    da_ask_refuse(a, op, 503, DA_LIT("Too many requests are waiting; try again"));
    return;
  case DA_ECLOSED:
    da_ask_refuse(a, op, 503, DA_LIT("The server is ending"));
    return;
  case DA_EFULL:
    da_ask_refuse(a, op, 503, DA_LIT("Storage full: nothing of the request was kept"));
    return;
  default:
    da_log(DA_LOG_ERROR, "request.failed", "kind=%.*s status=%s text=\"%s\"", DA_FMT(a->envelope.kind),
           da_status_name(op->status), op->err.text);
    words = da_arena_printf(&op->arena, "Internal error: %s",
                            op->err.text[0] != '\0' ? op->err.text : da_status_text(op->status));
    da_ask_refuse(a, op, 500, words);
    return;
  }
}

static bool is_search(const da_op *op)
{
  da_req_kind kind = op->requests[0].kind;
  return kind == DA_REQ_PROMISE_SEARCH || kind == DA_REQ_TASK_SEARCH || kind == DA_REQ_SCHEDULE_SEARCH;
}

static void begin_search(da_server *s, da_op *op)
{
  s->searching++;
  da_sched_submit(s->sched, op, true);
}

/* One has ended: what waits takes its place. */
static void end_search(da_server *s)
{
  s->searching--;
  while (s->search_first != NULL && s->searching < DA_SEARCHES_MAX) {
    da_ask *a = s->search_first;
    s->search_first = a->next;
    s->searches_waiting--;
    if (a->waiting.exchange != NULL) {
      begin_search(s, a->op);
    } else {
      s->asked--; /* not its last: the search that has just ended is still to be heard */
      da_ask_refuse(a, a->op, 503, DA_LIT("Its asker has gone"));
    }
  }
}

static void on_done(da_op *op)
{
  da_ask *a = op->user;
  da_server *s = a->waiting.server;
  if (is_search(op)) end_search(s);
  if (op->status != DA_OK) {
    da_ask_refuse_failed(a, op);
  } else {
    const da_reply *reply = &op->outcomes[0].reply;
    da_buf_clear(&s->text);
    da_envelope_write(&s->text, &a->envelope, reply);
    da_ask_end(a, op, reply->status);
  }
  da_server_heard(s);
}

/* ---- what was asked ------------------------------------------------------------------------------------ */

/* Answers, and returns false, if this may not be asked by whoever asks it. */
static bool is_allowed(da_ask *a, da_op *op)
{
  da_server *s = a->waiting.server;
  da_claims claims;
  const char *why = "no token";
  if (s->auth == NULL) return true;
  da_slice token = a->envelope.has_auth ? a->envelope.auth : DA_NONE;
  if (token.len == 0 || !da_auth_check(s->auth, token, da_clock_now_ms(), &claims, &why)) {
    da_log(DA_LOG_INFO, "auth.refused", "peer=%.*s why=\"%s\"", DA_FMT(a->waiting.access.peer), why);
    da_ask_refuse(a, op, 401, DA_LIT("Unauthorized"));
    return false;
  }
  da_envelope_read_scope(&a->envelope, &op->arena);
  if (da_auth_allows(&claims, a->envelope.scope, a->envelope.scope_count, a->envelope.searches)) return true;
  da_ask_refuse(a, op, 403, DA_LIT("Forbidden"));
  return false;
}

static void submit_search(da_ask *a, da_op *op)
{
  da_server *s = a->waiting.server;
  if (s->searches_waiting >= DA_QUEUE_OPS_MAX) {
    da_ask_refuse(a, op, 503, DA_LIT("Too many searches are waiting; try again"));
    return;
  }
  s->asked++;
  da_http_exchange_set_user(a->waiting.exchange, &a->waiting);
  if (s->searching < DA_SEARCHES_MAX) {
    begin_search(s, op);
    return;
  }
  a->op = op;
  a->next = NULL;
  *(s->search_first != NULL ? &s->search_last->next : &s->search_first) = a;
  s->search_last = a;
  s->searches_waiting++;
}

static void submit(da_ask *a, da_op *op)
{
  const da_envelope *envelope = &a->envelope;
  op->requests = &a->envelope.request;
  op->request_count = 1;
  if (a->waiting.server->debug && envelope->has_debug_time) {
    op->has_now = true;
    op->now_ms = envelope->debug_time;
  }
  a->waiting.access.id = envelope->request.id;
  op->done = on_done;
  if (is_search(op))
    submit_search(a, op);
  else
    da_server_submit(&a->waiting, op);
}

void da_server_ask(da_server *s, da_http_exchange *exchange, const da_access *access)
{
  da_op *op = da_op_new();
  da_ask *a = da_arena_zalloc(&op->arena, sizeof *a);
  da_slice text = da_arena_dup(&op->arena, da_http_exchange_request(exchange)->body);
  op->user = a;
  da_server_wait(s, op, exchange, access, &a->waiting);
  da_envelope *envelope = &a->envelope;
  if (!da_envelope_read(text, &op->arena, envelope)) {
    da_ask_refuse(a, op, envelope->status, envelope->message);
    return;
  }
  if (!is_allowed(a, op)) return;
  bool read = da_envelope_read_request(envelope, &op->arena);
  if (envelope->debug != DA_DEBUG_NONE && !s->debug)
    da_ask_refuse(a, op, 403, DA_LIT("Debug operations are disabled"));
  else if (!read)
    da_ask_refuse(a, op, envelope->status, envelope->message);
  else if (s->stopping)
    da_ask_refuse(a, op, 503, DA_LIT("The server is ending"));
  else if (envelope->debug != DA_DEBUG_NONE)
    da_ask_debug(a, op);
  else
    submit(a, op);
}
