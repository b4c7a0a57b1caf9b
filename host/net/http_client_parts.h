/* http_client_parts.h - what http_client.c and http_client_conn.c share.
 *
 * http_client.c has the calls, the origins with their queues, and the one timer; http_client_conn.c has one
 * connection's life:
 *
 *     RESOLVING --addresses--> CONNECTING --> (HANDSHAKING) --> ASKING --whole answer--> IDLE --next call--> ASKING
 *                                 ^ | refused, and there is another address
 *                                 +-+ (the socket is closed and made anew in between: state AGAIN)
 *     any of them --failed, done with, or told to end--> CLOSING --no handle left--> gone
 *
 * RESOLVING to ASKING: `call` is there and the connection counts as active for its origin and the client. IDLE:
 * neither. CLOSING: a call is there only if it is to be tried once more.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_HTTP_CLIENT_PARTS_H
#define DA_NET_HTTP_CLIENT_PARTS_H

#include <uv.h>

#include "../base/table.h"
#include "http_client.h"
#include "http_parse.h"
#include "http_url.h"
#include "tls.h"

enum { DA_HTTP_ADDRESSES_MAX = 6 };

typedef struct da_http_call da_http_call;
typedef struct da_http_origin da_http_origin;
typedef struct da_http_conn da_http_conn;
typedef struct da_http_lookup da_http_lookup;

typedef struct da_http_address {
  struct sockaddr_storage storage;
} da_http_address;

/* One request, from da_http_client_send() to done(). */
struct da_http_call {
  da_http_call *next; /* in the queue of its origin, or among the failed */
  da_buf bytes;       /* head and body, as they are sent */
  bool bodiless;      /* HEAD: its answer has no body, whatever it says */
  bool tried;         /* on a kept connection that had ended */
  da_err err;         /* of the failed */
  void (*done)(void *user, const da_http_reply *reply, const da_err *err);
  void *user;
};

/* A host and port, and how it is spoken to. */
struct da_http_origin {
  da_http_client *client;
  char *key;           /* owned: "https://host:port" */
  da_http_url url;     /* owned; its target is that of the first call */
  da_http_call *first; /* waiting */
  da_http_call **end;
  size_t active;      /* connections with a call */
  da_http_conn *idle; /* the one last used first */
  bool suspect;       /* the last call failed: one at a time until one succeeds */
  bool in_ring;
  da_http_origin *ring_next;
  da_http_lookup *lookup; /* under way */
  da_http_address addresses[DA_HTTP_ADDRESSES_MAX];
  size_t address_count;
  uint64_t addresses_until; /* ms of the loop */
};

typedef enum da_http_conn_state {
  DA_HTTP_CONN_RESOLVING,
  DA_HTTP_CONN_CONNECTING,
  DA_HTTP_CONN_AGAIN,
  DA_HTTP_CONN_HANDSHAKING,
  DA_HTTP_CONN_ASKING,
  DA_HTTP_CONN_IDLE,
  DA_HTTP_CONN_CLOSING
} da_http_conn_state;

struct da_http_conn {
  da_http_client *client;
  da_http_origin *origin;
  da_http_call *call;
  da_http_conn_state state;
  da_http_conn *prev, *next; /* in the client's list: all there are */
  da_http_conn *idle_next;   /* in the origin's */

  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe; /* of a client with a unix_path */
  } socket;
  uv_connect_t connecting;
  uv_write_t writing;
  size_t writes; /* under way */
  bool reused;   /* the call is not the first one here */
  bool answered; /* a byte of the answer came */
  bool failing;  /* found out where done() may not be told: the timer does */
  da_err err;    /* why, if failing; or of the last address */
  uint64_t due;  /* ms of the loop: what the present state waits for at most */
  uint64_t connect_due;
  uint64_t whole_due;
  da_http_address addresses[DA_HTTP_ADDRESSES_MAX];
  size_t address_count;
  size_t address_at;

  da_buf sending;      /* the call's bytes: kept until it is answered */
  da_tls_session *tls; /* NULL: plain */
  da_http_parser parser;
};

struct da_http_client {
  da_http_client_options options;
  da_table origins;                       /* by key */
  da_http_origin *ring_first, *ring_last; /* with calls that may begin */
  da_http_conn *conns;
  size_t conn_count;
  size_t active;
  size_t lookups;
  da_http_call *failed; /* to be told, oldest first */
  da_http_call **failed_end;
  uv_timer_t timer;
  uint64_t timer_due; /* 0: not armed */
  da_tls *tls;        /* made by the first https:// */
  int telling;        /* in a done() */
  bool closing;
  bool timer_closed;
  void (*closed)(void *user);
  void *closed_user;
  char *read_buffer; /* of all connections: what is read is used up before the next one reads */
  size_t read_bytes;
};

/* http_client.c */
void da_http_client_arm(da_http_client *client, uint64_t due);
/* The connection has no call any more: the next ones may begin. reply NULL: err. */
void da_http_client_tell(da_http_client *client, da_http_call *call, const da_http_reply *reply, const da_err *err);
void da_http_client_released(da_http_client *client, da_http_origin *origin, bool failed);
void da_http_client_requeue(da_http_client *client, da_http_origin *origin, da_http_call *call);
void da_http_client_gone(da_http_client *client);
void da_http_client_turn(da_http_client *client);
bool da_http_origin_is_known(da_http_origin *origin); /* else it has to be looked up */
void da_http_origin_look_up(da_http_origin *origin);
void da_http_origin_release(da_http_origin *origin);

/* http_client_conn.c */
void da_http_conn_new(da_http_origin *origin, da_http_call *call);
void da_http_conn_ask(da_http_conn *conn, da_http_call *call); /* of an idle one */
void da_http_conn_resolved(da_http_conn *conn, const char *fault);
void da_http_conn_expire(da_http_conn *conn);
void da_http_conn_fail(da_http_conn *conn, const da_err *err);
void da_http_conn_close(da_http_conn *conn);

#endif
