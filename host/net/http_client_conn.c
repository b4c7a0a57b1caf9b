/* http_client_conn.c - one connection: found, made, asked, kept.
 *
 * done() is told from reads and from the timer only, never from a call of the user: what fails at once (connect(2) may)
 * is left to the timer.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "http_client_parts.h"

enum {
  IDLE_MS = 30000,  /* a connection that rests is kept so long, if its peer keeps it */
  ADDRESS_MS = 250, /* the least one address is given while there are others */
  HEAD_MAX = 64 << 10,
  FIELDS_MAX = 256
};

static uint64_t now_of(const da_http_conn *conn)
{
  return uv_now(conn->client->options.loop);
}

static void set_due(da_http_conn *conn, uint64_t due)
{
  conn->due = due;
  da_http_client_arm(conn->client, due);
}

/* ---- its end ------------------------------------------------------------------------------------------- */

static void leave_idle(da_http_conn *conn)
{
  da_http_conn **at = &conn->origin->idle;
  while (*at != conn) at = &(*at)->idle_next;
  *at = conn->idle_next;
}

static void connect_next(da_http_conn *conn);

static void on_closed(uv_handle_t *handle)
{
  da_http_conn *conn = handle->data;
  da_http_client *client = conn->client;
  if (conn->state == DA_HTTP_CONN_AGAIN) {
    connect_next(conn);
    return;
  }
  *(conn->prev != NULL ? &conn->prev->next : &client->conns) = conn->next;
  if (conn->next != NULL) conn->next->prev = conn->prev;
  client->conn_count--;
  da_http_origin *origin = conn->origin;
  da_http_call *call = conn->call;
  if (call != NULL) call->bytes = conn->sending; /* no write of them is under way any more */
  if (call == NULL) da_buf_free(&conn->sending);
  da_http_parser_destroy(&conn->parser);
  da_tls_session_delete(conn->tls);
  free(conn);
  if (call != NULL) da_http_client_requeue(client, origin, call);
  if (client->closing)
    da_http_client_gone(client);
  else
    da_http_origin_release(origin);
}

void da_http_conn_close(da_http_conn *conn)
{
  bool closing = conn->state == DA_HTTP_CONN_AGAIN || conn->state == DA_HTTP_CONN_CLOSING;
  if (conn->state == DA_HTTP_CONN_IDLE) leave_idle(conn);
  conn->state = DA_HTTP_CONN_CLOSING;
  conn->due = UINT64_MAX;
  if (!closing) uv_close(&conn->socket.handle, on_closed);
}

void da_http_conn_fail(da_http_conn *conn, const da_err *err)
{
  da_http_client *client = conn->client;
  da_http_call *call = conn->call;
  bool waits = conn->state == DA_HTTP_CONN_CLOSING; /* to be tried once more: it counts as active no longer */
  da_err words = *err;
  conn->call = NULL;
  da_http_conn_close(conn);
  if (call == NULL) return;
  if (!waits) da_http_client_released(client, conn->origin, true);
  da_http_client_tell(client, call, NULL, &words);
  da_http_client_turn(client);
}

static void fail_later(da_http_conn *conn)
{
  conn->failing = true;
  set_due(conn, now_of(conn));
}

/* "example.org:8001", for words. */
static const char *name_of(const da_http_conn *conn)
{
  if (conn->client->options.unix_path != NULL) return conn->client->options.unix_path;
  const char *key = conn->origin->key;
  return key[0] == 's' && conn->origin->url.tls ? key + 1 : key;
}

