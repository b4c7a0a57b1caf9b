/* host.h - this process as the holder of a store: store, sched, worker, control socket, service, put together.
 *
 * Life: cli_host_open() --> cli_host_run() runs the loop until somebody calls cli_host_stop() --> cli_host_close().
 * A tool (worker false) drives nothing, takes nothing back and serves no other process; it is gone in a moment.
 * Threads: the one that opens it is the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_HOST_H
#define DA_CLI_HOST_H

#include "service.h"

typedef struct cli_host cli_host;

typedef struct cli_host_options {
  da_store *store;   /* given, also on failure */
  const char *place; /* absolute path of the store; NULL: nobody else can reach it */
  bool worker;
  bool drive;              /* run what is asked for; else only write */
  bool serve;              /* run everything there is, until it is stopped */
  const da_slice *targets; /* addresses of the groups served, the default one first; static. NULL: that one */
  size_t target_count;
  bool shared;            /* workers of other processes may serve these groups too */
  bool first_pinned_only; /* and the first is not: only executions of it that name their bundle are run here */
  int step_threads;       /* 0: the default */
  size_t warm_bytes;      /* SIZE_MAX: the default */
  bool images;            /* suspended executions are imaged... */
  uint64_t image_after;   /* ... after so many calls: see da_worker_options */
  uint64_t image_every;
  int64_t span_limit_ms;     /* 0: the default */
  int deaths_max;            /* 0: the default */
  const da_profile *profile; /* NULL: the default */
} cli_host_options;

da_status DA_MUST_USE cli_host_open(const cli_host_options *options, cli_host **out, da_err *err);
cli_service *cli_host_service(cli_host *host);
/* Calls ready(user) on the loop once recovery is done, and runs the loop. */
void cli_host_run(cli_host *host, void (*ready)(void *user), void *user);
/* Ends the loop as soon as what other processes asked in passing is answered; who follows an execution is not waited
 * for: it takes over. */
void cli_host_leave(cli_host *host);
void cli_host_stop(cli_host *host); /* from any thread and from a signal handler */
struct uv_loop_s *cli_host_loop(cli_host *host);
/* As a death would: nothing is waited for or settled, what was told is flushed. The store stays open and is the
 * caller's. Not while it runs. */
da_store *cli_host_drop(cli_host *host);
/* Of a host with a worker this is the end of the process, nearly: the store stays open, its lock held, until exit. */
void cli_host_close(cli_host *host);

#endif
