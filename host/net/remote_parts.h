/* remote_parts.h - what the files of the remote backend share (remote.h says what it is).
 *
 *   remote.c         life, the current server, breaks and pauses; lanes with the calls that wait for answers
 *   remote_op.c      an op's requests as calls, their answers as its outcomes
 *   remote_task.c    what is held (heartbeats), what is listened for
 *   remote_stream.c  event streams
 *
 * A call is one request of the protocol from when it is made until its final answer: it stays in the list of its lane,
 * in order, through any number of connections.
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_REMOTE_PARTS_H
#define DA_NET_REMOTE_PARTS_H

#include <uv.h>

#include "../base/table.h"
#include "envelope_client.h"
#include "http_lane.h"
#include "remote.h"

typedef struct da_remote_call da_remote_call;
typedef struct da_remote_lane da_remote_lane;
typedef struct da_remote_op da_remote_op;
typedef struct da_remote_stream da_remote_stream;

struct da_remote_call {
  da_remote_lane *lane;
  da_remote_call *next;
  da_req_kind kind;
  da_buf body; /* the envelope, until it is answered */
  uint64_t number;
  bool sent;     /* on the present connection */
  bool repeated; /* a try before may have reached the server */
  /* answer NULL: the remote is closing. Borrowed, as the arena, which is `arena` or the call's own. */
  void (*done)(da_remote_call *call, const da_client_answer *answer, da_arena *arena);
  da_arena *arena; /* NULL: its own */
  void *user;
  size_t index; /* the user's */
  int part;     /* the user's */
};

struct da_remote_lane {
  da_remote *remote;
  da_http_lane *http; /* NULL: to be made */
  da_remote_call *first;
  da_remote_call **end;
  size_t count;
  da_remote_op *ops; /* in the order in which they were submitted: they are answered so */
  da_remote_op **ops_end;
  da_remote_op *apart; /* asks one request after the other: the ops behind it are asked when it is over */
  bool flush_posted;
};

struct da_remote {
  da_remote_options options;
  da_sched *sched;
  uv_loop_t *loop;
  size_t server;         /* the current one */
  da_remote_lane *lanes; /* options.lanes, and one for what belongs to no execution */
  uint64_t numbers;
  size_t failures; /* servers that could not be reached, one after the other */
  bool lost_told, refused_told, ready_told;
  bool waiting; /* the retry timer runs */
  uv_timer_t retry;
  uv_timer_t tick;
  uint64_t next_beat;        /* ms of the loop */
  bool beats_apart;          /* one heartbeat for each root */
  da_table held;             /* id -> da_remote_held */
  da_table listens;          /* id -> da_remote_listen_row */
  da_remote_stream *streams; /* one for each group */
  bool receiving, paused;
  da_slice *targets;
  da_arena arena;
  da_remote_stats stats;
  bool closing;
  int handles;
  void (*closed)(void *user);
  void *closed_user;
};

/* remote.c */
da_remote_lane *da_remote_lane_of(da_remote *remote, da_slice subject); /* empty: that of no execution */
/* Appends the call and sends it. `preload`: of the head. */
da_remote_call *da_remote_ask(da_remote_lane *lane, const da_request *request, const char *preload,
                              void (*done)(da_remote_call *call, const da_client_answer *answer, da_arena *arena),
                              void *user, da_arena *arena);
void da_remote_tell(da_remote *remote, da_remote_event_kind kind, da_slice id, da_slice text);
void da_remote_let_go(da_remote *remote); /* a handle has closed */
void da_remote_unreachable(da_remote *remote, const da_err *err);
void da_remote_reached(da_remote *remote);
void da_remote_refused(da_remote *remote, int status, da_slice words);
da_slice da_remote_url(const da_remote *remote);

/* remote_op.c */
void da_remote_submit(void *user, da_op *op);
void da_remote_close_ops(da_remote_lane *lane);

/* remote_task.c */
void da_remote_note(da_remote *remote, const da_request *request, const da_reply *reply); /* an answer about a task */
void da_remote_on_tick(da_remote *remote);
void da_remote_settled(da_remote *remote, const da_promise *promise);
void da_remote_listen_again(da_remote *remote); /* something may have been missed */
void da_remote_free_tasks(da_remote *remote);

/* remote_stream.c */
void da_remote_streams_create(da_remote *remote);
void da_remote_streams_open(da_remote *remote);
void da_remote_streams_close(da_remote *remote);
void da_remote_streams_pause(da_remote *remote);
void da_remote_streams_destroy(da_remote *remote);

#endif