void da_http_conn_expire(da_http_conn *conn)
{
  const da_http_client_options *o = &conn->client->options;
  da_err err = conn->err;
  if (!conn->failing) switch (conn->state) {
    case DA_HTTP_CONN_RESOLVING:
      (void)da_fail(&err, DA_EIO, "cannot resolve '%s': no answer within %lld ms", conn->origin->url.host.ptr,
                    (long long)o->connect_ms);
      break;
    case DA_HTTP_CONN_CONNECTING:
      (void)da_fail(&conn->err, DA_EIO, "%s: no connection within %lld ms", name_of(conn), (long long)o->connect_ms);
      err = conn->err;
      if (now_of(conn) >= conn->connect_due || conn->address_at + 1 >= conn->address_count) break;
      conn->state = DA_HTTP_CONN_AGAIN;
      conn->due = UINT64_MAX;
      uv_close(&conn->socket.handle, on_closed);
      return;
    case DA_HTTP_CONN_HANDSHAKING:
      (void)da_fail(&err, DA_EIO, "%s: no TLS handshake within %lld ms", name_of(conn), (long long)o->connect_ms);
      break;
    case DA_HTTP_CONN_ASKING:
      (void)da_fail(&err, DA_EIO, "%s: no answer within %lld ms", name_of(conn), (long long)o->request_ms);
      break;
    case DA_HTTP_CONN_IDLE:
    case DA_HTTP_CONN_AGAIN:
    case DA_HTTP_CONN_CLOSING:
      break;
    }
  da_http_conn_fail(conn, &err);
}

/* The peer has gone, or what it says is no answer. */
static void ended(da_http_conn *conn, const char *why)
{
  da_http_call *call = conn->call;
  if (call == NULL) {
    da_http_conn_close(conn);
    return;
  }
  if (conn->state == DA_HTTP_CONN_ASKING && conn->reused && !conn->answered && !call->tried) {
    call->tried = true;
    da_http_client_released(conn->client, conn->origin, conn->origin->suspect);
    da_http_conn_close(conn); /* which puts it in front of the queue */
    return;
  }
  da_err err;
  (void)da_fail(&err, DA_EIO, "%s: %s", name_of(conn), why);
  da_http_conn_fail(conn, &err);
}

/* ---- the answer ---------------------------------------------------------------------------------------- */

/* True: it may be asked again. */
static bool rest(da_http_conn *conn, bool keep)
{
  if (!keep || conn->writes > 0 || conn->client->closing) return false;
  conn->state = DA_HTTP_CONN_IDLE;
  conn->idle_next = conn->origin->idle;
  conn->origin->idle = conn;
  set_due(conn, now_of(conn) + IDLE_MS);
  return true;
}

static void answer(da_http_conn *conn)
{
  da_http_client *client = conn->client;
  da_http_message message;
  da_http_parser_take(&conn->parser, &message);
  if (message.status >= 100 && message.status < 200) { /* an interim answer (RFC 9110, 15.2) */
    da_http_message_free(&message);
    if (conn->call->bodiless) da_http_parser_no_body(&conn->parser);
    return;
  }
  da_http_call *call = conn->call;
  conn->call = NULL;
  conn->reused = true;
  if (conn->writes == 0) da_buf_free(&conn->sending);
  if (!rest(conn, message.keep_alive)) da_http_conn_close(conn);
  da_http_client_released(client, conn->origin, false);
  const da_http_reply reply = {.status = message.status,
                               .fields = message.fields,
                               .field_count = message.field_count,
                               .body = da_buf_slice(&message.body)};
  da_http_client_tell(client, call, &reply, NULL);
  da_http_message_free(&message);
  da_http_client_turn(client);
}

static void refuse(da_http_conn *conn)
{
  da_err err;
  if (conn->parser.refused_status == 413)
    (void)da_fail(&err, DA_ETOOBIG, "%s: its answer is longer than %zu bytes", name_of(conn),
                  conn->client->options.answer_max);
  else
    (void)da_fail(&err, DA_EIO, "%s: its answer is no HTTP/1.1: %s", name_of(conn), conn->parser.refused_why);
  da_http_conn_fail(conn, &err);
}

