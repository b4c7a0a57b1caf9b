/* http_conn.c - one connection of the HTTP server: its bytes, its requests, its deadlines, its end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http_conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/limits.h"
#include "../base/log.h"

enum {
  UNSENT_PAUSE = 256 * 1024,   /* bytes of answers not yet taken, after which no further request is read */
  REQUESTS_PAUSE = 1 << 20,    /* bytes of requests being answered, as above */
  LINGER_MS = 2000,            /* see CONN_LINGER */
  THROWN_AWAY_MAX = 64 * 1024, /* bytes that somebody sends behind his last request */
  BODY_RATE_MIN = 100,         /* bytes of a body per second, once it has lasted for body_ms */
};

typedef struct write_job {
  uv_write_t uv;
  da_buf bytes; /* owned */
} write_job;

static uint64_t now_of(const http_conn *conn)
{
  return uv_now(conn->server->options.loop);
}

static da_slice peer_of(const http_conn *conn)
{
  return da_slice_of(conn->peer);
}

bool http_conn_is_over(const http_conn *conn)
{
  return conn->final || conn->state == CONN_LINGER || conn->state == CONN_CLOSED;
}

size_t http_conn_unsent(const http_conn *conn)
{
  return conn->out.len + uv_stream_get_write_queue_size(&conn->uv.stream);
}

void http_conn_mark(http_conn *conn)
{
  da_http_server *server = conn->server;
  if (conn->dirty_slot != NULL || conn->state == CONN_CLOSED) return;
  conn->next_dirty = server->dirty;
  conn->dirty_slot = &server->dirty;
  if (conn->next_dirty != NULL) conn->next_dirty->dirty_slot = &conn->next_dirty;
  server->dirty = conn;
}

void http_conn_unmark(http_conn *conn)
{
  if (conn->dirty_slot == NULL) return;
  *conn->dirty_slot = conn->next_dirty;
  if (conn->next_dirty != NULL) conn->next_dirty->dirty_slot = conn->dirty_slot;
  conn->dirty_slot = NULL;
}

static void set_held(http_conn *conn, size_t bytes)
{
  conn->server->held += bytes;
  conn->server->held -= conn->held;
  conn->held = bytes;
}

void http_conn_hold(http_conn *conn)
{
  set_held(conn, conn->request_bytes + conn->parser.message.head.len + conn->parser.message.body.len);
}

void http_conn_owe(http_conn *conn)
{
  size_t bytes = conn->state != CONN_CLOSED ? http_conn_unsent(conn) : 0;
  for (const da_http_exchange *each = conn->first; each != NULL && conn->state != CONN_CLOSED; each = each->next)
    bytes += each->bytes.len;
  conn->server->owed += bytes;
  conn->server->owed -= conn->owed;
  conn->owed = bytes;
}

/* ---- the end ------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
  http_conn *conn = handle->data;
  da_http_server *server = conn->server;
  while (conn->first != NULL) {
    da_http_exchange *exchange = conn->first;
    conn->first = exchange->next;
    if (exchange->stream != NULL)
      http_stream_gone(exchange);
    else if (!exchange->answered && !exchange->refused)
      server->options.handler.gone(server->options.handler.user, exchange);
    http_exchange_free(exchange);
  }
  set_held(conn, 0);
  da_tls_session_delete(conn->tls);
  da_http_parser_destroy(&conn->parser);
  da_buf_free(&conn->in);
  da_buf_free(&conn->out);
  *conn->slot = conn->next;
  if (conn->next != NULL) conn->next->slot = conn->slot;
  if (!conn->full) server->open--;
  server->stats.connections--;
  free(conn);
  http_server_handle_closed(server);
}

void http_conn_close(http_conn *conn)
{
  if (conn->state == CONN_CLOSED) return;
  conn->state = CONN_CLOSED;
  http_conn_owe(conn);
  http_conn_unmark(conn);
  uv_close(&conn->uv.handle, on_closed);
}

void http_conn_drop(http_conn *conn, const char *why)
{
  da_log(DA_LOG_WARN, "http.dropped", "peer=%s why=\"%s\" unsent=%zu", conn->peer, why, http_conn_unsent(conn));
  conn->server->stats.dropped++;
  http_conn_close(conn);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
  http_conn *conn = shutdown->data;
  if (status != 0 || conn->eof) http_conn_close(conn);
}

/* All that was owed is sent. */
static void linger(http_conn *conn)
{
  if (conn->tls != NULL) {
    da_buf wire = {0};
    da_tls_session_end(conn->tls, &wire);
    uv_buf_t buf = uv_buf_init(wire.ptr, (unsigned)wire.len);
    if (wire.len > 0) (void)uv_try_write(&conn->uv.stream, &buf, 1); /* a courtesy, so it need not succeed */
    da_buf_free(&wire);
  }
  conn->state = CONN_LINGER;
  conn->wait = WAIT_LINGER;
  conn->deadline = now_of(conn) + LINGER_MS;
  conn->shutdown.data = conn;
  if (uv_shutdown(&conn->shutdown, &conn->uv.stream, on_shutdown) != 0) http_conn_close(conn);
}

