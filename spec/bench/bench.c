/* bench.c - the first measurements: durable steps, starts and replay against the flush floor and a bare LMDB loop.
 *
 * Everything is measured in one run on one file system, so that ratios mean something on a shared machine; both raw
 * figures are printed. The data directory must not lie on a tmpfs: a flush there costs nothing, and the run is refused.
 * Not a test: nothing here passes or fails.
 *
 *   da_bench DIRECTORY [SCRIPT]
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../../bindings/bind.h"
#include "../../host/base/clock.h"

enum { FLOOR_WRITES = 1000, RECORD = 180 };

static const char *directory;

static _Noreturn void die(const char *what)
{
  (void)fprintf(stderr, "da_bench: %s\n", what);
  exit(1);
}

static double seconds_since(uint64_t begin)
{
  return (double)(da_clock_mono_ns() - begin) / 1e9;
}

static const char *path_of(const char *name)
{
  static char path[4096];
  (void)snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

/* ---- the floor and the bare loop ----------------------------------------------------------------------- */

/* Overwrites one 4 KiB block of a pre-written file and flushes it, again and again: flushes per second. */
static double measure_floor(void)
{
  static char block[4096];
  int fd = open(path_of("floor"), O_RDWR | O_CREAT, 0600);
  if (fd < 0) die("cannot create a file in the directory");
  for (int i = 0; i < 256; i++)
    if (write(fd, block, sizeof block) != (ssize_t)sizeof block) die("short write");
  if (fsync(fd) != 0) die("fsync failed");
  uint64_t begin = da_clock_mono_ns();
  for (int i = 0; i < FLOOR_WRITES; i++) {
    block[0] = (char)i;
    if (pwrite(fd, block, sizeof block, (i % 256) * 4096L) != (ssize_t)sizeof block || fdatasync(fd) != 0)
      die("flush failed");
  }
  double rate = FLOOR_WRITES / seconds_since(begin);
  (void)close(fd);
  return rate;
}

/* One record of the usual size per execution in turn, `batch` of them in a commit: records per second. */
static double measure_lmdb(int batch, int commits)
{
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi dbi;
  (void)mkdir(path_of("lmdb"), 0700);
  if (mdb_env_create(&env) != 0 || mdb_env_set_mapsize(env, (size_t)4 << 30) != 0 ||
      mdb_env_open(env, path_of("lmdb"), MDB_NOTLS, 0600) != 0)
    die("cannot open LMDB");
  uint64_t begin = da_clock_mono_ns();
  static char record[RECORD];
  static uint32_t sequence;
  for (int c = 0; c < commits; c++) {
    if (mdb_txn_begin(env, NULL, 0, &txn) != 0 || mdb_dbi_open(txn, NULL, 0, &dbi) != 0) die("LMDB begin failed");
    sequence++;
    for (uint32_t i = 0; i < (uint32_t)batch; i++) {
      uint8_t bytes[12] = {0,
                           0,
                           0,
                           0,
                           (uint8_t)(i >> 24),
                           (uint8_t)(i >> 16),
                           (uint8_t)(i >> 8),
                           (uint8_t)i,
                           (uint8_t)(sequence >> 24),
                           (uint8_t)(sequence >> 16),
                           (uint8_t)(sequence >> 8),
                           (uint8_t)sequence};
      MDB_val key = {sizeof bytes, bytes}, value = {sizeof record, record};
      if (mdb_put(txn, dbi, &key, &value, 0) != 0) die("LMDB put failed");
    }
    if (mdb_txn_commit(txn) != 0) die("LMDB commit failed");
  }
  double rate = (double)batch * commits / seconds_since(begin);
  mdb_env_close(env);
  return rate;
}

/* ---- dahost -------------------------------------------------------------------------------------------- */

typedef struct host {
  da_store *store;
  da_sched *sched;
  da_worker *worker;
  da_bundle *bundle;
  int left;
  int total;
  int next;
  const char *func;
  char args[32];
  const char *prefix;
} host;

static void start_one(host *h);

static void execution_done(void *user, const da_promise *promise)
{
  host *h = user;
  if (promise == NULL || promise->state != DA_RESOLVED) die("an execution failed");
  if (--h->left == 0) da_sched_stop(h->sched);
  if (h->next < h->total) start_one(h);
}

static void started(void *user, const da_promise *promise, bool created, da_status status, const da_err *err)
{
  (void)created;
  (void)status;
  if (promise == NULL) die(err->text);
  host *h = user;
  da_worker_follow(h->worker, promise->id, execution_done, h);
}

static void start_one(host *h)
{
  char id[64];
  (void)snprintf(id, sizeof id, "%s-%d", h->prefix, h->next++);
  da_worker_start(h->worker, da_slice_of(id), da_slice_of(h->func), da_slice_of(h->args), h->bundle, started, h);
}