static void take_plain(da_http_conn *conn, da_slice bytes)
{
  if (bytes.len > 0) conn->answered = true;
  for (;;) {
    if (conn->state == DA_HTTP_CONN_IDLE && bytes.len > 0) {
      da_http_conn_close(conn); /* nothing was asked */
      return;
    }
    if (conn->state != DA_HTTP_CONN_ASKING) return;
    switch (da_http_parser_feed(&conn->parser, &bytes)) {
    case DA_HTTP_MORE:
      return;
    case DA_HTTP_HEAD:
      break;
    case DA_HTTP_DONE:
      answer(conn);
      break;
    case DA_HTTP_REFUSED:
      refuse(conn);
      return;
    }
  }
}

static void on_end(da_http_conn *conn, int code)
{
  if (code == UV_EOF && conn->state == DA_HTTP_CONN_ASKING && da_http_parser_is_busy(&conn->parser)) {
    switch (da_http_parser_finish(&conn->parser)) {
    case DA_HTTP_DONE:
      answer(conn);
      break;
    case DA_HTTP_REFUSED:
    case DA_HTTP_MORE:
    case DA_HTTP_HEAD:
      break;
    }
    if (conn->state != DA_HTTP_CONN_ASKING) {
      da_http_conn_close(conn);
      return;
    }
  }
  if (conn->state == DA_HTTP_CONN_HANDSHAKING)
    ended(conn, "the connection ended during the TLS handshake");
  else if (code != UV_EOF)
    ended(conn, uv_strerror(code));
  else
    ended(conn, conn->answered ? "the connection ended within the answer" : "the connection ended without an answer");
}

/* ---- bytes --------------------------------------------------------------------------------------------- */

static void written(da_http_conn *conn, int status)
{
  conn->writes--;
  bool open = conn->state == DA_HTTP_CONN_HANDSHAKING || conn->state == DA_HTTP_CONN_ASKING;
  if (open && status != 0 && status != UV_ECANCELED) ended(conn, uv_strerror(status));
}

static void on_written(uv_write_t *request, int status)
{
  written(request->data, status);
}

static void cannot_write(da_http_conn *conn)
{
  (void)da_fail(&conn->err, DA_EIO, "%s: the connection cannot be written to", name_of(conn));
  fail_later(conn);
}

/* Of what the kernel takes at once; a fault shows when the rest is written. */
static size_t try_write(da_http_conn *conn, da_slice bytes)
{
  uv_buf_t buf = {.len = bytes.len};
  memcpy(&buf.base, &bytes.ptr, sizeof buf.base);
  int sent = uv_try_write(&conn->socket.stream, &buf, 1);
  return sent > 0 ? (size_t)sent : 0;
}

static void write_plain(da_http_conn *conn)
{
  size_t sent = try_write(conn, da_buf_slice(&conn->sending));
  if (sent == conn->sending.len) return;
  uv_buf_t buf = {.base = conn->sending.ptr + sent, .len = conn->sending.len - sent};
  conn->writing.data = conn;
  if (uv_write(&conn->writing, &conn->socket.stream, &buf, 1, on_written) == 0)
    conn->writes++;
  else
    cannot_write(conn);
}

/* What TLS made of it, which nobody else has. */
typedef struct wire_write {
  uv_write_t request;
  da_http_conn *conn;
  da_buf bytes;
} wire_write;

static void on_wire_written(uv_write_t *request, int status)
{
  wire_write *w = request->data;
  da_http_conn *conn = w->conn;
  da_buf_free(&w->bytes);
  free(w);
  written(conn, status);
}

/* Takes the bytes over. */
static void write_wire(da_http_conn *conn, da_buf *wire)
{
  size_t sent = wire->len > 0 ? try_write(conn, da_buf_slice(wire)) : 0;
  if (sent == wire->len) {
    da_buf_free(wire);
    return;
  }
  wire_write *w = da_xmalloc(sizeof *w);
  *w = (wire_write){.conn = conn, .bytes = *wire};
  w->request.data = w;
  uv_buf_t buf = {.base = wire->ptr + sent, .len = wire->len - sent};
  *wire = (da_buf){0};
  if (uv_write(&w->request, &conn->socket.stream, &buf, 1, on_wire_written) == 0) {
    conn->writes++;
    return;
  }
  da_buf_free(&w->bytes);
  free(w);
  cannot_write(conn);
}

