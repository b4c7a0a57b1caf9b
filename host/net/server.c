/* server.c - the server's doors: what a request of HTTP is for, and its answer unless it is one of the protocol.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include "../base/clock.h"
#include "../base/log.h"
#include "server_parts.h"

#define TEXT_TYPE "text/plain; charset=utf-8"
#define JSON_TYPE "application/json"
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

#define RETIRED_BODY "{\"error\":\"This endpoint is no longer supported. Please update to the latest SDK.\"}"

/* ---- access log ---------------------------------------------------------------------------------------- */

void da_server_log_access(const da_server *s, const da_access *access)
{
  da_log_line line;
  if (!s->access_log) return;
  da_log_begin(&line, DA_LOG_INFO, "http.access");
  da_log_add(&line, "method", access->method);
  da_log_add(&line, "path", access->path);
  if (access->kind.len > 0) da_log_add(&line, "kind", access->kind);
  if (access->id.len > 0) da_log_add(&line, "id", access->id);
  da_log_add_int(&line, "status", access->status);
  da_log_add_int(&line, "us", (int64_t)((da_clock_mono_ns() - access->began_ns) / 1000));
  da_log_add(&line, "peer", access->peer);
  da_log_end(&line);
}

void da_server_answer(da_server *s, da_http_exchange *exchange, int status, const char *content_type, da_slice body,
                      const da_access *access)
{
  da_http_field fields[DA_CORS_FIELDS_MAX];
  size_t count = da_cors_fields(&s->cors, da_http_exchange_request(exchange), fields);
  da_server_log_access(s, access); /* the answer may end what it speaks of */
  da_http_answer(exchange, status, content_type, body, fields, count);
}

/* ---- requests that wait for an op ---------------------------------------------------------------------- */

void da_server_wait(da_server *s, da_op *op, da_http_exchange *exchange, const da_access *access, da_waiting *out)
{
  *out = (da_waiting){.server = s, .exchange = exchange, .access = *access};
  out->access.method = da_arena_dup(&op->arena, access->method);
  out->access.path = da_arena_dup(&op->arena, access->path);
  out->access.peer = da_arena_dup(&op->arena, access->peer);
}

void da_server_submit(da_waiting *waiting, da_op *op)
{
  waiting->server->asked++;
  da_http_exchange_set_user(waiting->exchange, waiting);
  da_sched_submit(waiting->server->sched, op, true);
}

/* ---- doors --------------------------------------------------------------------------------------------- */

static void answer_plain(da_server *s, da_http_exchange *exchange, int status, const char *content_type, da_slice body,
                         da_access *access)
{
  access->status = status;
  da_server_answer(s, exchange, status, content_type, body, access);
}

static void answer_preflight(da_server *s, da_http_exchange *exchange, da_access *access)
{
  da_http_field fields[DA_CORS_FIELDS_MAX];
  size_t count = da_cors_preflight_fields(&s->cors, da_http_exchange_request(exchange), fields);
  access->status = 204;
  da_server_log_access(s, access);
  da_http_answer(exchange, 204, NULL, DA_NONE, fields, count);
}

static void answer_method(da_server *s, da_http_exchange *exchange, const char *allow, da_access *access)
{
  da_http_field fields[DA_CORS_FIELDS_MAX + 1];
  size_t count = da_cors_fields(&s->cors, da_http_exchange_request(exchange), fields);
  fields[count++] = (da_http_field){.name = DA_LIT("allow"), .value = da_slice_of(allow)};
  access->status = 405;
  da_server_log_access(s, access);
  da_http_answer(exchange, 405, NULL, DA_NONE, fields, count);
}

static da_status ask_nothing(da_store *store, da_op *op, da_err *err)
{
  (void)store;
  (void)op;
  (void)err;
  return DA_OK;
}

static void on_ready(da_op *op)
{
  da_waiting *waiting = op->user;
  da_server *s = waiting->server;
  int status = op->status == DA_OK && !s->stopping ? 200 : 503;
  if (waiting->exchange != NULL) answer_plain(s, waiting->exchange, status, NULL, DA_NONE, &waiting->access);
  da_op_delete(op);
  da_server_heard(s);
}

/* A turn of the store thread: a flush that hangs, or a queue that is full, is not ready. */
static void ask_ready(da_server *s, da_http_exchange *exchange, const da_access *access)
{
  da_op *op = da_op_new();
  da_waiting *waiting = da_arena_alloc(&op->arena, sizeof *waiting);
  da_server_wait(s, op, exchange, access, waiting);
  op->user = waiting;
  op->call = ask_nothing;
  op->done = on_ready;
  da_server_submit(waiting, op);
}

/* "Bearer TOKEN"; the scheme in any case (RFC 9110, 11.1). */
static da_slice bearer_of(const da_http_request *request)
{
  static const char scheme[] = "bearer ";
  const da_slice *value = da_http_field_get(request, "authorization");
  if (value == NULL || value->len < sizeof scheme - 1) return DA_NONE;
  for (size_t i = 0; i < sizeof scheme - 1; i++)
    if ((char)(value->ptr[i] | 0x20) != scheme[i]) return DA_NONE;
  da_slice token = da_slice_make(value->ptr + sizeof scheme - 1, value->len - (sizeof scheme - 1));
  while (token.len > 0 && token.ptr[0] == ' ') token = da_slice_make(token.ptr + 1, token.len - 1);
  return token;
}