/* ---- deadlines ----------------------------------------------------------------------------------------- */

static void refuse(http_conn *conn, int status, const char *why);

static bool may_parse(const http_conn *conn)
{
  return conn->under_way < DA_HTTP_PIPELINE_MAX && conn->request_bytes < REQUESTS_PAUSE &&
         http_conn_unsent(conn) < UNSENT_PAUSE;
}

static void wait_for(http_conn *conn, http_wait wait, int64_t ms)
{
  conn->wait = wait;
  conn->deadline = now_of(conn) + (uint64_t)ms;
}

/* What the peer owes us now, after bytes of it or an answer of ours. */
static void set_wait(http_conn *conn, bool got_bytes)
{
  const da_http_options *options = &conn->server->options;
  if (conn->state == CONN_LINGER) return;
  if (conn->state != CONN_OPEN || !conn->reading) {
    conn->wait = WAIT_NONE;
    return;
  }
  switch (conn->parser.part) {
  case DA_HTTP_IN_HEAD:
    if (conn->wait != WAIT_HEAD) wait_for(conn, WAIT_HEAD, options->header_ms);
    break;
  case DA_HTTP_IN_BODY:
  case DA_HTTP_IN_TRAILER:
    if (conn->wait != WAIT_BODY) conn->body_since = now_of(conn);
    if (conn->wait != WAIT_BODY || got_bytes) wait_for(conn, WAIT_BODY, options->body_ms);
    break;
  case DA_HTTP_BEFORE:
  case DA_HTTP_AT_END:
  case DA_HTTP_DEAD:
    if (conn->first != NULL)
      conn->wait = WAIT_NONE;
    else if (conn->wait != WAIT_FIRST && conn->wait != WAIT_IDLE)
      wait_for(conn, WAIT_IDLE, options->idle_ms);
    break;
  }
}

static bool body_is_slow(const http_conn *conn, uint64_t now)
{
  uint64_t lasts = now - conn->body_since;
  return conn->wait == WAIT_BODY && lasts > (uint64_t)conn->server->options.body_ms &&
         conn->parser.body_bytes < lasts * BODY_RATE_MIN / 1000;
}

void http_conn_sweep(http_conn *conn, uint64_t now)
{
  if (conn->state == CONN_CLOSED) return;
  size_t unsent = uv_stream_get_write_queue_size(&conn->uv.stream);
  uint64_t progress = conn->queued - unsent;
  if (unsent == 0 || progress != conn->progress) conn->progress_since = now;
  conn->progress = progress;
  if (now - conn->progress_since > (uint64_t)conn->server->options.body_ms) {
    http_conn_drop(conn, "it has stopped reading");
    return;
  }
  if (conn->wait == WAIT_NONE || (now < conn->deadline && !body_is_slow(conn, now))) return;
  if (conn->wait == WAIT_HEAD || conn->wait == WAIT_BODY)
    refuse(conn, 408, conn->wait == WAIT_HEAD ? "the head took too long" : "the body took too long");
  else
    http_conn_close(conn);
}

/* ---- sending ------------------------------------------------------------------------------------------- */

static void on_written(uv_write_t *uv, int status)
{
  http_conn *conn = uv->data;
  write_job *job = (write_job *)uv; /* its first member */
  da_buf_free(&job->bytes);
  free(job);
  if (status < 0)
    http_conn_close(conn);
  else
    http_conn_mark(conn);
}