static void write_call(da_http_conn *conn)
{
  da_buf wire = {0};
  da_err err = {{0}};
  if (conn->tls == NULL) {
    write_plain(conn);
  } else if (da_tls_session_write(conn->tls, da_buf_slice(&conn->sending), &wire, &err) == DA_OK) {
    write_wire(conn, &wire);
  } else {
    da_buf_free(&wire);
    (void)da_fail(&conn->err, DA_EIO, "%s: %s", name_of(conn), err.text);
    fail_later(conn);
  }
}

static void take_wire(da_http_conn *conn, da_slice bytes)
{
  da_buf plain = {0}, wire = {0};
  da_err err = {{0}};
  da_status status = da_tls_session_read(conn->tls, bytes, &plain, &wire, &err);
  write_wire(conn, &wire);
  if (conn->state == DA_HTTP_CONN_HANDSHAKING && da_tls_session_is_ready(conn->tls)) da_http_conn_ask(conn, conn->call);
  take_plain(conn, da_buf_slice(&plain));
  da_buf_free(&plain);
  if (status == DA_OK || conn->state == DA_HTTP_CONN_CLOSING) return;
  if (status == DA_ECLOSED) {
    on_end(conn, UV_EOF);
    return;
  }
  da_err words;
  (void)da_fail(&words, status, "%s: %s", name_of(conn), err.text);
  da_http_conn_fail(conn, &words);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
  const da_http_conn *conn = handle->data;
  (void)suggested;
  *buf = uv_buf_init(conn->client->read_buffer, (unsigned)conn->client->read_bytes);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
  da_http_conn *conn = stream->data;
  if (conn->state == DA_HTTP_CONN_CLOSING || n == 0) return;
  if (n < 0)
    on_end(conn, (int)n);
  else if (conn->tls != NULL)
    take_wire(conn, da_slice_make(buf->base, (size_t)n));
  else
    take_plain(conn, da_slice_make(buf->base, (size_t)n));
}

void da_http_conn_ask(da_http_conn *conn, da_http_call *call)
{
  if (conn->state == DA_HTTP_CONN_IDLE) leave_idle(conn);
  conn->state = DA_HTTP_CONN_ASKING;
  conn->call = call;
  conn->answered = false;
  if (call->bodiless) da_http_parser_no_body(&conn->parser);
  if (conn->reused) conn->whole_due = now_of(conn) + (uint64_t)conn->client->options.request_ms;
  conn->sending = call->bytes;
  call->bytes = (da_buf){0};
  set_due(conn, conn->whole_due);
  write_call(conn);
}

/* ---- getting there ------------------------------------------------------------------------------------- */

/* Says hello. */
static void begin_tls(da_http_conn *conn)
{
  da_http_client *client = conn->client;
  da_buf wire = {0};
  da_buf plain = {0};
  da_err err = {{0}};
  da_status status = client->tls != NULL ? DA_OK : da_tls_client_new(&client->tls, &err);
  if (status == DA_OK) status = da_tls_session_new(client->tls, conn->origin->url.host.ptr, &conn->tls, &err);
  if (status == DA_OK) status = da_tls_session_read(conn->tls, DA_NONE, &plain, &wire, &err);
  if (status != DA_OK) {
    da_buf_free(&wire);
    da_err words;
    (void)da_fail(&words, status, "%s: %s", name_of(conn), err.text);
    da_http_conn_fail(conn, &words);
    return;
  }
  conn->state = DA_HTTP_CONN_HANDSHAKING;
  set_due(conn, conn->connect_due);
  write_wire(conn, &wire);
}