static void connect_poll(da_server *s, da_http_exchange *exchange, const da_route *route, da_access *access,
                         da_arena *arena)
{
  const da_http_request *request = da_http_exchange_request(exchange);
  da_http_field fields[DA_CORS_FIELDS_MAX];
  da_claims claims;
  const char *why = "no token";
  da_slice token = bearer_of(request);
  if (s->auth != NULL && (token.len == 0 || !da_auth_check(s->auth, token, da_clock_now_ms(), &claims, &why))) {
    da_log(DA_LOG_INFO, "auth.refused", "peer=%.*s why=\"%s\"", DA_FMT(access->peer), why);
    answer_plain(s, exchange, 401, TEXT_TYPE, DA_LIT("Unauthorized"), access);
    return;
  }
  if (s->stopping) {
    answer_plain(s, exchange, 503, TEXT_TYPE, DA_LIT("The server is ending"), access);
    return;
  }
  size_t count = da_cors_fields(&s->cors, request, fields);
  da_access kept = *access; /* once it is answered the request is gone */
  kept.method = DA_LIT("GET");
  kept.path = da_arena_dup(arena, access->path);
  kept.peer = da_arena_dup(arena, access->peer);
  kept.status = da_poll_connect(s->poll, exchange, route->group, route->id, fields, count);
  da_server_log_access(s, &kept);
}

void da_server_request(void *user, da_http_exchange *exchange)
{
  da_server *s = user;
  const da_http_request *request = da_http_exchange_request(exchange);
  da_arena arena = {0};
  da_access access = {
      .method = request->method, .path = request->path, .peer = request->peer, .began_ns = da_clock_mono_ns()};
  if (da_cors_is_preflight(&s->cors, request)) {
    answer_preflight(s, exchange, &access);
    return;
  }
  da_route route = da_route_find(request->method, request->path, &arena);
  switch (route.kind) {
  case DA_ROUTE_PROTOCOL:
    da_server_ask(s, exchange, &access);
    break;
  case DA_ROUTE_HEALTH:
    answer_plain(s, exchange, 200, NULL, DA_NONE, &access);
    break;
  case DA_ROUTE_READY:
    ask_ready(s, exchange, &access);
    break;
  case DA_ROUTE_POLL:
    connect_poll(s, exchange, &route, &access, &arena);
    break;
  case DA_ROUTE_RETIRED:
    answer_plain(s, exchange, 410, JSON_TYPE, DA_LIT(RETIRED_BODY), &access);
    break;
  case DA_ROUTE_METHOD:
    answer_method(s, exchange, route.allow, &access);
    break;
  case DA_ROUTE_BROKEN:
    answer_plain(s, exchange, 400, TEXT_TYPE, DA_LIT("The path is not percent-encoded as it should be"), &access);
    break;
  case DA_ROUTE_METRICS:
  case DA_ROUTE_UNKNOWN:
    answer_plain(s, exchange, 404, NULL, DA_NONE, &access);
    break;
  }
  da_arena_free(&arena);
}

void da_server_gone(void *user, da_http_exchange *exchange)
{
  da_waiting *waiting = da_http_exchange_user(exchange);
  (void)user;
  if (waiting != NULL) waiting->exchange = NULL;
}

void da_server_refused(void *user, int status, const char *why, da_slice peer)
{
  (void)user;
  da_log(DA_LOG_INFO, "http.refused", "status=%d peer=%.*s why=\"%s\"", status, DA_FMT(peer), why);
}

/* A client of the protocol reads an envelope, whatever went wrong. */
bool da_server_refusal_body(void *user, int status, const char *why, const char **content_type, da_buf *body)
{
  (void)user;
  if (status != 413 && status != 503) return false;
  *content_type = JSON_TYPE;
  da_server_write_refusal(body, status, da_slice_of(why));
  return true;
}

void da_server_metrics_request(void *user, da_http_exchange *exchange)
{
  da_server *s = user;
  const da_http_request *request = da_http_exchange_request(exchange);
  da_route route = da_route_find_metrics(request->method, request->path);
  if (route.kind == DA_ROUTE_METRICS) {
    da_buf_clear(&s->text);
    da_server_write_metrics(s, &s->text);
    da_http_answer(exchange, 200, METRICS_TYPE, da_buf_slice(&s->text), NULL, 0);
  } else if (route.kind == DA_ROUTE_METHOD) {
    const da_http_field allow = {.name = DA_LIT("allow"), .value = da_slice_of(route.allow)};
    da_http_answer(exchange, 405, NULL, DA_NONE, &allow, 1);
  } else {
    da_http_answer(exchange, 404, NULL, DA_NONE, NULL, 0);
  }
}