/* Sends what is given, as it is; takes the memory. */
static void send_wire(http_conn *conn, da_buf *bytes)
{
  size_t sent = 0;
  if (uv_stream_get_write_queue_size(&conn->uv.stream) == 0 && bytes->len > 0) {
    uv_buf_t buf = uv_buf_init(bytes->ptr, (unsigned)bytes->len);
    int done = uv_try_write(&conn->uv.stream, &buf, 1);
    if (done < 0 && done != UV_EAGAIN) http_conn_close(conn);
    sent = done > 0 ? (size_t)done : 0;
  }
  conn->queued += bytes->len;
  if (sent == bytes->len || conn->state == CONN_CLOSED) {
    da_buf_free(bytes);
    return;
  }
  write_job *job = da_xcalloc(1, sizeof *job);
  job->uv.data = conn;
  job->bytes = *bytes;
  *bytes = (da_buf){0};
  uv_buf_t buf = uv_buf_init(job->bytes.ptr + sent, (unsigned)(job->bytes.len - sent));
  if (uv_write(&job->uv, &conn->uv.stream, &buf, 1, on_written) == 0) return;
  da_buf_free(&job->bytes);
  free(job);
  http_conn_close(conn);
}

static void tls_failed(http_conn *conn, da_status status, const da_err *err)
{
  if (status != DA_ECLOSED) da_log(DA_LOG_INFO, "http.tls", "peer=%s why=\"%s\"", conn->peer, err->text);
  http_conn_close(conn);
}

static void send_out(http_conn *conn)
{
  da_buf bytes = conn->out;
  conn->out = (da_buf){0};
  if (conn->tls != NULL) {
    da_err err;
    da_buf wire = {0};
    da_status status = da_tls_session_write(conn->tls, da_buf_slice(&bytes), &wire, &err);
    da_buf_free(&bytes);
    bytes = wire;
    if (status != DA_OK) tls_failed(conn, status, &err);
  }
  send_wire(conn, &bytes);
}

