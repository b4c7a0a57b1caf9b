/* scratch.h - a worker over a store in memory, gone when it is closed: to look at scripts, and to run executions over
 * copies of their records.
 *
 * Life: {0} --> fill, as often as wanted --> open --> da_sched_run() --> close. close is always allowed.
 * May not: touch the store of the command line. One step thread, no control socket.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_SCRATCH_H
#define DA_CLI_SCRATCH_H

#include "../vm/worker.h"

typedef struct cli_scratch {
  da_store *store;
  da_sched *sched;
  da_worker *worker;
} cli_scratch;

/* Puts one more record into the store. */
da_status DA_MUST_USE cli_scratch_fill(cli_scratch *scratch, const da_promise *promise, da_err *err);
/* Opens the worker. hear NULL: nothing is told; else it rehearses (vm/rehearse.c), and hear is da_worker_options.event.
 */
da_status DA_MUST_USE cli_scratch_open(cli_scratch *scratch, void (*hear)(void *user, const da_event *event),
                                       void *user, da_err *err);
void cli_scratch_close(cli_scratch *scratch);

#endif
