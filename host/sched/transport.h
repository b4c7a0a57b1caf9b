/* transport.h - what the scheduler asks of something that carries messages out of the process.
 *
 * Messages for the worker in this process never come here: they are the execute event of sched.h. All others lie in
 * the store's outbox until a transport has taken them, or nobody can: delivery is at least once.
 *
 * A message is offered to the first transport that accepts its address, after the flush that made it:
 *
 *   at once           when it is made
 *   all that is left  of earlier processes, when the first transport is added
 *   what was kept     for addresses that begin so, at da_sched_offer(): somebody has come for them, or has room again
 *
 * Nothing is offered a second time while it is under way, and nobody asks again and again: a transport that said
 * DA_LATER owes a da_sched_offer(). What is kept does not grow for ever: an execute goes when its task is not pending
 * any more (its retry timer sends it anew, and then it is offered anew), an unblock DA_UNBLOCK_KEEP_MS after it was
 * made.
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_SCHED_TRANSPORT_H
#define DA_SCHED_TRANSPORT_H

#include "sched.h"

typedef enum da_verdict {
  DA_TAKEN,    /* it is in a stream's queue, or was answered with 2xx: it leaves the outbox */
  DA_LATER,    /* nobody is there for it, or there is no room: it is kept, for da_sched_offer() */
  DA_NEVER,    /* nobody will ever take it: it leaves the outbox, with a line in the log */
  DA_UNDER_WAY /* of deliver() only: da_delivery_end() will say what became of it */
} da_verdict;

/* One message under way, from deliver() to da_delivery_end(). The pump's. */
typedef struct da_delivery da_delivery;

typedef struct da_transport {
  bool (*accepts)(void *user, da_slice address); /* the scheme is its own */
  /* `promise` is the settled record of an unblock, NULL for an execute. It and the message are borrowed until it
   * returns. After DA_UNDER_WAY `delivery` is owed one da_delivery_end(); after any other verdict it is gone. */
  da_verdict (*deliver)(void *user, da_delivery *delivery, const da_message *message, const da_promise *promise);
  /* May be NULL. While it says true it is offered nothing; it then owes a da_sched_offer(). */
  bool (*busy)(void *user);
  /* May be NULL: nobody is there. Is somebody there for the address; exactly: just the one it names? */
  bool (*reaches)(void *user, da_slice address, bool exactly);
  void *user;
} da_transport;

/* The struct is copied. The first one registered sets the outbox going with the loop's next turn: what none accepts by
 * then is DA_NEVER, so all are added in one go. */
void da_sched_add_transport(da_sched *sched, const da_transport *transport);
/* Takes out the transports with this user; to be called before what it points to goes. Its deliveries under way are to
 * be ended first, or will be as DA_LATER when the sched is deleted. */
void da_sched_remove_transport(da_sched *sched, const void *user);

/* DA_TAKEN, DA_LATER or DA_NEVER. Never from inside deliver(). */
void da_delivery_end(da_delivery *delivery, da_verdict verdict);
/* Offers what is kept for addresses that begin with `prefix` (copied; empty: all), soon. Ends early at the first
 * DA_LATER for an address that is just the prefix. */
void da_sched_offer(da_sched *sched, da_slice prefix);

/* For who was told a local execute (sched.h) that it cannot act on. */
bool da_sched_reaches(const da_sched *sched, da_slice address, bool exactly);
/* Offers it once. Nothing of it is kept here: DA_LATER is the caller's, who hears of those that come by the `offered`
 * event. If it comes back from under way, the execute event tells it once more; once it is taken, the retry timer of
 * its task sees to the rest. Not from inside deliver(). */
da_verdict da_sched_hand_on(da_sched *sched, const da_message *message);

#endif