void http_conn_advance(http_conn *conn)
{
  while (conn->first != NULL && conn->first->answered && !conn->final) {
    da_http_exchange *exchange = conn->first;
    da_buf_add_slice(&conn->out, da_buf_slice(&exchange->bytes));
    da_buf_free(&exchange->bytes);
    if (exchange->stream != NULL) return; /* writes go straight out from now on */
    if (exchange->closes) {
      http_conn_last(conn);
      conn->final = true;
    }
    conn->first = exchange->next;
    if (conn->first == NULL) conn->last = NULL;
    conn->under_way--;
    http_exchange_free(exchange);
  }
  if (conn->first == NULL && conn->owes_continue && !conn->final) {
    conn->owes_continue = false;
    da_buf_add_slice(&conn->out, DA_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
  }
}

/* ---- requests ------------------------------------------------------------------------------------------ */

void http_conn_last(http_conn *conn)
{
  if (conn->state != CONN_OPEN) return;
  conn->state = CONN_LAST;
  conn->wait = WAIT_NONE;
  conn->owes_continue = false;
  da_buf_free(&conn->in);
  http_conn_mark(conn);
}

static da_http_exchange *add_exchange(http_conn *conn)
{
  da_http_exchange *exchange = da_xcalloc(1, sizeof *exchange);
  exchange->conn = conn;
  exchange->message.minor = 1;
  if (conn->last != NULL)
    conn->last->next = exchange;
  else
    conn->first = exchange;
  conn->last = exchange;
  conn->under_way++;
  return exchange;
}

static void refuse(http_conn *conn, int status, const char *why)
{
  da_http_server *server = conn->server;
  if (conn->state != CONN_OPEN) return;
  http_conn_last(conn);
  conn->refused = true;
  server->stats.refused++;
  if (server->options.handler.refused != NULL)
    server->options.handler.refused(server->options.handler.user, status, why, peer_of(conn));
  da_http_exchange *exchange = add_exchange(conn);
  exchange->refused = true;
  exchange->closes = true;
  http_answer_refusal(exchange, status, why);
}

static void give_request(http_conn *conn)
{
  da_http_server *server = conn->server;
  da_http_exchange *exchange = add_exchange(conn);
  da_http_message *m = &exchange->message;
  da_http_parser_take(&conn->parser, m);
  conn->request_bytes += m->head.len + m->body.len;
  exchange->request = (da_http_request){.method = m->method,
                                        .path = m->path,
                                        .query = m->query,
                                        .fields = m->fields,
                                        .field_count = m->field_count,
                                        .body = da_buf_slice(&m->body),
                                        .peer = peer_of(conn)};
  exchange->is_head = da_slice_eq(m->method, DA_LIT("HEAD"));
  exchange->closes = !m->keep_alive || server->draining;
  if (exchange->closes) http_conn_last(conn);
  conn->wait = WAIT_NONE; /* what comes next has its own time */
  server->stats.requests++;
  server->options.handler.request(server->options.handler.user, exchange);
}

static void got_head(http_conn *conn, bool body_came)
{
  const da_http_message *m = &conn->parser.message;
  if (!m->expects_continue || !m->has_body || body_came) return;
  conn->owes_continue = true;
  http_conn_advance(conn);
  http_conn_mark(conn);
}

/* Parses as much as may be under way. What is left is kept in conn->in, and reading stops. */
static void take_input(http_conn *conn, da_slice in)
{
  da_http_event event = DA_HTTP_HEAD;
  DA_ASSERT(!conn->parsing);
  conn->parsing = true;
  while (event != DA_HTTP_MORE && conn->state == CONN_OPEN && may_parse(conn)) {
    event = da_http_parser_feed(&conn->parser, &in);
    if (event == DA_HTTP_HEAD) got_head(conn, in.len > 0);
    if (event == DA_HTTP_DONE) give_request(conn);
    if (event == DA_HTTP_REFUSED) refuse(conn, conn->parser.refused_status, conn->parser.refused_why);
  }
  conn->parsing = false;
  http_conn_hold(conn);
  if (conn->server->held > conn->server->options.held_max && da_http_parser_is_busy(&conn->parser))
    refuse(conn, 503, "too many requests at a time");
  if (conn->state == CONN_OPEN && event != DA_HTTP_MORE) {
    da_buf_add_slice(&conn->in, in);
    if (conn->reading) (void)uv_read_stop(&conn->uv.stream);
    conn->reading = false;
    http_conn_mark(conn);
  }
  set_wait(conn, true);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
  (void)suggested;
  http_conn *conn = handle->data;
  *buf = uv_buf_init(conn->server->read_buffer, HTTP_READ_SIZE);
}

/* The peer asks nothing more. It may have closed its end only for writing, so what it asked is answered; but a stream
 * would never hear of an end otherwise. */
static void got_end(http_conn *conn)
{
  conn->eof = true;
  if (conn->reading) (void)uv_read_stop(&conn->uv.stream);
  conn->reading = false;
  bool streams = false;
  for (const da_http_exchange *each = conn->first; each != NULL; each = each->next)
    if (each->stream != NULL) streams = true;
  if (streams || conn->state == CONN_LINGER || (conn->first == NULL && http_conn_unsent(conn) == 0))
    http_conn_close(conn);
  else
    http_conn_last(conn);
}

/* What comes behind the last request. */
static void throw_away(http_conn *conn, size_t len)
{
  conn->thrown_away += len;
  /* A body that was refused is thrown away as long as the peer may linger, or it would not see why. */
  if (!conn->refused && conn->state != CONN_LINGER && conn->thrown_away > THROWN_AWAY_MAX) http_conn_close(conn);
}

static void got_bytes(http_conn *conn, da_slice bytes)
{
  if (conn->state == CONN_OPEN)
    take_input(conn, bytes);
  else
    throw_away(conn, bytes.len);
}

static void got_wire(http_conn *conn, da_slice bytes)
{
  da_err err;
  da_buf wire = {0};
  da_buf *plain = &conn->server->plain;
  da_buf_clear(plain);
  da_status status = da_tls_session_read(conn->tls, bytes, plain, &wire, &err);
  if (wire.len > 0) send_wire(conn, &wire);
  da_buf_free(&wire);
  if (plain->len > 0 && conn->state != CONN_CLOSED) got_bytes(conn, da_buf_slice(plain));
  if (status == DA_ECLOSED && conn->state != CONN_CLOSED)
    got_end(conn);
  else if (status != DA_OK && conn->state != CONN_CLOSED)
    tls_failed(conn, status, &err);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
  http_conn *conn = stream->data;
  if (conn->state == CONN_CLOSED || len == 0) return;
  if (len == UV_EOF)
    got_end(conn);
  else if (len < 0)
    http_conn_close(conn);
  else if (conn->tls != NULL && conn->state != CONN_LINGER)
    got_wire(conn, da_slice_make(buf->base, (size_t)len));
  else
    got_bytes(conn, da_slice_make(buf->base, (size_t)len));
}

static void start_reading(http_conn *conn)
{
  if (conn->reading || conn->eof || conn->state == CONN_CLOSED) return;
  conn->reading = uv_read_start(&conn->uv.stream, on_alloc, on_read) == 0;
  if (!conn->reading) http_conn_close(conn);
}

/* ---- before the loop waits ----------------------------------------------------------------------------- */

/* What had to wait until there was room for it. */
static void resume(http_conn *conn)
{
  if (conn->reading || conn->parsing || !may_parse(conn)) return;
  da_buf in = conn->in;
  conn->in = (da_buf){0};
  take_input(conn, da_buf_slice(&in));
  da_buf_free(&in);
  if (conn->in.len == 0) start_reading(conn);
}

void http_conn_flush(http_conn *conn)
{
  if (conn->state == CONN_CLOSED) return;
  if (conn->out.len > 0) send_out(conn);
  http_conn_owe(conn);
  if (conn->state == CONN_OPEN) {
    resume(conn);
    set_wait(conn, false);
  }
  bool done = (conn->final || conn->first == NULL) && http_conn_unsent(conn) == 0;
  if (conn->state == CONN_LAST && done) linger(conn);
  if (conn->state == CONN_LAST || conn->state == CONN_LINGER) start_reading(conn);
}

void http_conn_drain(http_conn *conn)
{
  if (http_conn_is_over(conn)) return;
  for (da_http_exchange *each = conn->first, *next; each != NULL; each = next) {
    next = each->next;
    if (each->stream != NULL) http_stream_finish(each);
  }
  if (http_conn_is_over(conn)) return;
  if (conn->first == NULL && !da_http_parser_is_busy(&conn->parser) && http_conn_unsent(conn) == 0)
    http_conn_close(conn);
  else if (!da_http_parser_is_busy(&conn->parser))
    http_conn_last(conn);
}

/* ---- the beginning ------------------------------------------------------------------------------------- */

static bool open_socket(http_conn *conn, int fd, bool is_unix)
{
  uv_loop_t *loop = conn->server->options.loop;
  int fault = is_unix ? uv_pipe_init(loop, &conn->uv.pipe, 0) : uv_tcp_init(loop, &conn->uv.tcp);
  DA_ASSERT_OP(fault, ==, 0); /* they only fill the struct */
  conn->uv.handle.data = conn;
  fault = is_unix ? uv_pipe_open(&conn->uv.pipe, fd) : uv_tcp_open(&conn->uv.tcp, fd);
  if (fault != 0) (void)close(fd);
  if (fault == 0 && !is_unix) {
    (void)uv_tcp_nodelay(&conn->uv.tcp, 1);
    /* A peer that has vanished without a word is noticed: by the first while nothing is under way to it, by the second
     * while something is, which the system would otherwise send again for a quarter of an hour. */
    (void)uv_tcp_keepalive(&conn->uv.tcp, 1, DA_HTTP_VANISHED_MS / 1000);
    unsigned vanished_ms = DA_HTTP_VANISHED_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &vanished_ms, sizeof vanished_ms);
  }
  return fault == 0;
}

