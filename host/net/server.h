/* server.h - the server: the protocol over HTTP and server-sent events, on a sched that somebody else owns.
 *
 * Here:     the composition: listener, routes, tokens, requests to ops and back, transports, metrics, access log, the
 *           order of an end.
 * Walk:     http_server.c gives a whole request; route.c finds what it is; server.c reads the envelope, checks the token,
 *           submits one op (bounded: a full queue is 503) and writes its outcome once it is flushed.
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
  const char *const *listen; /* addresses, as da_http_server_listen() takes them; NULL-terminated */
  const int *adopted;        /* listening sockets that were inherited */
  size_t adopted_count;
  const char *metrics_listen; /* NULL: none */
  const char *url;            /* what workers reach it by; NULL: http://<first bound address> */
  const char *const *cors;    /* origins; NULL: none; {"*", NULL}: any */
  const da_auth_options *auth; /* NULL: everybody may ask */
  const char *tls_certificate; /* paths of PEM files; NULL: plain HTTP */
  const char *tls_key;
  bool debug; /* debug.* is answered, head resonate:debug_time heard */
  size_t body_max;
  size_t connections_max;
  size_t poll_connections_max;
  size_t poll_buffer_max;
  int64_t poll_keepalive_ms;
  bool push;
  size_t push_concurrency;
  int64_t push_connect_ms;
  int64_t push_request_ms;
  const char *push_bearer;
  const char *push_bearer_header;
  bool access_log;
  int64_t shutdown_ms; /* what requests under way have to end */
} da_server_options;

/* Copies what it needs. Once it returns DA_OK it listens. */
da_status DA_MUST_USE da_server_new(const da_server_options *options, da_server **out, da_err *err);
da_slice da_server_address(const da_server *server); /* what the first listener is bound to: "127.0.0.1:8001" */
/* Streams first, then requests under way, within shutdown_ms; stopped() is told on the loop when nothing is left. */
void da_server_stop(da_server *server, void (*stopped)(void *user), void *user);
void da_server_delete(da_server *server); /* after stopped() */

#endif
