/* server_parts.h - the inside of the server: one struct, and which file answers what.
 *
 * May not:  be included outside of server*.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_SERVER_PARTS_H
#define DA_NET_SERVER_PARTS_H

#include "cors.h"
#include "envelope.h"
#include "metrics.h"
#include "poll.h"
#include "push.h"
#include "route.h"
#include "server.h"
#include "tls.h"

enum { DA_LISTENERS_MAX = 16 };

struct da_server {
  da_sched *sched;
  da_http_server *http;
  da_http_server *metrics_http; /* NULL: none */
  da_tls *tls;
  da_auth *auth;
  da_poll *poll;
  da_push *push;
  da_cors cors;
  da_metrics *metrics;
  da_buf bound[DA_LISTENERS_MAX]; /* owned texts of addresses */
  da_slice addresses[DA_LISTENERS_MAX];
  size_t address_count;
  da_buf metrics_bound;
  da_buf url;
  da_buf text; /* of the answer being written; its memory serves all of them */
  bool debug;
  bool access_log;
  int64_t shutdown_ms;
  void (*more_metrics)(void *user, da_buf *text);
  void *user;
  uint64_t lost_answers; /* their peer had gone */

  size_t searching; /* searches under way */
  size_t searches_waiting;
  struct da_ask *search_first; /* of those that wait */
  struct da_ask *search_last;

  bool stopping;
  size_t asked; /* ops whose done() is to come */
  size_t open;  /* what has to be closed before it has stopped */
  void (*stopped)(void *user);
  void *stopped_user;
};

/* One request, as the log tells of it. */
typedef struct da_access {
  da_slice method;
  da_slice path;
  da_slice peer;
  da_slice kind; /* of a request of the protocol; else empty */
  da_slice id;
  int status; /* 0: its peer had gone */
  uint64_t began_ns;
} da_access;

/* One request that waits for its op, in whose arena it lies; the exchange's user. */
typedef struct da_waiting {
  da_server *server;
  da_http_exchange *exchange; /* NULL: its peer has gone */
  da_access access;           /* its texts lie in the arena */
} da_waiting;

/* The op is to answer this exchange: fills `out`. */
void da_server_wait(da_server *server, da_op *op, da_http_exchange *exchange, const da_access *access, da_waiting *out);
/* Submits the op, whose done() owes a da_server_heard(). */
void da_server_submit(da_waiting *waiting, da_op *op);
/* An op has come back, and was answered. */
void da_server_heard(da_server *server);

void da_server_log_access(const da_server *server, const da_access *access);
/* Answers, with what its asker's origin needs; logs it. content_type NULL: an empty body. */
void da_server_answer(da_server *server, da_http_exchange *exchange, int status, const char *content_type,
                      da_slice body, const da_access *access);
/* server.c: the handlers of the two listeners. */
void da_server_request(void *server, da_http_exchange *exchange);
void da_server_metrics_request(void *server, da_http_exchange *exchange);
void da_server_gone(void *server, da_http_exchange *exchange);
void da_server_refused(void *server, int status, const char *why, da_slice peer);
bool da_server_refusal_body(void *server, int status, const char *why, const char **content_type, da_buf *body);

/* ---- POST / -------------------------------------------------------------------------------------------- */

/* One request of the protocol, in the arena of its op. */
typedef struct da_ask {
  da_waiting waiting;
  da_envelope envelope;
  da_op *op;
  struct da_ask *next; /* of the searches that wait */
} da_ask;

/* server_ask.c */
void da_server_ask(da_server *server, da_http_exchange *exchange, const da_access *access);
/* Each answers, and deletes the op: what the server's `text` holds; a refusal; that the op failed. */
void da_ask_end(da_ask *ask, da_op *op, int status);
void da_ask_refuse(da_ask *ask, da_op *op, int status, da_slice words);
void da_ask_refuse_failed(da_ask *ask, da_op *op);
/* server_debug.c: the op is not submitted, it only owns the request. */
void da_ask_debug(da_ask *ask, da_op *op);
/* Appends the envelope that refuses a request which could not be read. */
void da_server_write_refusal(da_buf *out, int status, da_slice words);

/* server_metrics.c */
void da_server_write_metrics(da_server *server, da_buf *out);

#endif
