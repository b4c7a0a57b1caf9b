/* push.h - messages to addresses http://... and https://...: one POST of JSON each, whatever 2xx says is "taken".
 *
 * Here:     at most `concurrency` deliveries under way, shared fairly by hosts (http_client.h), connections that are
 *           kept, deadlines. When twice as many wait, the outbox is told to (busy); nothing is thrown away.
 * Failures: nobody there, too busy (408, 425, 429, 5xx): the outbox keeps the message, and all that is kept for the
 *           address is offered anew after 1 s, then 2, 4... up to DA_PUSH_PAUSE_MS; the outbox bounds how long
 *           (transport.h). An address that could not be connected to is sent nothing meanwhile. Any other answer is a
 *           refusal: the message goes, with a line in the log.
 * Care:     addresses come from whoever may create promises or register listeners, and a push goes wherever this
 *           process can go: to its own machine, to the network behind it. Where those are not trusted with that, pushes
 *           are switched off (transports.http_push.enabled = false); redirections are never followed.
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_PUSH_H
#define DA_NET_PUSH_H

#include "../sched/transport.h"

enum { DA_PUSH_PAUSE_MS = 300000 };

typedef struct da_push da_push;

typedef struct da_push_options {
  da_sched *sched;
  size_t concurrency;        /* 0: 256 */
  int64_t connect_ms;        /* 0: 10000 */
  int64_t request_ms;        /* 0: 180000 */
  const char *bearer;        /* NULL: no header */
  const char *bearer_header; /* NULL: "authorization" */
  da_slice server_url;       /* head.serverUrl; borrowed as long as it lives */
} da_push_options;

da_status DA_MUST_USE da_push_new(const da_push_options *options, da_push **out, da_err *err);
/* What is under way is kept by the outbox. The transport was removed before. */
void da_push_delete(da_push *push, void (*closed)(void *user), void *user);
da_transport da_push_transport(da_push *push);

typedef struct da_push_stats {
  uint64_t delivered;
  uint64_t failed;
  size_t under_way; /* at most `concurrency` of them at a time, the rest waits for its turn */
  size_t waiting;   /* addresses that are given a pause */
} da_push_stats;
da_push_stats da_push_get_stats(const da_push *push);

#endif
