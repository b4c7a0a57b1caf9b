/* http_dial.c - see http_dial.h.
 *
 * Three things hold a dial in memory: its socket, its timer, a look-up under way. It goes with the last of them.
 * The trust in the system's certificates is read once and shared by all dials of the process, which have one loop.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "http_dial.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "tls.h"

enum { READ_BYTES = 64 * 1024, ADDRESS_MS = 250, KEEPALIVE_S = 30 };

typedef enum dial_state {
  DIAL_RESOLVING,
  DIAL_CONNECTING,
  DIAL_AGAIN,
  DIAL_HANDSHAKING,
  DIAL_READY,
  DIAL_GONE
} dial_state;

struct da_http_dial {
  da_http_dial_options options;
  dial_state state;
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } socket;
  bool socket_open; /* the handle is, or is about to be closed */
  uv_timer_t timer;
  uv_connect_t connecting;
  uv_getaddrinfo_t lookup;
  struct addrinfo *addresses, *address; /* owned by libuv; the one being tried */
  uint64_t due;                         /* ms of the loop: until ready */
  da_tls_session *tls;
  da_err err;
  int holds; /* socket, timer, look-up */
  bool closing;
  bool reading, paused;
  void (*closed)(void *user);
  void *closed_user;
};

static da_tls *trust;                /* of the process */
static char read_buffer[READ_BYTES]; /* what is read is used up before the next read */

/* ---- the end ------------------------------------------------------------------------------------------- */

static void let_go(da_http_dial *dial)
{
  if (--dial->holds > 0) return;
  void (*closed)(void *user) = dial->closed;
  void *user = dial->closed_user;
  if (dial->addresses != NULL) uv_freeaddrinfo(dial->addresses);
  da_tls_session_delete(dial->tls);
  free(dial);
  if (closed != NULL) closed(user);
}

static void on_timer_closed(uv_handle_t *handle)
{
  let_go(handle->data);
}

static void connect_to(da_http_dial *dial);

static void on_socket_closed(uv_handle_t *handle)
{
  da_http_dial *dial = handle->data;
  dial->socket_open = false;
  if (dial->state == DIAL_AGAIN && !dial->closing) {
    dial->address = dial->address->ai_next;
    connect_to(dial);
  }
  let_go(dial);
}

static void close_socket(da_http_dial *dial)
{
  if (dial->socket_open && !uv_is_closing(&dial->socket.handle)) uv_close(&dial->socket.handle, on_socket_closed);
}

void da_http_dial_close(da_http_dial *dial, void (*closed)(void *user), void *user)
{
  dial->closing = true;
  dial->state = DIAL_GONE;
  dial->closed = closed;
  dial->closed_user = user;
  close_socket(dial);
  if (!uv_is_closing((uv_handle_t *)&dial->timer)) uv_close((uv_handle_t *)&dial->timer, on_timer_closed);
}

/* "example.org:8001", for words. */
static void name(const da_http_dial *dial, char out[256])
{
  const da_http_url *url = dial->options.url;
  if (dial->options.unix_path != NULL)
    (void)snprintf(out, 256, "%s", dial->options.unix_path);
  else
    (void)snprintf(out, 256, "%.*s:%d", (int)(url->host.len > 200 ? 200 : url->host.len), url->host.ptr, url->port);
}

static void tell_gone(da_http_dial *dial, bool ended)
{
  if (dial->closing || dial->state == DIAL_GONE) return;
  dial->state = DIAL_GONE;
  (void)uv_timer_stop(&dial->timer);
  dial->options.gone(dial->options.user, ended, &dial->err);
}

static void fail(da_http_dial *dial, const char *why, bool ended)
{
  char where[256];
  name(dial, where);
  (void)da_fail(&dial->err, DA_EIO, "%s: %s", where, why);
  tell_gone(dial, ended);
}

static void on_timer(uv_timer_t *timer);

/* A fault that shows where nothing may be told. */
static void fail_later(da_http_dial *dial, const char *why)
{
  char where[256];
  name(dial, where);
  (void)da_fail(&dial->err, DA_EIO, "%s: %s", where, why);
  (void)uv_timer_start(&dial->timer, on_timer, 0, 0);
}

/* ---- bytes --------------------------------------------------------------------------------------------- */

typedef struct dial_write {
  uv_write_t request;
  da_buf bytes;
} dial_write;

static void on_written(uv_write_t *request, int status)
{
  dial_write *w = (dial_write *)request;
  da_http_dial *dial = request->handle->data;
  da_buf_free(&w->bytes);
  free(w);
  if (status != 0 && status != UV_ECANCELED && !dial->closing) fail(dial, uv_strerror(status), false);
}