static void on_connected(uv_connect_t *request, int status)
{
  da_http_conn *conn = request->data;
  if (conn->state != DA_HTTP_CONN_CONNECTING) return;
  if (status != 0) {
    (void)da_fail(&conn->err, DA_EIO, "%s: %s", name_of(conn), uv_strerror(status));
    if (conn->address_at + 1 < conn->address_count) {
      conn->state = DA_HTTP_CONN_AGAIN;
      conn->due = UINT64_MAX;
      uv_close(&conn->socket.handle, on_closed);
      return;
    }
    conn->origin->addresses_until = 0; /* it may have moved */
    da_err err = conn->err;
    da_http_conn_fail(conn, &err);
    return;
  }
  if (conn->client->options.unix_path == NULL) (void)uv_tcp_nodelay(&conn->socket.tcp, 1);
  (void)uv_read_start(&conn->socket.stream, on_alloc, on_read);
  if (conn->origin->url.tls)
    begin_tls(conn);
  else
    da_http_conn_ask(conn, conn->call);
}

static void connect_to(da_http_conn *conn)
{
  uint64_t left = conn->connect_due > now_of(conn) ? conn->connect_due - now_of(conn) : 0;
  uint64_t share = left / (conn->address_count - conn->address_at);
  if (share < ADDRESS_MS) share = left < ADDRESS_MS ? left : ADDRESS_MS;
  conn->state = DA_HTTP_CONN_CONNECTING;
  conn->connecting.data = conn;
  set_due(conn, now_of(conn) + share);
  const char *path = conn->client->options.unix_path;
  if (path != NULL) {
    uv_pipe_connect(&conn->connecting, &conn->socket.pipe, path, on_connected);
    return;
  }
  const struct sockaddr *address = (const struct sockaddr *)&conn->addresses[conn->address_at].storage;
  int code = uv_tcp_connect(&conn->connecting, &conn->socket.tcp, address, on_connected);
  if (code == 0) return;
  (void)da_fail(&conn->err, DA_EIO, "%s: %s", name_of(conn), uv_strerror(code));
  fail_later(conn);
}

static void open_socket(da_http_conn *conn)
{
  const da_http_client_options *o = &conn->client->options;
  int code =
      o->unix_path != NULL ? uv_pipe_init(o->loop, &conn->socket.pipe, 0) : uv_tcp_init(o->loop, &conn->socket.tcp);
  DA_ASSERT_OP(code, ==, 0); /* no socket is made yet */
  conn->socket.handle.data = conn;
}

static void connect_next(da_http_conn *conn)
{
  open_socket(conn);
  conn->address_at++;
  connect_to(conn);
}

static void take_addresses(da_http_conn *conn)
{
  const da_http_origin *origin = conn->origin;
  memcpy(conn->addresses, origin->addresses, origin->address_count * sizeof *conn->addresses);
  conn->address_count = origin->address_count;
  connect_to(conn);
}

void da_http_conn_resolved(da_http_conn *conn, const char *fault)
{
  da_err err;
  if (fault == NULL && conn->origin->address_count > 0) {
    take_addresses(conn);
    return;
  }
  (void)da_fail(&err, DA_EIO, "cannot resolve '%s': %s", conn->origin->url.host.ptr,
                fault != NULL ? fault : "it has no address");
  da_http_conn_fail(conn, &err);
}

void da_http_conn_new(da_http_origin *origin, da_http_call *call)
{
  da_http_client *client = origin->client;
  const da_http_limits limits = {
      .target_max = 0, .head_max = HEAD_MAX, .fields_max = FIELDS_MAX, .body_max = client->options.answer_max};
  da_http_conn *conn = da_xcalloc(1, sizeof *conn);
  conn->client = client;
  conn->origin = origin;
  conn->call = call;
  conn->next = client->conns;
  if (conn->next != NULL) conn->next->prev = conn;
  client->conns = conn;
  client->conn_count++;
  da_http_parser_create(&conn->parser, DA_HTTP_RESPONSES, &limits);
  open_socket(conn);
  conn->connect_due = now_of(conn) + (uint64_t)client->options.connect_ms;
  conn->whole_due = now_of(conn) + (uint64_t)client->options.request_ms;
  if (da_http_origin_is_known(origin)) {
    take_addresses(conn);
    return;
  }
  conn->state = DA_HTTP_CONN_RESOLVING;
  set_due(conn, conn->connect_due);
  da_http_origin_look_up(origin);
}
