/* http_server.h - HTTP/1.1 on a loop: listeners and connections in, whole requests out to one handler, answers back.
 *
 * Here:     accepting, reading, parsing (http_parse.h), keep-alive, pipelining (answers leave in the order of the
 *           requests, whatever order they are given in), deadlines for header, body and idleness, bounds on everything,
 *           streams that stay open, TLS (tls.h), an orderly end.
 * May not:  know what is asked: paths, JSON, the protocol. No other room is told of but base.
 * Threads:  the loop thread.
 *
 * An exchange is one request and its answer. The handler owes it exactly one da_http_answer() or
 * da_http_answer_stream(), now or later; until then it is alive. If its peer goes before that, the handler is told by
 * gone(), once, and must not touch it again; not told: it was answered, and is not the handler's any more.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_HTTP_SERVER_H
#define DA_NET_HTTP_SERVER_H

#include "../base/bytes.h"

struct uv_loop_s;
struct da_tls;

typedef struct da_http_server da_http_server;
typedef struct da_http_exchange da_http_exchange;
typedef struct da_http_stream da_http_stream;

typedef struct da_http_field {
  da_slice name; /* as sent */
  da_slice value;
} da_http_field;

typedef struct da_http_request {
  da_slice method;
  da_slice path;  /* of the target, before '?', as sent (percent-encoded) */
  da_slice query; /* behind '?', or empty */
  const da_http_field *fields;
  size_t field_count;
  da_slice body;
  da_slice peer;   /* "127.0.0.1:50112", for logs */
} da_http_request; /* borrowed until the exchange is answered or gone */

/* The value of the first field of this name (any case), or NULL. */
const da_slice *da_http_field_get(const da_http_request *request, const char *name);

typedef struct da_http_handler {
  void (*request)(void *user, da_http_exchange *exchange);
  void (*gone)(void *user, da_http_exchange *exchange);
  /* Told of what this layer answered itself (status 400, 408, 411, 413, 414, 417, 431, 501, 503, 505), for logs and
   * counters. May be NULL. */
  void (*refused)(void *user, int status, const char *why, da_slice peer);
  /* May give such an answer another body. NULL, or false: it is the reason as plain text. */
  bool (*refusal_body)(void *user, int status, const char *why, const char **content_type, da_buf *body);
  void *user;
} da_http_handler;

const da_http_request *da_http_exchange_request(const da_http_exchange *exchange);
void da_http_exchange_set_user(da_http_exchange *exchange, void *user);
void *da_http_exchange_user(const da_http_exchange *exchange);

/* Answers. content_type NULL: none, and an empty body. `fields` are added; all is copied. HEAD gets no body. */
void da_http_answer(da_http_exchange *exchange, int status, const char *content_type, da_slice body,
                    const da_http_field *fields, size_t field_count);

/* Answers 200 with a body that stays open (chunked; of HTTP/1.0: until the end). ended() is told once when its peer has
 * gone, or was dropped as too slow; not after da_http_stream_end(). */
da_http_stream *da_http_answer_stream(da_http_exchange *exchange, const char *content_type, const da_http_field *fields,
                                      size_t field_count, void (*ended)(void *user), void *user);
/* Writes (copies). False: more than `stream_bytes_max` of it are unsent, nothing was written. */
bool da_http_stream_write(da_http_stream *stream, da_slice bytes);
size_t da_http_stream_unsent(const da_http_stream *stream);
void da_http_stream_end(da_http_stream *stream); /* what was written is sent, then the connection closes */

typedef struct da_http_options {
  struct uv_loop_s *loop;
  da_http_handler handler;
  struct da_tls *tls;      /* NULL: plain. Borrowed */
  size_t body_max;         /* bytes; a longer body is refused with 413 */
  size_t connections_max;  /* more are accepted, told 503 and closed */
  size_t stream_bytes_max; /* unsent bytes of a stream before it takes no more; of answers, before a reader that wants
                              yet another one is dropped */
  size_t held_max;         /* bytes of requests that are not answered, of all connections; then 503. 0: the default */
  size_t owed_max;         /* unsent bytes of answers, of all connections; then the slowest reader is dropped. 0: the
                              default */
  int64_t header_ms;       /* to send a whole header, from its first byte or the accept; 0 for these: the default */
  int64_t body_ms;         /* between two reads of a body */
  int64_t idle_ms;         /* between two requests */
} da_http_options;

da_status DA_MUST_USE da_http_server_new(const da_http_options *options, da_http_server **out, da_err *err);
/* "127.0.0.1:8001", "[::1]:0", "localhost:8001", "unix:/path"; may be called several times. *bound, if given, becomes
 * what it is bound to (the port chosen for 0). */
da_status DA_MUST_USE da_http_server_listen(da_http_server *server, const char *address, da_buf *bound, da_err *err);
/* A listening socket that was inherited (systemd: LISTEN_FDS). */
da_status DA_MUST_USE da_http_server_adopt(da_http_server *server, int fd, da_buf *bound, da_err *err);
/* No new connection is accepted; idle ones are closed, streams ended; requests under way are answered with
 * `connection: close`. drained() is told once when no connection is left; at the latest after limit_ms, when the rest
 * is cut. */
void da_http_server_drain(da_http_server *server, int64_t limit_ms, void (*drained)(void *user), void *user);
/* Cuts what is left and closes every handle; they are gone after the next turns of the loop, then closed() is told. */
void da_http_server_delete(da_http_server *server, void (*closed)(void *user), void *user);

typedef struct da_http_stats {
  size_t connections;
  size_t streams;
  uint64_t accepted;
  uint64_t requests;
  uint64_t refused;
  uint64_t dropped; /* slow readers */
} da_http_stats;
da_http_stats da_http_server_stats(const da_http_server *server);

#endif
