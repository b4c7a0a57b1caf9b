/* server_life.c - the server put together, and taken apart in order.
 *
 *   new --> open --da_server_stop()--> stopping --the last part is closed--> stopped() --> delete
 *
 * stopping: streams are ended, no connection is accepted, what is under way is answered, then the parts are closed. The
 * ops of peers that went away come back, too, before it has stopped.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/limits.h"
#include "server_parts.h"

/* ---- messages ------------------------------------------------------------------------------------------ */

/* In one go, since what none of them accepts is given up. */
static da_status open_transports(da_server *s, const da_server_options *options, da_err *err)
{
  const da_poll_options poll = {.sched = s->sched,
                                .connections_max = options->poll_connections_max,
                                .buffer_max = options->poll_buffer_max,
                                .keepalive_ms = options->poll_keepalive_ms,
                                .server_url = da_buf_slice(&s->url)};
  const da_push_options push = {.sched = s->sched,
                                .concurrency = options->push_concurrency,
                                .connect_ms = options->push_connect_ms,
                                .request_ms = options->push_request_ms,
                                .bearer = options->push_bearer,
                                .bearer_header = options->push_bearer_header,
                                .server_url = da_buf_slice(&s->url)};
  if (options->push) {
    da_status status = da_push_new(&push, &s->push, err);
    if (status != DA_OK) return status;
  }
  s->poll = da_poll_new(&poll);
  const da_transport streams = da_poll_transport(s->poll);
  da_sched_add_transport(s->sched, &streams);
  if (s->push == NULL) return DA_OK;
  const da_transport posts = da_push_transport(s->push);
  da_sched_add_transport(s->sched, &posts);
  return DA_OK;
}

/* ---- listeners ----------------------------------------------------------------------------------------- */

static da_status listen_all(da_server *s, const da_server_options *options, da_err *err)
{
  da_status status = DA_OK;
  size_t count = options->adopted_count;
  for (const char *const *at = options->listen; at != NULL && *at != NULL; at++) count++;
  if (count > DA_LISTENERS_MAX)
    return da_fail(err, DA_EINVAL, "%zu listeners; at most %d", count, (int)DA_LISTENERS_MAX);
  for (size_t i = 0; i < options->adopted_count && status == DA_OK; i++)
    status = da_http_server_adopt(s->http, options->adopted[i], &s->bound[s->address_count++], err);
  for (const char *const *at = options->listen; at != NULL && *at != NULL && status == DA_OK; at++)
    status = da_http_server_listen(s->http, *at, &s->bound[s->address_count++], err);
  for (size_t i = 0; i < s->address_count; i++) s->addresses[i] = da_buf_slice(&s->bound[i]);
  return status;
}

/* A worker elsewhere is told it with each message; "any address" is no name for one. */
static void name_url(da_server *s, const char *given)
{
  static const da_slice any[] = {{"0.0.0.0:", 8}, {"[::]:", 5}};
  if (given != NULL) da_buf_addf(&s->url, "%s", given);
  for (size_t i = 0; i < s->address_count && s->url.len == 0; i++) {
    da_slice address = s->addresses[i];
    if (da_slice_starts(address, DA_LIT("unix:"))) continue;
    da_buf_addf(&s->url, "%s://", s->tls != NULL ? "https" : "http");
    for (size_t k = 0; k < sizeof any / sizeof *any; k++) {
      if (!da_slice_starts(address, any[k])) continue;
      da_buf_add_slice(&s->url, DA_LIT("localhost:"));
      address = da_slice_make(address.ptr + any[k].len, address.len - any[k].len);
    }
    da_buf_add_slice(&s->url, address);
  }
}

static da_status open_http(da_server *s, const da_server_options *options, da_err *err)
{
  da_http_options http = {.loop = da_sched_loop(s->sched),
                          .handler = {.request = da_server_request,
                                      .gone = da_server_gone,
                                      .refused = da_server_refused,
                                      .refusal_body = da_server_refusal_body,
                                      .user = s},
                          .tls = s->tls,
                          .body_max = options->body_max,
                          .connections_max = options->connections_max,
                          .stream_bytes_max = DA_HTTP_UNSENT_MAX};
  da_status status = da_http_server_new(&http, &s->http, err);
  if (status == DA_OK) status = listen_all(s, options, err);
  if (status != DA_OK || options->metrics_listen == NULL) return status;
  http.handler = (da_http_handler){
      .request = da_server_metrics_request, .gone = da_server_gone, .refused = da_server_refused, .user = s};
  http.tls = NULL; /* for those who look after this machine */
  http.connections_max = DA_METRICS_CONNECTIONS_MAX;
  status = da_http_server_new(&http, &s->metrics_http, err);
  if (status == DA_OK) status = da_http_server_listen(s->metrics_http, options->metrics_listen, &s->metrics_bound, err);
  return status;
}

