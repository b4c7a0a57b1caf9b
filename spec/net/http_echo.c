/* http_echo.c - a server of nothing but HTTP, for http_server_spec.lua: da_http_server with a handler that answers what
 * a spec asks it to.
 *
 *   http_echo [NAME=VALUE]... ADDRESS...     prints "listening ADDRESS" for each; an ADDRESS of digits is a descriptor
 *
 * NAME: body_max, connections_max, stream_bytes_max, held_max, header_ms, body_ms, idle_ms, certificate, key, files
 * (ulimit -n)
 *
 *   /echo         the request as text, its body behind it
 *   /big?N        N bytes
 *   /holdbig?N    N bytes, at the next /release
 *   /hold?X       X, at the next /release
 *   /release      answers all that is held, last one first
 *   /stream       a stream; begins with a chunk "begun"
 *   /tell?X       X to all streams; says how many took it
 *   /stop         ends the streams
 *   /stats        counters
 *   /drain?MS     drains; prints "drained" and ends
 *   /exit         cuts all and ends
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <uv.h>

#include "../../host/net/http_server.h"
#include "../../host/net/tls.h"

enum { ITEMS_MAX = 10000 };

typedef struct echo {
  uv_loop_t loop;
  da_http_server *server;
  da_tls *tls;
  da_http_exchange *held[ITEMS_MAX];
  size_t held_count;
  da_http_stream *streams[ITEMS_MAX];
  size_t stream_count;
  size_t gone;
  size_t ended;
  size_t refused;
  bool other_refusals; /* refusal_body() gives JSON */
} echo;

typedef struct stream_user {
  echo *all;
  da_http_stream *stream;
} stream_user;

static echo the_echo;

static void text(da_http_exchange *exchange, da_slice body)
{
  da_http_answer(exchange, 200, "text/plain", body, NULL, 0);
}

static void number(da_http_exchange *exchange, size_t n)
{
  da_buf body = {0};
  da_buf_addf(&body, "%zu", n);
  text(exchange, da_buf_slice(&body));
  da_buf_free(&body);
}

static void on_ended(void *user)
{
  stream_user *s = user;
  echo *all = s->all;
  all->ended++;
  for (size_t i = 0; i < all->stream_count; i++)
    if (all->streams[i] == s->stream) all->streams[i] = all->streams[--all->stream_count];
  free(s);
}

static void open_stream(echo *all, da_http_exchange *exchange)
{
  stream_user *user = da_xcalloc(1, sizeof *user);
  user->all = all;
  da_http_field field = {DA_LIT("cache-control"), DA_LIT("no-cache")};
  user->stream = da_http_answer_stream(exchange, "text/event-stream", &field, 1, on_ended, user);
  all->streams[all->stream_count++] = user->stream;
  (void)da_http_stream_write(user->stream, DA_LIT("begun"));
}

static void show_stats(echo *all, da_http_exchange *exchange)
{
  da_http_stats stats = da_http_server_stats(all->server);
  da_buf body = {0};
  da_buf_addf(&body,
              "connections=%zu streams=%zu accepted=%llu requests=%llu refused=%llu dropped=%llu gone=%zu ended=%zu "
              "told=%zu",
              stats.connections, stats.streams, (unsigned long long)stats.accepted, (unsigned long long)stats.requests,
              (unsigned long long)stats.refused, (unsigned long long)stats.dropped, all->gone, all->ended,
              all->refused);
  text(exchange, da_buf_slice(&body));
  da_buf_free(&body);
}

static void show_request(da_http_exchange *exchange, const da_http_request *request)
{
  da_buf body = {0};
  da_buf_addf(&body, "%.*s|%.*s|%.*s|%.*s|", DA_FMT(request->method), DA_FMT(request->path), DA_FMT(request->query),
              DA_FMT(request->peer));
  const da_slice *field = da_http_field_get(request, "x-a");
  if (field != NULL) da_buf_add_slice(&body, *field);
  da_buf_add_byte(&body, '|');
  da_buf_add_slice(&body, request->body);
  text(exchange, da_buf_slice(&body));
  da_buf_free(&body);
}

static void on_closed(void *user)
{
  (void)user;
  (void)printf("closed\n");
}

static void on_drained(void *user)
{
  echo *all = user;
  (void)printf("drained\n");
  (void)fflush(stdout);
  da_http_server_delete(all->server, on_closed, NULL);
}

static size_t number_of(da_slice s)
{
  size_t n = 0;
  for (size_t i = 0; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) n = n * 10 + (size_t)(s.ptr[i] - '0');
  return n;
}

static void big(da_http_exchange *exchange, size_t len)
{
  char *bytes = da_xcalloc(1, len + 1);
  memset(bytes, 'x', len);
  text(exchange, da_slice_make(bytes, len));
  free(bytes);
}

