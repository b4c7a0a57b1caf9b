/* poll.h - messages to workers that hold a stream open (server-sent events): who is connected, and who gets what.
 *
 * Here:     the registry of connections by group and id, routing of poll:// addresses (the Resonate protocol: uni, any,
 *           any with a preferred id), a bounded queue per connection, comments that keep streams alive.
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_POLL_H
#define DA_NET_POLL_H

#include "../sched/transport.h"
#include "http_server.h"

typedef struct da_poll da_poll;

typedef struct da_poll_options {
  da_sched *sched;
  size_t connections_max; /* over all groups; 0: 1000 */
  size_t buffer_max;      /* messages that wait for one connection; 0: 100 */
  int64_t keepalive_ms;   /* 0: no comments */
  da_slice server_url;    /* head.serverUrl of an execute; borrowed as long as it lives */
} da_poll_options;

da_poll *da_poll_new(const da_poll_options *options);
void da_poll_delete(da_poll *poll); /* its streams were ended before */
/* GET /poll/{group}/{id}, already decoded and authenticated: answers the exchange, with the stream or with 503, either
 * with `fields` added (who may read it from a page of another origin). Returns which: 200 or 503. */
int da_poll_connect(da_poll *poll, da_http_exchange *exchange, da_slice group, da_slice id, const da_http_field *fields,
                    size_t field_count);
da_transport da_poll_transport(da_poll *poll); /* for da_sched_add_transport() */
void da_poll_end(da_poll *poll);               /* ends all streams */

typedef struct da_poll_stats {
  size_t connections;
  uint64_t delivered; /* written to a stream */
  uint64_t lost;      /* not: nobody was there for it, or there was no room; the outbox has it */
} da_poll_stats;
da_poll_stats da_poll_get_stats(const da_poll *poll);

#endif
