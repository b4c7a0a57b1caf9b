/* transport.h - what the scheduler asks of something that carries messages out of the process.
 *
 * Messages for the worker in this process never come here: they are the execute event of sched.h. All others lie in
 * the store's outbox until a transport is registered. Then they are claimed (deleted in one transaction, in batches,
 * executes before unblocks) and each is handed, after the flush of that deletion, to the first transport that accepts
 * its address; if none does it is lost. So delivery is at most once: an execute comes again with the retry timer of
 * its task, who waits for an unblock asks again (the Resonate protocol).
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_SCHED_TRANSPORT_H
#define DA_SCHED_TRANSPORT_H

#include "sched.h"

typedef struct da_transport {
  bool (*accepts)(void *user, da_slice address); /* the scheme is its own */
  /* Takes the message over; never refuses. `promise` is the settled record of an unblock, NULL for an execute. Both
   * are borrowed until it returns. */
  void (*deliver)(void *user, const da_message *message, const da_promise *promise);
  /* May be NULL. While one says true nothing is claimed for any of them; it then owes a da_sched_wake_outbox(). A
   * transport keeps room for the DA_CLAIM_MAX messages that may be on their way when it begins to say so. */
  bool (*busy)(void *user);
  void *user;
} da_transport;

/* The struct is copied. The first one registered sets the outbox going. */
void da_sched_add_transport(da_sched *sched, const da_transport *transport);
/* Takes out the transports with this user; to be called before what it points to goes. */
void da_sched_remove_transport(da_sched *sched, const void *user);
void da_sched_wake_outbox(da_sched *sched);

#endif