void http_conn_new(da_http_server *server, int fd, bool is_unix, const char *peer, bool full)
{
  http_conn *conn = da_xcalloc(1, sizeof *conn);
  conn->server = server;
  conn->full = full;
  size_t len = strlen(peer);
  memcpy(conn->peer, peer, len < sizeof conn->peer ? len : sizeof conn->peer - 1);
  da_http_parser_create(&conn->parser, DA_HTTP_REQUESTS, &server->limits);
  conn->next = server->conns;
  conn->slot = &server->conns;
  if (conn->next != NULL) conn->next->slot = &conn->next;
  server->conns = conn;
  server->handles++;
  server->stats.connections++;
  server->stats.accepted++;
  if (!full) server->open++;
  http_server_watch(server);
  conn->progress_since = now_of(conn);
  wait_for(conn, WAIT_FIRST, server->options.header_ms);
  if (!open_socket(conn, fd, is_unix)) {
    http_conn_close(conn);
    return;
  }
  da_err err;
  if (!full && server->options.tls != NULL &&
      da_tls_session_new(server->options.tls, NULL, &conn->tls, &err) != DA_OK) {
    tls_failed(conn, DA_EIO, &err);
    return;
  }
  start_reading(conn);
  if (full && server->options.tls == NULL) refuse(conn, 503, "too many connections");
  if (full && server->options.tls != NULL) http_conn_close(conn);
}
