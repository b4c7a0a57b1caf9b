/* remote.h - a Resonate server elsewhere in the place of the store: the backend of a sched (sched.h).
 *
 * Here:     ops to requests of the protocol and answers back to outcomes; lanes to the server, the event streams of the
 *           groups, heartbeats for what is held, listeners for what is waited for; breaks, other servers, back-off.
 *
 *   an op's requests   leave one behind the other on the lane of its subject, without waiting for answers; ops of one
 *                      subject are answered in order. `task.step` is fence{create} and fence{settle}, `task.again` the
 *                      same for its mark, `schedule.declare` a create; queues there are none: 501
 *   a break            what has surely not been done is asked again, in order, on the next connection, and so is what
 *                      may be asked twice (get, create, settle, fence, register, heartbeat). What cannot (acquire,
 *                      suspend, fulfill, release, halt) is asked again too, and if its answer then is a refusal that
 * its own first try may have caused, the task is taken for lost: the op is answered 409 a server away      its requests
 * wait; other servers are tried in the order given, then the first again, with a growing pause. 429 and 5xx are a pause
 * as well. 401 and 403 are said once, and tried each minute held               from the 200 of acquire or task.create
 * to the answer that lets it go, a 404 or 409 about it, its promise's deadline, or da_remote_forget() executes,
 * unblocks come as the sched's events execute and settled; so does what a listener's answer, a fulfilled task or a look
 * (task.suspend answered 300: everything it names) shows as settled
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_REMOTE_H
#define DA_NET_REMOTE_H

#include "../sched/sched.h"

typedef struct da_remote da_remote;

typedef enum da_remote_event_kind {
  DA_REMOTE_READY,   /* all streams are open for the first time */
  DA_REMOTE_LOST,    /* the server cannot be reached; text says why. Told once */
  DA_REMOTE_BACK,    /* ... it is there again, or another one is: server */
  DA_REMOTE_REFUSED, /* it does not let us in; text is its answer, and what to look at */
  DA_REMOTE_LEASE    /* a task that was held is held no longer: id; text says what told so */
} da_remote_event_kind;

typedef struct da_remote_event {
  da_remote_event_kind kind;
  da_slice server; /* base URL */
  da_slice id;
  da_slice text;
} da_remote_event; /* borrowed until the callback returns */

typedef struct da_remote_options {
  const da_slice *servers; /* base URLs, tried in this order; borrowed */
  size_t server_count;
  const char *unix_path;  /* of a server at a socket; NULL: none. Borrowed */
  da_slice token;         /* empty: none; borrowed */
  da_slice pid;           /* of this process in its groups: [A-Za-z0-9._~-]; borrowed */
  const da_slice *groups; /* names; a stream each; borrowed */
  size_t group_count;
  int64_t ttl_ms;     /* of a lease */
  int64_t request_ms; /* for one answer; 0, here as below: the default */
  size_t lanes;
  void (*event)(void *user, const da_remote_event *event); /* may be NULL */
  void *user;
} da_remote_options;

da_status DA_MUST_USE da_remote_new(const da_remote_options *options, da_remote **out, da_err *err);
da_backend da_remote_backend(da_remote *remote);
/* The sched that has this backend; opens lanes as they are needed. */
void da_remote_attach(da_remote *remote, da_sched *sched);
/* Opens the streams: from now on messages come. `false`: closes them, nothing new comes (what is held stays so). */
void da_remote_receive(da_remote *remote, bool wanted);
/* Reads the streams no further for now: the server sees that there is no room, and asks others. */
void da_remote_pause(da_remote *remote, bool paused);

/* Who waits for the promise `id` is told of its settlement (event settled), sooner or later, whatever gets lost. Behind
 * what was submitted of `subject` so far. Counted: as many unlistens as listens. */
void da_remote_listen(da_remote *remote, da_slice subject, da_slice id);
void da_remote_unlisten(da_remote *remote, da_slice id);
/* A held task is of no interest any more: no heartbeat for it. */
void da_remote_forget(da_remote *remote, da_slice id);
/* Looks for a promise that nobody listens to now and then, as long as the task `id` is held: the request to cancel. */
void da_remote_watch(da_remote *remote, da_slice id, da_slice promise_id);

/* "poll://any@group/pid" of the group with this index: what a call of the own group is sent to. */
da_slice da_remote_target(const da_remote *remote, size_t group);

typedef struct da_remote_stats {
  uint64_t requests; /* sent, but for heartbeats */
  uint64_t heartbeats;
  uint64_t repeated; /* sent again after a break */
  uint64_t executes; /* messages that came */
  uint64_t unblocks;
  uint64_t breaks; /* of lanes and streams */
  size_t held;
  size_t listening;
  size_t waiting; /* requests without an answer */
} da_remote_stats;
da_remote_stats da_remote_get_stats(const da_remote *remote);

/* Answers every op DA_ECLOSED from now on and closes everything; closed() is told when no handle is left. Then
 * da_sched_delete(), then da_remote_delete(). */
void da_remote_close(da_remote *remote, void (*closed)(void *user), void *user);
void da_remote_delete(da_remote *remote);

#endif
