/* sqlite.c - the same rows into SQLite, with its own log and a flush per commit: WAL, synchronous=FULL.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#ifdef DA_BENCH_SQLITE
#include <sqlite3.h>
#include <unistd.h>

#include "../../host/base/clock.h"

static void run(sqlite3 *db, const char *sql)
{
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) bench_die("SQLite, %s: %s", sql, sqlite3_errmsg(db));
}

static void remove_old(const bench_place *place)
{
  (void)unlink(bench_path(place, "rows.sqlite"));
  (void)unlink(bench_path(place, "rows.sqlite-wal"));
  (void)unlink(bench_path(place, "rows.sqlite-shm"));
}

double bench_sqlite(const bench_place *place, const bench_rows *rows, size_t batch)
{
  sqlite3 *db;
  sqlite3_stmt *insert;
  remove_old(place);
  if (sqlite3_open(bench_path(place, "rows.sqlite"), &db) != SQLITE_OK) bench_die("SQLite: %s", sqlite3_errmsg(db));
  run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
          "CREATE TABLE prom(key BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID");
  if (sqlite3_prepare_v2(db, "INSERT INTO prom VALUES(?, ?)", -1, &insert, NULL) != SQLITE_OK)
    bench_die("SQLite: %s", sqlite3_errmsg(db));
  uint64_t begin = da_clock_mono_ns();
  for (size_t i = 0; i < rows->count;) {
    run(db, "BEGIN IMMEDIATE");
    for (size_t end = i + batch; i < end && i < rows->count; i++) {
      const bench_row *row = &rows->items[i];
      (void)sqlite3_bind_blob(insert, 1, row->key, (int)row->key_len, SQLITE_STATIC);
      (void)sqlite3_bind_blob(insert, 2, row->key + row->key_len, (int)row->value_len, SQLITE_STATIC);
      if (sqlite3_step(insert) != SQLITE_DONE) bench_die("SQLite: %s", sqlite3_errmsg(db));
      (void)sqlite3_reset(insert);
    }
    run(db, "COMMIT");
  }
  double rate = (double)rows->count / bench_since(begin);
  (void)sqlite3_finalize(insert);
  (void)sqlite3_close(db);
  remove_old(place);
  return rate;
}

#else

double bench_sqlite(const bench_place *place, const bench_rows *rows, size_t batch)
{
  (void)place;
  (void)rows;
  (void)batch;
  return -1;
}
#endif
