/* server.h - the server: the protocol over HTTP and server-sent events, on a sched that somebody else owns.
 *
 * Here:     the composition: listener, routes, tokens, requests to ops and back, transports, metrics, access log, the
 *           order of an end.
 * Walk:     http_server.c gives a whole request; route.c finds what it is; server_ask.c reads the envelope, checks the
 *           token, submits one op (bounded: a full queue is 503) and writes its outcome once it is flushed. Nobody
 *           waits for one op before submitting the next: what one read of a connection brought shares a batch.
 * Life:     da_server_new() --> requests as long as the loop runs --> da_server_stop() --> stopped() -->
 *           da_server_delete(). The sched outlives it.
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_SERVER_H
#define DA_NET_SERVER_H

#include "../sched/sched.h"
#include "auth.h"

typedef struct da_server da_server;

typedef struct da_server_options {
  da_sched *sched;
  const char *const *listen; /* addresses, as da_http_server_listen() takes them; NULL-terminated; NULL: none */
  const int *adopted;        /* listening sockets that were inherited */
  size_t adopted_count;
  const char *metrics_listen;  /* NULL: none */
  const char *url;             /* what workers reach it by; NULL: http://<first bound address> */
  const char *const *cors;     /* origins; NULL: none; {"*", NULL}: any */
  const da_auth_options *auth; /* NULL: everybody may ask */
  const char *tls_certificate; /* paths of PEM files; NULL: plain HTTP */
  const char *tls_key;
  bool debug; /* debug.* is answered, head resonate:debug_time heard */
  size_t body_max;
  size_t connections_max; /* of all kinds */
  size_t poll_connections_max;
  size_t poll_buffer_max;
  int64_t poll_keepalive_ms; /* 0: no comments */
  bool push;
  size_t push_concurrency;
  int64_t push_connect_ms;
  int64_t push_request_ms;
  const char *push_bearer;
  const char *push_bearer_header;
  bool access_log;
  int64_t shutdown_ms;                            /* what requests under way have to end */
  void (*more_metrics)(void *user, da_buf *text); /* appends families (metrics.h) of whoever owns the sched; or NULL */
  void *user;
} da_server_options;

/* Copies what it needs. Once it returns DA_OK it listens; it answers as soon as the loop runs. */
da_status DA_MUST_USE da_server_new(const da_server_options *options, da_server **out, da_err *err);
/* What its listeners are bound to, in the order of the options, the inherited ones first: "127.0.0.1:8001". */
const da_slice *da_server_addresses(const da_server *server, size_t *count);
da_slice da_server_metrics_address(const da_server *server);        /* empty: none */
void da_server_describe_auth(const da_server *server, da_buf *out); /* da_auth_describe(); nothing without tokens */
/* Read the file of the tokens' key, and those of the certificate, again; what cannot be read stays as it was. Without
 * tokens, or TLS, they do nothing. */
da_status DA_MUST_USE da_server_reload_auth(da_server *server, da_err *err);
da_status DA_MUST_USE da_server_reload_tls(da_server *server, da_err *err);
/* Streams first, then requests under way, within shutdown_ms; stopped() is told on the loop when nothing is left. */
void da_server_stop(da_server *server, void (*stopped)(void *user), void *user);
void da_server_delete(da_server *server); /* after stopped() */

#endif
