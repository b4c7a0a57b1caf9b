/* http_conn.h - what the files of the HTTP server share: the server, its connections, exchanges and streams.
 *
 * Only for http_server.c (life, time), http_listen.c (sockets that listen), http_conn.c (one connection's bytes and
 * requests) and http_answer.c (answers and streams).
 *
 *   http_listen.c accepts ─► http_conn_new() ─► read ─► parse ─► exchange ─► handler.request()
 *   da_http_answer() ─► exchange's bytes ─► in their turn into conn->out ─► flush() before the loop waits ─► socket
 *
 * A connection:
 *   OPEN    requests are read.           http_conn_last() ─► LAST;  a fault, a deadline, no reader ─► CLOSED
 *   LAST    none is read any more; what is owed is answered.  all of it written, by flush() ─► LINGER
 *   LINGER  our end is closed; what comes is thrown away, so that no reset overtakes the last answer (RFC 9112, 9.6).
 *           the peer's end, or LINGER_MS ─► CLOSED
 *   CLOSED  uv_close() was called; freed in its callback, which tells gone() and ended().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_HTTP_CONN_H
#define DA_NET_HTTP_CONN_H

#include <uv.h>

#include "http_parse.h"
#include "tls.h"

typedef struct http_conn http_conn;

struct da_http_exchange {
  http_conn *conn;
  da_http_exchange *next; /* of the same connection, in the order of their coming */
  da_http_message message;
  da_http_request request; /* slices into message */
  void *user;
  bool answered;
  bool refused;           /* made here: the handler never saw it */
  bool is_head;           /* HEAD */
  bool closes;            /* its answer is the connection's last */
  da_http_stream *stream; /* NULL: its answer is whole */
  da_buf bytes;           /* of the answer, until it is its turn */
};

struct da_http_stream {
  da_http_exchange *exchange;
  bool chunked;
  bool counted; /* in stats.streams */
  void (*ended)(void *user);
  void *user;
};

typedef enum http_conn_state { CONN_OPEN, CONN_LAST, CONN_LINGER, CONN_CLOSED } http_conn_state;

/* Why there is a deadline. */
typedef enum http_wait { WAIT_NONE, WAIT_FIRST, WAIT_IDLE, WAIT_HEAD, WAIT_BODY, WAIT_LINGER } http_wait;

struct http_conn {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } uv;
  da_http_server *server;
  http_conn *next;
  http_conn **slot; /* what points to it */
  http_conn *next_dirty;
  http_conn **dirty_slot; /* NULL: not in the server's list of those that flush() looks at */
  http_conn_state state;
  bool reading;       /* uv_read_start() holds */
  bool parsing;       /* on the stack */
  bool eof;           /* the peer has ended its side */
  bool full;          /* over connections_max: told so and closed */
  bool refused;       /* by refuse() */
  bool final;         /* the last answer is in `out`, or was sent */
  bool owes_continue; /* a 100 (Continue), as soon as the answers before it have left */
  http_wait wait;
  uint64_t deadline;   /* of `wait`, in the loop's time */
  uint64_t body_since; /* when the body under way began */
  uint64_t queued;     /* bytes that were ever given to the socket */
  uint64_t progress;   /* those of them that had left at the last sweep, and since when no more did */
  uint64_t progress_since;
  size_t thrown_away; /* bytes that came while nothing was expected */
  size_t held;        /* bytes of requests that came and are not answered, as counted in the server's */
  size_t owed;        /* bytes of answers that are not sent, as counted there */
  da_tls_session *tls;
  da_http_parser parser;
  da_buf in;  /* read, not parsed: more than DA_HTTP_PIPELINE_MAX, or than the answers can be sent */
  da_buf out; /* answers in their turn, not yet given to the socket */
  da_http_exchange *first;
  da_http_exchange *last;
  size_t under_way;     /* exchanges in that list */
  size_t request_bytes; /* of their messages */
  uv_shutdown_t shutdown;
  char peer[56]; /* "[v6]:port" */
};

typedef struct http_listener {
  uv_poll_t poll;
  da_http_server *server;
  struct http_listener *next;
  int fd;
  bool paused; /* until the next sweep */
  bool is_unix;
  char *unlink_path; /* of a Unix socket made here */
} http_listener;

struct da_http_server {
  da_http_options options;
  da_http_limits limits;
  uv_prepare_t prepare; /* flush() */
  uv_timer_t timer;     /* the sweep: runs while there are connections, and through a drain */
  http_listener *listeners;
  http_conn *conns;
  http_conn *dirty;
  size_t handles;    /* open ones, connections included */
  size_t held;       /* bytes of requests, of all connections */
  size_t owed;       /* bytes of answers */
  size_t open;       /* connections that count against connections_max */
  char *read_buffer; /* one for all: what is read is parsed before the next read, so waiting connections hold none */
  da_buf plain;      /* as that, of TLS */
  int reserve_fd;    /* given up for a moment to refuse a connection when descriptors have run out */
  bool timing;
  bool draining;
  bool deleted;
  uint64_t drain_deadline;
  void (*drained)(void *user);
  void *drained_user;
  void (*closed)(void *user);
  void *closed_user;
  uint64_t complained_at; /* when a lack of room for connections was logged last */
  size_t turned_away;     /* since */
  da_http_stats stats;
};

enum { HTTP_READ_SIZE = 64 * 1024 };

/* ---- http_conn.c --------------------------------------------------------------------------------------- */

/* Takes a connected socket. full: it is told that there is no room. */
void http_conn_new(da_http_server *server, int fd, bool is_unix, const char *peer, bool full);
void http_conn_close(http_conn *conn); /* at once; what is unsent is lost */
void http_conn_last(http_conn *conn);  /* no further request is read */
void http_conn_mark(http_conn *conn);  /* flush() is to look at it */
void http_conn_unmark(http_conn *conn);
void http_conn_hold(http_conn *conn);    /* counts its bytes that are not answered */
void http_conn_owe(http_conn *conn);     /* counts its bytes that are not sent */
void http_conn_advance(http_conn *conn); /* answers whose turn it is go into conn->out */
void http_conn_sweep(http_conn *conn, uint64_t now);
void http_conn_flush(http_conn *conn);
void http_conn_drain(http_conn *conn);
size_t http_conn_unsent(const http_conn *conn);
bool http_conn_is_over(const http_conn *conn);         /* nothing can be sent any more */
void http_conn_drop(http_conn *conn, const char *why); /* a reader too slow */

/* ---- http_answer.c ------------------------------------------------------------------------------------- */

void http_exchange_free(da_http_exchange *exchange);
/* Ends a stream whose connection goes; tells ended(). */
void http_stream_gone(da_http_exchange *exchange);
void http_stream_finish(da_http_exchange *exchange); /* as da_http_stream_end(), and tells ended() */
void http_answer_refusal(da_http_exchange *exchange, int status, const char *why);

/* ---- http_listen.c, http_server.c ---------------------------------------------------------------------- */

void http_listeners_close(da_http_server *server);
void http_listeners_resume(da_http_server *server);     /* those that paused */
void http_server_handle_closed(da_http_server *server); /* one of `handles` is gone */
void http_server_relieve(da_http_server *server);       /* who owes the most is dropped, until there is room */
void http_server_watch(da_http_server *server);         /* the sweep runs from now on */

#endif