static void on_request(void *user, da_http_exchange *exchange)
{
  echo *all = user;
  const da_http_request *request = da_http_exchange_request(exchange);
  da_slice path = request->path;
  if (da_slice_eq(path, DA_LIT("/echo"))) {
    show_request(exchange, request);
  } else if (da_slice_eq(path, DA_LIT("/big"))) {
    big(exchange, number_of(request->query));
  } else if (da_slice_starts(path, DA_LIT("/hold")) && all->held_count < ITEMS_MAX) {
    all->held[all->held_count++] = exchange;
  } else if (da_slice_eq(path, DA_LIT("/release"))) {
    number(exchange, all->held_count);
    while (all->held_count > 0) {
      da_http_exchange *held = all->held[--all->held_count];
      if (da_slice_eq(da_http_exchange_request(held)->path, DA_LIT("/holdbig")))
        big(held, number_of(da_http_exchange_request(held)->query));
      else
        text(held, da_http_exchange_request(held)->query);
    }
  } else if (da_slice_eq(path, DA_LIT("/stream")) && all->stream_count < ITEMS_MAX) {
    open_stream(all, exchange);
  } else if (da_slice_eq(path, DA_LIT("/tell"))) {
    size_t took = 0;
    for (size_t i = 0; i < all->stream_count; i++) took += da_http_stream_write(all->streams[i], request->query);
    number(exchange, took);
  } else if (da_slice_eq(path, DA_LIT("/stop"))) {
    number(exchange, all->stream_count);
    while (all->stream_count > 0) da_http_stream_end(all->streams[--all->stream_count]);
  } else if (da_slice_eq(path, DA_LIT("/stats"))) {
    show_stats(all, exchange);
  } else if (da_slice_eq(path, DA_LIT("/drain"))) {
    size_t ms = number_of(request->query);
    text(exchange, DA_LIT("draining"));
    da_http_server_drain(all->server, (int64_t)ms, on_drained, all);
  } else if (da_slice_eq(path, DA_LIT("/exit"))) {
    da_http_server_delete(all->server, on_closed, NULL);
  } else {
    da_http_field allow = {DA_LIT("x-why"), DA_LIT("unknown path")};
    da_http_answer(exchange, 404, NULL, DA_NONE, &allow, 1);
  }
}

static void on_gone(void *user, da_http_exchange *exchange)
{
  echo *all = user;
  all->gone++;
  for (size_t i = 0; i < all->held_count; i++)
    if (all->held[i] == exchange) all->held[i] = all->held[--all->held_count];
}

static void on_refused(void *user, int status, const char *why, da_slice peer)
{
  echo *all = user;
  (void)status;
  (void)why;
  (void)peer;
  all->refused++;
}

static bool on_refusal_body(void *user, int status, const char *why, const char **content_type, da_buf *body)
{
  echo *all = user;
  if (!all->other_refusals || status != 413) return false;
  *content_type = "application/json";
  da_buf_addf(body, "{\"why\":\"%s\"}", why);
  return true;
}

static _Noreturn void fail(const da_err *err)
{
  (void)fprintf(stderr, "http_echo: %s\n", err->text);
  exit(2);
}

static void limit_files(size_t count)
{
  struct rlimit limit = {.rlim_cur = count, .rlim_max = count};
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* A "name=value" of the command line; false: it is none. */
static bool read_option(const char *word, da_http_options *options, const char **certificate, const char **key)
{
  const char *equals = strchr(word, '=');
  if (equals == NULL) return false;
  da_slice name = da_slice_make(word, (size_t)(equals - word));
  size_t value = number_of(da_slice_of(equals + 1));
  if (da_slice_eq(name, DA_LIT("body_max"))) options->body_max = value;
  if (da_slice_eq(name, DA_LIT("connections_max"))) options->connections_max = value;
  if (da_slice_eq(name, DA_LIT("stream_bytes_max"))) options->stream_bytes_max = value;
  if (da_slice_eq(name, DA_LIT("held_max"))) options->held_max = value;
  if (da_slice_eq(name, DA_LIT("header_ms"))) options->header_ms = (int64_t)value;
  if (da_slice_eq(name, DA_LIT("body_ms"))) options->body_ms = (int64_t)value;
  if (da_slice_eq(name, DA_LIT("idle_ms"))) options->idle_ms = (int64_t)value;
  if (da_slice_eq(name, DA_LIT("certificate"))) *certificate = equals + 1;
  if (da_slice_eq(name, DA_LIT("key"))) *key = equals + 1;
  if (da_slice_eq(name, DA_LIT("files"))) limit_files(value);
  if (da_slice_eq(name, DA_LIT("json"))) the_echo.other_refusals = true;
  return true;
}

static void listen_on(echo *all, const char *address)
{
  da_err err;
  da_buf bound = {0};
  bool inherited = address[strspn(address, "0123456789")] == '\0';
  da_status status = inherited ? da_http_server_adopt(all->server, (int)strtol(address, NULL, 10), &bound, &err)
                               : da_http_server_listen(all->server, address, &bound, &err);
  if (status != DA_OK) fail(&err);
  (void)printf("listening %.*s\n", DA_FMT(da_buf_slice(&bound)));
  (void)fflush(stdout);
  da_buf_free(&bound);
}

int main(int argc, char **argv)
{
  echo *all = &the_echo;
  da_err err;
  const char *certificate = NULL;
  const char *key = NULL;
  (void)uv_loop_init(&all->loop);
  da_http_options options = {
      .loop = &all->loop,
      .handler =
          {.request = on_request, .gone = on_gone, .refused = on_refused, .refusal_body = on_refusal_body, .user = all},
      .body_max = 1 << 20,
      .connections_max = 10000,
      .stream_bytes_max = 1 << 20,
  };
  for (int i = 1; i < argc; i++) (void)read_option(argv[i], &options, &certificate, &key);
  if (certificate != NULL && da_tls_server_new(certificate, key, &all->tls, &err) != DA_OK) fail(&err);
  options.tls = all->tls;
  if (da_http_server_new(&options, &all->server, &err) != DA_OK) fail(&err);
  for (int i = 1; i < argc; i++)
    if (strchr(argv[i], '=') == NULL) listen_on(all, argv[i]);
  (void)uv_run(&all->loop, UV_RUN_DEFAULT);
  da_tls_delete(all->tls);
  return uv_loop_close(&all->loop) == 0 ? 0 : 3;
}
