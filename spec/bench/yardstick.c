/* yardstick.c - what the disk and a bare LMDB loop do in the same run, on the same file system.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../host/base/clock.h"
#include "bench.h"

enum { FLOOR_BLOCKS = 256, FLOOR_BLOCK = 4096 };
#define MAP_SIZE ((size_t)16 << 30)

double bench_floor(const bench_place *place, int writes)
{
  static char block[FLOOR_BLOCK];
  int fd = open(bench_path(place, "floor"), O_RDWR | O_CREAT, 0600);
  if (fd < 0) bench_die("%s: %s", bench_path(place, "floor"), strerror(errno));
  for (int i = 0; i < FLOOR_BLOCKS; i++)
    if (write(fd, block, sizeof block) != (ssize_t)sizeof block) bench_die("short write");
  if (fsync(fd) != 0) bench_die("fsync: %s", strerror(errno));
  uint64_t begin = da_clock_mono_ns();
  for (int i = 0; i < writes; i++) {
    block[0] = (char)i;
    off_t at = (off_t)(i % FLOOR_BLOCKS) * FLOOR_BLOCK;
    if (pwrite(fd, block, sizeof block, at) != (ssize_t)sizeof block || fdatasync(fd) != 0)
      bench_die("flush: %s", strerror(errno));
  }
  double rate = writes / bench_since(begin);
  (void)close(fd);
  return rate;
}

/* ---- LMDB ---------------------------------------------------------------------------------------------- */

static void check(int code, const char *what)
{
  if (code != 0) bench_die("LMDB, %s: %s", what, mdb_strerror(code));
}

static MDB_env *open_env(const char *path, unsigned flags)
{
  MDB_env *env;
  check(mdb_env_create(&env), "create");
  check(mdb_env_set_mapsize(env, MAP_SIZE), "map size");
  check(mdb_env_set_maxdbs(env, 32), "maps");
  check(mdb_env_open(env, path, MDB_NOTLS | flags, 0600), path);
  return env;
}

/* The number at the end of a key: root number | ":s.17". */
static uint32_t turn_of(const MDB_val *key)
{
  const char *bytes = key->mv_data;
  uint32_t turn = 0, scale = 1;
  for (size_t i = key->mv_size; i > 0 && bytes[i - 1] >= '0' && bytes[i - 1] <= '9'; i--, scale *= 10)
    turn += scale * (uint32_t)(bytes[i - 1] - '0');
  return turn;
}

static int by_turn(const void *a, const void *b)
{
  const bench_row *x = a, *y = b;
  if (x->turn != y->turn) return x->turn < y->turn ? -1 : 1;
  return da_slice_cmp(da_slice_make(x->key, x->key_len), da_slice_make(y->key, y->key_len));
}

void bench_rows_read(bench_rows *rows, const bench_place *place, const char *store)
{
  MDB_env *env = open_env(bench_path(place, store), MDB_RDONLY);
  MDB_txn *txn;
  MDB_dbi dbi;
  MDB_stat stat;
  MDB_cursor *cursor;
  MDB_val key, value;
  *rows = (bench_rows){0};
  check(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "begin");
  check(mdb_dbi_open(txn, "prom", 0, &dbi), "the steps' map");
  check(mdb_stat(txn, dbi, &stat), "stat");
  check(mdb_cursor_open(txn, dbi, &cursor), "cursor");
  rows->items = da_xcalloc(stat.ms_entries, sizeof *rows->items);
  while (rows->count < stat.ms_entries && mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
    char *bytes = da_arena_alloc(&rows->arena, key.mv_size + value.mv_size);
    memcpy(bytes, key.mv_data, key.mv_size);
    memcpy(bytes + key.mv_size, value.mv_data, value.mv_size);
    rows->items[rows->count++] = (bench_row){turn_of(&key), (uint32_t)key.mv_size, (uint32_t)value.mv_size, bytes};
  }
  mdb_cursor_close(cursor);
  mdb_txn_abort(txn);
  mdb_env_close(env);
  qsort(rows->items, rows->count, sizeof *rows->items, by_turn);
}

void bench_rows_free(bench_rows *rows)
{
  free(rows->items);
  da_arena_free(&rows->arena);
}

double bench_lmdb(const bench_place *place, const bench_rows *rows, size_t batch)
{
  (void)mkdir(bench_path(place, "lmdb"), 0700);
  MDB_env *env = open_env(bench_path(place, "lmdb"), 0);
  uint64_t begin = da_clock_mono_ns();
  for (size_t i = 0; i < rows->count;) {
    MDB_txn *txn;
    MDB_dbi dbi;
    check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, "prom", MDB_CREATE, &dbi), "map");
    for (size_t end = i + batch; i < end && i < rows->count; i++) {
      const bench_row *row = &rows->items[i];
      MDB_val key = {row->key_len, (void *)(uintptr_t)row->key};
      MDB_val value = {row->value_len, (void *)(uintptr_t)(row->key + row->key_len)};
      check(mdb_put(txn, dbi, &key, &value, 0), "put");
    }
    check(mdb_txn_commit(txn), "commit");
  }
  double rate = (double)rows->count / bench_since(begin);
  mdb_env_close(env);
  (void)unlink(bench_path(place, "lmdb/data.mdb"));
  return rate;
}
