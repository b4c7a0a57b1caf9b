/* push.h - messages to addresses http://... and https://...: one POST each, any 2xx is a success, no second try.
 *
 * Here:     the queue, at most `concurrency` deliveries under way, connections that are kept alive, deadlines, resolving names.
 *           When the queue is full the outbox waits (back-pressure); nothing is thrown away.
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_PUSH_H
#define DA_NET_PUSH_H

#include "../sched/transport.h"

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
void da_push_delete(da_push *push, void (*closed)(void *user), void *user);
da_transport da_push_transport(da_push *push);

typedef struct da_push_stats {
  uint64_t delivered;
  uint64_t failed;
  size_t under_way;
  size_t waiting;
} da_push_stats;
da_push_stats da_push_get_stats(const da_push *push);

#endif