static da_status open_all(da_server *s, const da_server_options *options, da_err *err)
{
  da_status status = DA_OK;
  if (options->auth != NULL) status = da_auth_new(options->auth, &s->auth, err);
  if (status == DA_OK && options->tls_certificate != NULL)
    status = da_tls_server_new(options->tls_certificate, options->tls_key, &s->tls, err);
  if (status == DA_OK) status = open_http(s, options, err);
  if (status != DA_OK) return status;
  name_url(s, options->url);
  return open_transports(s, options, err);
}

/* ---- the end ------------------------------------------------------------------------------------------- */

static void end_if_all_ended(da_server *s)
{
  if (!s->stopping || s->asked > 0 || s->open > 0 || s->stopped == NULL) return;
  void (*stopped)(void *user) = s->stopped;
  s->stopped = NULL;
  stopped(s->stopped_user);
}

void da_server_heard(da_server *s)
{
  s->asked--;
  end_if_all_ended(s);
}

static void on_closed(void *user)
{
  da_server *s = user;
  s->open--;
  end_if_all_ended(s);
}

/* Nobody can ask any more. */
static void close_all(da_server *s)
{
  if (s->push != NULL) {
    s->open++;
    da_sched_remove_transport(s->sched, s->push);
    da_push_delete(s->push, on_closed, s);
  }
  if (s->poll != NULL) da_sched_remove_transport(s->sched, s->poll);
  if (s->metrics_http != NULL) {
    s->open++;
    da_http_server_delete(s->metrics_http, on_closed, s);
  }
  if (s->http != NULL) {
    s->open++;
    da_http_server_delete(s->http, on_closed, s);
  }
}

static void on_drained(void *user)
{
  da_server *s = user;
  close_all(s);
  on_closed(s);
}

void da_server_stop(da_server *s, void (*stopped)(void *user), void *user)
{
  DA_ASSERT(!s->stopping);
  s->stopping = true;
  s->stopped = stopped;
  s->stopped_user = user;
  s->open = 1; /* the drain */
  da_poll_end(s->poll);
  da_http_server_drain(s->http, s->shutdown_ms, on_drained, s);
}

static void free_all(da_server *s)
{
  if (s->poll != NULL) da_poll_delete(s->poll);
  da_auth_delete(s->auth);
  da_tls_delete(s->tls);
  da_cors_destroy(&s->cors);
  da_metrics_delete(s->metrics);
  for (size_t i = 0; i < DA_LISTENERS_MAX; i++) da_buf_free(&s->bound[i]);
  da_buf_free(&s->metrics_bound);
  da_buf_free(&s->url);
  da_buf_free(&s->text);
  free(s);
}

void da_server_delete(da_server *s)
{
  if (s == NULL) return;
  DA_ASSERT(s->stopping);
  DA_ASSERT_OP(s->open, ==, 0);
  DA_ASSERT_OP(s->asked, ==, 0);
  free_all(s);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void free_failed(void *user)
{
  free_all(user);
}

da_status da_server_new(const da_server_options *options, da_server **out, da_err *err)
{
  da_server *s = da_xcalloc(1, sizeof *s);
  *out = NULL;
  s->sched = options->sched;
  s->debug = options->debug;
  s->access_log = options->access_log;
  s->shutdown_ms = options->shutdown_ms;
  s->more_metrics = options->more_metrics;
  s->user = options->user;
  s->metrics = da_metrics_new();
  da_cors_create(&s->cors, options->cors);
  da_status status = open_all(s, options, err);
  if (status == DA_OK) {
    *out = s;
    return DA_OK;
  }
  s->stopping = true;
  s->stopped = free_failed;
  s->stopped_user = s;
  s->open = 1;
  close_all(s);
  on_closed(s); /* with nothing open yet it is freed here, else once the loop has turned */
  return status;
}

const da_slice *da_server_addresses(const da_server *s, size_t *count)
{
  *count = s->address_count;
  return s->addresses;
}

da_slice da_server_metrics_address(const da_server *s)
{
  return da_buf_slice(&s->metrics_bound);
}

void da_server_describe_auth(const da_server *s, da_buf *out)
{
  if (s->auth != NULL) da_auth_describe(s->auth, out);
}

da_status da_server_reload_auth(da_server *s, da_err *err)
{
  return s->auth != NULL ? da_auth_reload(s->auth, err) : DA_OK;
}

da_status da_server_reload_tls(da_server *s, da_err *err)
{
  return s->tls != NULL ? da_tls_reload(s->tls, err) : DA_OK;
}
