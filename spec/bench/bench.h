/* bench.h - what the measures of da_bench share.
 *
 * A measure is one process: it gets a directory, measures one thing and prints `name=value` lines on stdout. rows.lua
 * runs them, keeps two figures of the same run beside each other and says what the ratio was wanted to be.
 * Here:     the yardsticks (flushes, a bare LMDB loop, SQLite), a host of executions in this process, figures.
 * May not:  judge: no target stands here.
 * Failure:  ends the process with a message; a bench that measured something else is worth nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_SPEC_BENCH_BENCH_H
#define DA_SPEC_BENCH_BENCH_H

#include "../../bindings/bind.h"

typedef struct bench_place {
  const char *directory; /* exists; whatever is measured lies in it */
  const char *script;
  const char *program; /* dahost; NULL unless DAHOST_BIN names it */
} bench_place;

/* ---- figures (main.c) ---------------------------------------------------------------------------------- */

_Noreturn void bench_die(const char *format, ...) DA_PRINTF(1, 2);
/* directory/name. Static, good until the third next call. */
const char *bench_path(const bench_place *place, const char *name);
double bench_since(uint64_t begin_ns); /* seconds */
void bench_say(const char *name, double value);
/* Bytes of this process's memory that no file backs: what executions cost, without the pages of the store. */
double bench_memory(void);
double bench_cpu(void); /* seconds that the threads of this process worked, in the kernel too */

/* ---- yardsticks (yardstick.c, sqlite.c) ---------------------------------------------------------------- */

/* Overwrites 4 KiB of a pre-written file and flushes, again and again: flushes per second. */
double bench_floor(const bench_place *place, int writes);

/* The steps of a store as it wrote them, in the order in which it did: the first of every execution, then the
 * second... */
typedef struct bench_row {
  uint32_t turn; /* which step of its execution */
  uint32_t key_len, value_len;
  const char *key; /* the value lies behind it */
} bench_row;

typedef struct bench_rows {
  bench_row *items; /* owned */
  size_t count;
  da_arena arena;
} bench_rows;

void bench_rows_read(bench_rows *rows, const bench_place *place, const char *store);
void bench_rows_free(bench_rows *rows);
/* The same rows into an empty database, `batch` of them in a commit, flushed as durably: rows per second. With SQLite
 * (WAL, synchronous=FULL); negative: this program was built without it. */
double bench_lmdb(const bench_place *place, const bench_rows *rows, size_t batch);
double bench_sqlite(const bench_place *place, const bench_rows *rows, size_t batch);

/* ---- a host of executions in this process (host.c) ------------------------------------------------------ */

typedef struct bench_host {
  da_store *store;
  da_sched *sched;
  da_worker *worker;
  da_bundle *bundle;
  double ready_s; /* from before the store was opened until all is taken over */
  /* Executions are started one after the other, `at_once` of them under way, until `total` came to `until`. */
  const char *prefix; /* ids are prefix-0, prefix-1... */
  const char *func;
  char args[32];
  int second; /* argument; 0: none */
  int next, total, reached;
  da_event_kind until;                              /* COMPLETED or SUSPENDED */
  void (*event)(void *user, const da_event *event); /* may be NULL; beside the counting */
  void *user;
} bench_host;

/* Opens the store, takes over what is there, serves the script. warm_bytes as in da_worker_options. The executions that
 * the store holds are driven from then on, but only within bench_host_run() and the like. */
void bench_host_open(bench_host *host, const bench_place *place, const char *store, size_t warm_bytes);
/* The same with images of executions, made as da_worker_options say; NULL: without. */
typedef struct bench_images {
  uint64_t after, every;
} bench_images;
void bench_host_open_with(bench_host *host, const bench_place *place, const char *store, size_t warm_bytes,
                          const bench_images *images);
void bench_host_close(bench_host *host);
/* Runs `total` executions of func(argument); negative: no argument. Seconds until the last came to `until`. */
double bench_host_run(bench_host *host, const char *prefix, const char *func, int argument, int total, int at_once,
                      da_event_kind until);
/* Waits until `total` executions that were there came to `until`: seconds. */
double bench_host_wait(bench_host *host, int total, da_event_kind until);
double bench_file_bytes(bench_host *host);
/* A worker keeps memory for the next executions and gives it back after some seconds of rest: bench_memory() then. */
double bench_memory_at_rest(bench_host *host, int rest_ms);

/* ---- preloading (preload.c) ---------------------------------------------------------------------------- */

/* Writes all rows of execution `root` again under the ids prefix-1 to prefix-`copies`. Deadlines of the copies lie a
 * millisecond apart, settlements get numbers of their own. */
void bench_copy_execution(da_store *store, const char *root, const char *prefix, int copies);

/* ---- the program itself (program.c) --------------------------------------------------------------------- */

/* `dahost run` of one step in the store, from fork to exit: seconds; *resident: the most memory it had, in bytes. */
double bench_launch(const bench_place *place, const char *store, const char *id, double *resident);
int bench_by_size(const void *a, const void *b); /* of doubles, for qsort() */

/* ---- the measures -------------------------------------------------------------------------------------- */

/* `size` is what the measure's usage says it is. */
typedef void bench_measure(const bench_place *place, int size, int size2);

bench_measure bench_step, bench_steps, bench_retained, bench_starts, bench_replay, bench_resume,
    bench_again;                                               /* executions.c */
bench_measure bench_park, bench_warm, bench_wake, bench_crash; /* waiting.c */
bench_measure bench_cold, bench_images_cost, bench_evict;      /* images.c */
bench_measure bench_retain, bench_sleepers, bench_ready;       /* preload.c */
bench_measure bench_program, bench_idle;                       /* program.c */
bench_measure bench_schedules;                                 /* schedules.c */
bench_measure bench_requests;                                  /* requests.c */

#endif
