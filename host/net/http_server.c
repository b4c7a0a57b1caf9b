/* http_server.c - the HTTP server's life and time: it begins, sweeps for what takes too long, drains, ends.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../base/limits.h"
#include "http_conn.h"

enum {
  HEADER_MS = 10000,
  BODY_MS = 30000,
  IDLE_MS = 75000,
  SWEEP_MS = 500,       /* deadlines are kept that coarsely */
  OWED_MIN = 64 * 1024, /* bytes below which a connection is never the one that is dropped for room */
  SPARE_FDS = 256,      /* descriptors besides those of connections */
};

/* Answers of one turn of the loop leave together, and so does what they make possible. */
static void flush(uv_prepare_t *prepare)
{
  da_http_server *server = prepare->data;
  while (server->dirty != NULL) {
    http_conn *conn = server->dirty;
    http_conn_unmark(conn);
    http_conn_flush(conn);
  }
}

static bool is_drained(const da_http_server *server)
{
  return server->draining && server->conns == NULL;
}

static void tell_drained(da_http_server *server)
{
  void (*drained)(void *user) = server->drained;
  server->drained = NULL;
  if (drained != NULL) drained(server->drained_user);
}

static void sweep(uv_timer_t *timer)
{
  da_http_server *server = timer->data;
  uint64_t now = uv_now(server->options.loop);
  http_listeners_resume(server);
  for (http_conn *conn = server->conns, *next; conn != NULL; conn = next) {
    next = conn->next;
    if (server->draining && now >= server->drain_deadline)
      http_conn_close(conn);
    else
      http_conn_sweep(conn, now);
  }
  if (server->conns == NULL) {
    (void)uv_timer_stop(timer); /* an idle process is not woken */
    server->timing = false;
    if (is_drained(server)) tell_drained(server);
  }
}

/* Who has read nothing for the longest, among equals who owes the most. */
static http_conn *slowest(const da_http_server *server)
{
  http_conn *found = NULL;
  for (http_conn *conn = server->conns; conn != NULL; conn = conn->next) {
    if (conn->owed < OWED_MIN) continue;
    if (found == NULL || conn->progress_since < found->progress_since ||
        (conn->progress_since == found->progress_since && conn->owed > found->owed))
      found = conn;
  }
  return found;
}

void http_server_relieve(da_http_server *server)
{
  while (server->owed > server->options.owed_max) {
    http_conn *conn = slowest(server);
    if (conn == NULL) return;
    http_conn_drop(conn, "it reads the slowest, and all readers together owe too much");
  }
}

static uint64_t sweep_ms(const da_http_options *options)
{
  int64_t least = SWEEP_MS;
  if (options->header_ms / 4 < least) least = options->header_ms / 4;
  if (options->body_ms / 4 < least) least = options->body_ms / 4;
  if (options->idle_ms / 4 < least) least = options->idle_ms / 4;
  return least < 10 ? 10 : (uint64_t)least;
}

void http_server_watch(da_http_server *server)
{
  if (server->timing || server->deleted) return;
  server->timing = true;
  (void)uv_timer_start(&server->timer, sweep, sweep_ms(&server->options), sweep_ms(&server->options));
}

/* A process may open more files than it begins with (getrlimit(2)); as many as are needed here. */
static void raise_file_limit(size_t connections_max)
{
  struct rlimit limit;
  rlim_t wanted = (rlim_t)connections_max + SPARE_FDS;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

da_status da_http_server_new(const da_http_options *options, da_http_server **out, da_err *err)
{
  *out = NULL;
  int reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (reserve < 0) return da_fail(err, DA_EIO, "cannot open /dev/null");
  da_http_server *server = da_xcalloc(1, sizeof *server);
  server->options = *options;
  if (server->options.header_ms == 0) server->options.header_ms = HEADER_MS;
  if (server->options.body_ms == 0) server->options.body_ms = BODY_MS;
  if (server->options.idle_ms == 0) server->options.idle_ms = IDLE_MS;
  if (server->options.held_max == 0) server->options.held_max = DA_HTTP_HELD_MAX;
  if (server->options.owed_max == 0) server->options.owed_max = DA_HTTP_OWED_MAX;
  server->limits = (da_http_limits){.target_max = DA_HTTP_TARGET_MAX,
                                    .head_max = DA_HTTP_HEAD_MAX,
                                    .fields_max = DA_HTTP_FIELDS_MAX,
                                    .body_max = options->body_max};
  server->reserve_fd = reserve;
  server->read_buffer = da_xmalloc(HTTP_READ_SIZE);
  raise_file_limit(options->connections_max);
  (void)uv_prepare_init(options->loop, &server->prepare);
  (void)uv_timer_init(options->loop, &server->timer);
  server->prepare.data = server;
  server->timer.data = server;
  server->handles = 2;
  (void)uv_prepare_start(&server->prepare, flush);
  uv_unref((uv_handle_t *)&server->prepare); /* listeners and connections keep the loop alive, it does not */
  *out = server;
  return DA_OK;
}

void da_http_server_drain(da_http_server *server, int64_t limit_ms, void (*drained)(void *user), void *user)
{
  DA_ASSERT(!server->draining);
  server->draining = true;
  server->drained = drained;
  server->drained_user = user;
  server->drain_deadline = uv_now(server->options.loop) + (uint64_t)limit_ms;
  http_listeners_close(server);
  for (http_conn *conn = server->conns, *next; conn != NULL; conn = next) {
    next = conn->next;
    http_conn_drain(conn);
  }
  server->timing = true;
  (void)uv_timer_start(&server->timer, sweep, 0, sweep_ms(&server->options));
}

static void on_closed(uv_handle_t *handle)
{
  http_server_handle_closed(handle->data);
}

void http_server_handle_closed(da_http_server *server)
{
  server->handles--;
  if (is_drained(server)) tell_drained(server);
  if (!server->deleted || server->handles > 0) return;
  void (*closed)(void *user) = server->closed;
  void *user = server->closed_user;
  free(server->read_buffer);
  da_buf_free(&server->plain);
  free(server);
  if (closed != NULL) closed(user);
}

void da_http_server_delete(da_http_server *server, void (*closed)(void *user), void *user)
{
  DA_ASSERT(!server->deleted);
  server->deleted = true;
  server->drained = NULL;
  server->closed = closed;
  server->closed_user = user;
  http_listeners_close(server);
  for (http_conn *conn = server->conns; conn != NULL; conn = conn->next) http_conn_close(conn);
  if (server->reserve_fd >= 0) (void)close(server->reserve_fd);
  uv_close((uv_handle_t *)&server->prepare, on_closed);
  uv_close((uv_handle_t *)&server->timer, on_closed);
}

da_http_stats da_http_server_stats(const da_http_server *server)
{
  return server->stats;
}