/* Takes the bytes over. */
static void write_out(da_http_dial *dial, da_buf *bytes)
{
  size_t sent = 0;
  if (bytes->len > 0 && uv_stream_get_write_queue_size(&dial->socket.stream) == 0) {
    uv_buf_t all = uv_buf_init(bytes->ptr, (unsigned)bytes->len);
    int n = uv_try_write(&dial->socket.stream, &all, 1);
    sent = n > 0 ? (size_t)n : 0;
  }
  if (sent == bytes->len) {
    da_buf_free(bytes);
    return;
  }
  dial_write *w = da_xcalloc(1, sizeof *w);
  w->bytes = *bytes;
  *bytes = (da_buf){0};
  uv_buf_t rest = uv_buf_init(w->bytes.ptr + sent, (unsigned)(w->bytes.len - sent));
  if (uv_write(&w->request, &dial->socket.stream, &rest, 1, on_written) == 0) return;
  da_buf_free(&w->bytes);
  free(w);
  fail_later(dial, "the connection cannot be written to");
}

void da_http_dial_write(da_http_dial *dial, da_buf *bytes)
{
  DA_ASSERT(dial->state == DIAL_READY || dial->state == DIAL_GONE);
  if (dial->state == DIAL_GONE || dial->tls == NULL) {
    if (dial->state == DIAL_READY)
      write_out(dial, bytes);
    else
      da_buf_free(bytes);
    return;
  }
  da_buf wire = {0};
  da_err err = {{0}};
  da_status status = da_tls_session_write(dial->tls, da_buf_slice(bytes), &wire, &err);
  da_buf_free(bytes);
  if (status == DA_OK) {
    write_out(dial, &wire);
    return;
  }
  da_buf_free(&wire);
  fail_later(dial, err.text);
}

static void become_ready(da_http_dial *dial)
{
  dial->state = DIAL_READY;
  (void)uv_timer_stop(&dial->timer);
  dial->options.ready(dial->options.user);
}

static void tell_data(da_http_dial *dial, da_slice bytes)
{
  if (bytes.len > 0 && dial->state == DIAL_READY && !dial->closing) dial->options.data(dial->options.user, bytes);
}

static void take_wire(da_http_dial *dial, da_slice bytes)
{
  da_buf plain = {0}, wire = {0};
  da_err err = {{0}};
  dial->holds++; /* who is told may close it */
  da_status status = da_tls_session_read(dial->tls, bytes, &plain, &wire, &err);
  write_out(dial, &wire);
  if (dial->state == DIAL_HANDSHAKING && da_tls_session_is_ready(dial->tls)) become_ready(dial);
  tell_data(dial, da_buf_slice(&plain));
  da_buf_free(&plain);
  if (status != DA_OK && !dial->closing)
    fail(dial, status == DA_ECLOSED ? "the connection ended" : err.text, status == DA_ECLOSED);
  let_go(dial);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
  (void)handle;
  (void)suggested;
  *buf = uv_buf_init(read_buffer, sizeof read_buffer);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
  da_http_dial *dial = stream->data;
  if (dial->closing || dial->state == DIAL_GONE || n == 0) return;
  if (n < 0)
    fail(dial, n == UV_EOF ? "the connection ended" : uv_strerror((int)n), n == UV_EOF);
  else if (dial->tls != NULL)
    take_wire(dial, da_slice_make(buf->base, (size_t)n));
  else
    tell_data(dial, da_slice_make(buf->base, (size_t)n));
}

static void look_at_reading(da_http_dial *dial)
{
  bool wanted = !dial->paused;
  if (!dial->socket_open || wanted == dial->reading || uv_is_closing(&dial->socket.handle)) return;
  dial->reading = wanted;
  if (wanted)
    (void)uv_read_start(&dial->socket.stream, on_alloc, on_read);
  else
    (void)uv_read_stop(&dial->socket.stream);
}

void da_http_dial_pause(da_http_dial *dial, bool paused)
{
  dial->paused = paused;
  if (dial->state == DIAL_READY) look_at_reading(dial);
}

/* ---- getting there ------------------------------------------------------------------------------------- */

static void say_hello(da_http_dial *dial)
{
  da_buf wire = {0}, plain = {0};
  da_err err = {{0}};
  da_status status = trust != NULL ? DA_OK : da_tls_client_new(&trust, &err);
  if (status == DA_OK) status = da_tls_session_new(trust, dial->options.url->host.ptr, &dial->tls, &err);
  if (status == DA_OK) status = da_tls_session_read(dial->tls, DA_NONE, &plain, &wire, &err);
  da_buf_free(&plain);
  if (status != DA_OK) {
    da_buf_free(&wire);
    fail(dial, err.text, false);
    return;
  }
  dial->state = DIAL_HANDSHAKING;
  write_out(dial, &wire);
}

