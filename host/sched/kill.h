/* kill.h - the named points at which a test may kill the process.
 *
 * DAHOST_KILL=<point>[:<n>] sends SIGKILL to the process the nth time (default 1) it passes the point:
 *   commit.before  a batch with writes is about to be flushed
 *   commit.after   it is flushed, nobody has been told
 *   answer.before  the loop is about to tell the answers of such a batch
 *   outbox.before  a message is about to be handed to its transport
 *   outbox.after   a transport has taken it, it still lies in the outbox
 * In every build, since what is shipped is what must be tested.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_SCHED_KILL_H
#define DA_SCHED_KILL_H

typedef enum da_kill_point {
  DA_KILL_COMMIT_BEFORE,
  DA_KILL_COMMIT_AFTER,
  DA_KILL_ANSWER_BEFORE,
  DA_KILL_OUTBOX_BEFORE,
  DA_KILL_OUTBOX_AFTER
} da_kill_point;

/* Reads DAHOST_KILL. Returns a sentence if it cannot be understood, else NULL. Call once, before threads. */
const char *da_kill_setup(void);
void da_kill_at(da_kill_point point);

#endif
