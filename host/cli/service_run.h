/* service_run.h - what run, start and resume (service_run.c) share with the following of executions (service_follow.c).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_SERVICE_RUN_H
#define DA_CLI_SERVICE_RUN_H

#include "service.h"

/* The handler's state of a run or a resume. */
typedef struct cli_run_state {
  const char *id; /* in the request's arena, as are the next two */
  const char *func;
  const char *args;
  int64_t version;     /* of func */
  int64_t deadline_at; /* of what is started; 0: none */
  bool start_only;
  bool no_rest;    /* do not name the resting ones */
  int asking;      /* ops and starts under way: the request cannot end yet */
  size_t followed; /* followings not ended */
} cli_run_state;

static inline cli_run_state *cli_run_of(const cli_request *r)
{
  return r->state;
}

/* Ends the request when nothing of it is left. */
void cli_run_settle(cli_request *r);

/* Follows an execution to its end; one more of the request's followings. */
void cli_follow(cli_request *r, da_slice id);
/* The same for one that was there before: tells what is known of it, and has everything of its lineage that waits for a
 * worker dispatched. */
void cli_attach(cli_request *r, da_slice id);
/* For cli_request.on_gone. */
void cli_follow_gone(cli_request *r);

#endif