static void on_connected(uv_connect_t *request, int status)
{
  da_http_dial *dial = request->data;
  if (dial->state != DIAL_CONNECTING || dial->closing) return;
  if (status != 0 && dial->address != NULL && dial->address->ai_next != NULL) {
    dial->state = DIAL_AGAIN; /* the next address, on a socket of its own */
    close_socket(dial);
    return;
  }
  if (status != 0) {
    fail(dial, uv_strerror(status), false);
    return;
  }
  if (dial->options.unix_path == NULL) {
    (void)uv_tcp_nodelay(&dial->socket.tcp, 1);
    (void)uv_tcp_keepalive(&dial->socket.tcp, 1, KEEPALIVE_S);
  }
  look_at_reading(dial);
  if (dial->options.url->tls && dial->options.unix_path == NULL)
    say_hello(dial);
  else
    become_ready(dial);
}

static void arm(da_http_dial *dial)
{
  uint64_t now = uv_now(dial->options.loop);
  uint64_t left = dial->due > now ? dial->due - now : 0;
  uint64_t others = 1;
  for (const struct addrinfo *a = dial->address; a != NULL && a->ai_next != NULL; a = a->ai_next) others++;
  uint64_t share = left / others; /* each address has its part of the time */
  if (share < ADDRESS_MS) share = left < ADDRESS_MS ? left : ADDRESS_MS;
  (void)uv_timer_start(&dial->timer, on_timer, share, 0);
}

static void connect_to(da_http_dial *dial)
{
  const char *path = dial->options.unix_path;
  dial->state = DIAL_CONNECTING;
  dial->connecting.data = dial;
  dial->reading = false;
  int code = path != NULL ? uv_pipe_init(dial->options.loop, &dial->socket.pipe, 0)
                          : uv_tcp_init(dial->options.loop, &dial->socket.tcp);
  DA_ASSERT_OP(code, ==, 0); /* no socket is made yet */
  dial->socket.handle.data = dial;
  dial->socket_open = true;
  dial->holds++;
  arm(dial);
  if (path != NULL)
    uv_pipe_connect(&dial->connecting, &dial->socket.pipe, path, on_connected);
  else
    code = uv_tcp_connect(&dial->connecting, &dial->socket.tcp, dial->address->ai_addr, on_connected);
  if (code != 0) fail_later(dial, uv_strerror(code));
}

static void on_timer(uv_timer_t *timer)
{
  da_http_dial *dial = timer->data;
  char words[80];
  if (dial->err.text[0] != '\0') { /* of fail_later() */
    tell_gone(dial, false);
    return;
  }
  if (dial->state == DIAL_CONNECTING && dial->address != NULL && dial->address->ai_next != NULL &&
      uv_now(dial->options.loop) < dial->due) {
    dial->state = DIAL_AGAIN;
    close_socket(dial);
    return;
  }
  (void)snprintf(words, sizeof words, "no connection within %lld ms", (long long)dial->options.connect_ms);
  fail(dial, words, false);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
  da_http_dial *dial = request->data;
  dial->addresses = dial->address = list;
  if (!dial->closing && dial->state == DIAL_RESOLVING) {
    char words[160];
    (void)snprintf(words, sizeof words, "the name cannot be resolved: %s",
                   status != 0 ? uv_strerror(status) : "it has no address");
    if (status == 0 && list != NULL)
      connect_to(dial);
    else
      fail(dial, words, false);
  }
  let_go(dial);
}

static void look_up(da_http_dial *dial)
{
  const da_http_url *url = dial->options.url;
  struct addrinfo hints = {
      .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC, .ai_flags = url->literal ? AI_NUMERICHOST : AI_ADDRCONFIG};
  char service[16];
  (void)snprintf(service, sizeof service, "%d", url->port);
  dial->lookup.data = dial;
  dial->holds++;
  int code = uv_getaddrinfo(dial->options.loop, &dial->lookup, on_looked_up, url->host.ptr, service, &hints);
  if (code == 0) return;
  dial->holds--;
  fail_later(dial, uv_strerror(code));
}

da_http_dial *da_http_dial_new(const da_http_dial_options *options)
{
  da_http_dial *dial = da_xcalloc(1, sizeof *dial);
  dial->options = *options;
  dial->state = DIAL_RESOLVING;
  dial->holds = 1;
  (void)uv_timer_init(options->loop, &dial->timer);
  dial->timer.data = dial;
  dial->due = uv_now(options->loop) + (uint64_t)options->connect_ms;
  (void)uv_timer_start(&dial->timer, on_timer, (uint64_t)options->connect_ms, 0);
  if (options->unix_path != NULL)
    connect_to(dial);
  else
    look_up(dial);
  return dial;
}