static void open_host(host *h, const char *store, const char *script)
{
  da_err err = {{0}};
  uint8_t secret[16];
  da_store_options store_options = {.create = true};
  if (da_store_open(path_of(store), &store_options, &h->store, &err) != DA_OK) die(err.text);
  da_store_secret(h->store, secret);
  char pid[64];
  (void)snprintf(pid, sizeof pid, "local/%d.%llu", (int)getpid(), (unsigned long long)da_clock_mono_ns());
  da_sched_options options = {
      .store = h->store, .profile = da_profile_default, .local_target = "poll://any@default", .pid = pid};
  if (da_sched_new(&options, &h->sched, &err) != DA_OK) die(err.text);
  da_worker_options worker = {.sched = h->sched,
                              .hooks = {bind_open_isolate, bind_open_step},
                              .target = "poll://any@default",
                              .pid = pid,
                              .secret = secret,
                              .warm_bytes = SIZE_MAX};
  if (da_worker_new(&worker, &h->worker, &err) != DA_OK) die(err.text);
  da_sched_events events = da_worker_events(h->worker);
  da_sched_set_events(h->sched, &events);
  da_worker_drive(h->worker, true);
  if (da_bundle_read(script, &h->bundle, &err) != DA_OK || da_worker_serve(h->worker, h->bundle, &err) != DA_OK)
    die(err.text);
}

static void close_host(host *h)
{
  da_worker_delete(h->worker);
  da_sched_delete(h->sched);
  da_store_close(h->store);
  da_bundle_unref(h->bundle);
}

/* Runs `total` executions of func(argument), `at_once` at a time: seconds. */
static double run(host *h, const char *prefix, const char *func, int argument, int total, int at_once)
{
  h->prefix = prefix;
  h->func = func;
  (void)snprintf(h->args, sizeof h->args, argument >= 0 ? "[%d]" : "[]", argument);
  h->left = h->total = total;
  h->next = 0;
  uint64_t begin = da_clock_mono_ns();
  for (int i = 0; i < at_once && i < total; i++) start_one(h);
  da_sched_run(h->sched);
  return seconds_since(begin);
}

static void steps_line(host *h, double floor, int executions, int steps)
{
  char prefix[32];
  (void)snprintf(prefix, sizeof prefix, "steps%d", executions);
  double bare = measure_lmdb(executions, executions > 100 ? 100 : 400);
  double rate = (double)executions * steps / run(h, prefix, "steps", steps, executions, executions);
  printf("steps executions=%d steps/s=%.0f us/step/execution=%.0f of_floor=%.2f bare_lmdb/s=%.0f of_bare=%.2f\n",
         executions, rate, 1e6 * executions / rate, rate / floor, bare, rate / bare);
}

static void *gate_opener(void *arg)
{
  host *h = arg;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  request->id = DA_LIT("replay-0:gate.1");
  request->state = DA_RESOLVED;
  da_sched_submit(h->sched, op, false);
  return NULL;
}

static void parked(void *user, const da_event *event)
{
  host *h = user;
  if (event->kind == DA_EVENT_SUSPENDED) da_sched_stop(h->sched);
}

/* Records `steps` steps, forgets the execution, opens its gate: what a recovery from the records costs. */
static void replay_line(const char *script, int steps)
{
  host h = {0};
  open_host(&h, "replay", script);
  h.prefix = "replay";
  h.func = "steps_then_wait";
  (void)snprintf(h.args, sizeof h.args, "[%d]", steps);
  da_worker_on_event(h.worker, parked, &h);
  start_one(&h);
  da_sched_run(h.sched);
  close_host(&h);

  open_host(&h, "replay", script);
  da_worker_follow(h.worker, DA_LIT("replay-0"), execution_done, &h);
  h.left = 1;
  h.total = h.next = 0;
  uint64_t begin = da_clock_mono_ns();
  (void)gate_opener(&h);
  da_sched_run(h.sched);
  double seconds = seconds_since(begin);
  printf("replay steps=%d ms=%.1f steps/s=%.0f\n", steps, seconds * 1000, steps / seconds);
  close_host(&h);
}

int main(int argc, char **argv)
{
  if (argc < 2) die("usage: da_bench DIRECTORY [SCRIPT]; the directory must not exist yet");
  directory = argv[1];
  const char *script = argc > 2 ? argv[2] : "spec/bench/bench.lua";
  struct statfs fs;
  if (mkdir(directory, 0700) != 0) die(strerror(errno));
  if (statfs(directory, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
    die("the directory lies on a tmpfs, where a flush costs nothing; name another");
  bind_setup();
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  double floor = measure_floor();
  printf("floor overwrite_4k+fdatasync/s=%.0f us=%.0f\n", floor, 1e6 / floor);
  host h = {0};
  open_host(&h, "store", script);
  (void)run(&h, "warm-up", "steps", 10, 16, 16);
  steps_line(&h, floor, 1, 1000);
  steps_line(&h, floor, 16, 300);
  steps_line(&h, floor, 256, 100);
  int starts = 10000;
  double seconds = run(&h, "start", "one_named", -1, starts, 512);
  printf("starts one_named_step executions=%d at_once=512 starts/s=%.0f\n", starts, starts / seconds);
  seconds = run(&h, "start1", "steps", 1, starts, 512);
  printf("starts one_inline_step executions=%d at_once=512 starts/s=%.0f\n", starts, starts / seconds);
  close_host(&h);
  printf("floor overwrite_4k+fdatasync/s=%.0f (again, at the end)\n", measure_floor());
  replay_line(script, 10000);
  return 0;
}
