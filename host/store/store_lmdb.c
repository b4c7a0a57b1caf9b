/* store_lmdb.c - the ordered maps in LMDB (http://www.lmdb.tech): the only file that sees lmdb.h.
 *
 * One environment per data directory, one named map per table (`meta` is the unnamed one), plain maps without
 * duplicates. Flags: MDB_NOTLS alone; never NOSYNC, NOMETASYNC, MAPASYNC (they lose or tear what was acknowledged) nor
 * WRITEMAP (a full disk would be a signal, not an error). The map is sparse and large, so that it never has to grow
 * while running.
 * Threads: a write transaction belongs to the thread that began it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "kv.h"
#include "rows.h"

#define MAP_SIZE_DEFAULT ((size_t)64 << 30)
#define DISK_FULL_BELOW ((uint64_t)16 << 20)

typedef struct lmdb {
  da_kv kv;
  MDB_env *env;
  MDB_txn *txn;
  MDB_cursor *cursors[DA_KV_TABLES]; /* of txn; opened when first used */
  MDB_dbi maps[DA_KV_TABLES];
  bool absent[DA_KV_TABLES]; /* of an older store that is open for reading only: empty */
  char *path;                /* owned */
  bool read_only;
  int last; /* LMDB's last failure, for words */
} lmdb;

static lmdb *lmdb_of(da_kv *kv)
{
  return (lmdb *)kv;
}

/* MDB_val wants pointers to what it will not write. */
static MDB_val val_of(da_slice s)
{
  union {
    const char *in;
    void *out;
  } p = {s.ptr};
  return (MDB_val){s.len, p.out};
}

static da_slice slice_of(MDB_val v)
{
  return da_slice_make(v.mv_data, v.mv_size);
}

static da_status status_of(lmdb *l, int rc)
{
  l->last = rc;
  switch (rc) {
  case MDB_MAP_FULL:
  case MDB_TXN_FULL:
  case ENOSPC:
    return DA_EFULL;
  case MDB_CORRUPTED:
  case MDB_PAGE_NOTFOUND:
  case MDB_INVALID:
  case MDB_INCOMPATIBLE:
  case MDB_BAD_TXN:
    return DA_ECORRUPT;
  case MDB_VERSION_MISMATCH:
    return DA_EVERSION;
  case MDB_BAD_VALSIZE:
    return DA_EINVAL;
  case EACCES:
  case EPERM:
  case EROFS:
    return DA_EACCES;
  case ENOMEM:
    return DA_ENOMEM;
  default:
    return DA_EIO;
  }
}

/* 1, 0 or negative. */
static int found_or(lmdb *l, int rc)
{
  if (rc == MDB_SUCCESS) return 1;
  return rc == MDB_NOTFOUND ? 0 : (int)status_of(l, rc);
}

static char *file_name(const char *path, const char *name)
{
  da_buf b = {0};
  da_buf_addf(&b, "%s/%s", path, name);
  da_buf_add_byte(&b, 0);
  return b.ptr;
}

/* ---- transactions -------------------------------------------------------------------------------------- */

static da_status lmdb_begin(da_kv *kv, da_err *err)
{
  lmdb *l = lmdb_of(kv);
  da_guard_enter(l->path);
  int rc = mdb_txn_begin(l->env, NULL, l->read_only ? MDB_RDONLY : 0, &l->txn);
  if (rc == MDB_SUCCESS) return DA_OK;
  da_guard_leave();
  l->txn = NULL;
  return da_fail(err, status_of(l, rc), "%s: cannot begin a transaction: %s", l->path, mdb_strerror(rc));
}

/* LMDB frees the cursors of a write transaction with it, but not those of a read-only one. */
static void drop_cursors(lmdb *l)
{
  for (size_t i = 0; i < DA_KV_TABLES; i++) {
    if (l->cursors[i] != NULL && l->read_only) mdb_cursor_close(l->cursors[i]);
    l->cursors[i] = NULL;
  }
}

static void lmdb_abort(da_kv *kv)
{
  lmdb *l = lmdb_of(kv);
  drop_cursors(l);
  if (l->txn != NULL) mdb_txn_abort(l->txn);
  l->txn = NULL;
  da_guard_leave();
}

static bool disk_is_full(const lmdb *l)
{
  struct statvfs fs;
  return statvfs(l->path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < DISK_FULL_BELOW;
}

/* Does the environment still begin transactions? After a failed write of its head page it does not. */
static bool is_alive(lmdb *l)
{
  MDB_txn *txn;
  if (mdb_txn_begin(l->env, NULL, 0, &txn) != MDB_SUCCESS) return false;
  mdb_txn_abort(txn);
  return true;
}

/* A full disk shows as EIO, since LMDB sees a short write. Only then, with nothing of the head written, may the store
 * go on; any other failure may have lost pages that the kernel said it had. */
static da_status commit_failure(lmdb *l, int rc, da_err *err)
{
  da_status status = status_of(l, rc);
  if ((rc == EIO || rc == ENOSPC) && disk_is_full(l) && is_alive(l))
    status = DA_EFULL;
  else if (rc == ENOSPC || status == DA_ECORRUPT || status == DA_EACCES || status == DA_EINVAL)
    status = DA_EIO;
  if (status == DA_EFULL)
    return da_fail(err, status, "storage full: %s (%s); nothing of this batch was written", l->path, mdb_strerror(rc));
  return da_fail(err, status, "%s: commit failed: %s", l->path, mdb_strerror(rc));
}

static da_status lmdb_commit(da_kv *kv, da_err *err)
{
  lmdb *l = lmdb_of(kv);
  drop_cursors(l);
  int rc = mdb_txn_commit(l->txn);
  da_guard_leave();
  l->txn = NULL;
  return rc == MDB_SUCCESS ? DA_OK : commit_failure(l, rc, err);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static int cursor_of(lmdb *l, da_kv_table table, MDB_cursor **cursor)
{
  int rc = MDB_SUCCESS;
  if (l->cursors[table] == NULL) rc = mdb_cursor_open(l->txn, l->maps[table], &l->cursors[table]);
  *cursor = l->cursors[table];
  return rc;
}

static int lmdb_get(da_kv *kv, da_kv_table table, da_slice key, da_slice *value)
{
  lmdb *l = lmdb_of(kv);
  MDB_val k = val_of(key);
  MDB_val v;
  if (l->absent[table]) return 0;
  int rc = mdb_get(l->txn, l->maps[table], &k, &v);
  if (rc == MDB_SUCCESS) *value = slice_of(v);
  return found_or(l, rc);
}

static int step(lmdb *l, da_kv_table table, MDB_val k, MDB_cursor_op op, da_slice *found, da_slice *value)
{
  MDB_cursor *cursor;
  MDB_val v;
  if (l->absent[table]) return 0;
  int rc = cursor_of(l, table, &cursor);
  if (rc == MDB_SUCCESS) rc = mdb_cursor_get(cursor, &k, &v, op);
  if (rc == MDB_SUCCESS) {
    *found = slice_of(k);
    *value = slice_of(v);
  }
  return found_or(l, rc);
}

static int lmdb_seek(da_kv *kv, da_kv_table table, da_slice key, da_slice *found, da_slice *value)
{
  return step(lmdb_of(kv), table, val_of(key), MDB_SET_RANGE, found, value);
}

static int lmdb_next(da_kv *kv, da_kv_table table, da_slice *found, da_slice *value)
{
  return step(lmdb_of(kv), table, (MDB_val){0, NULL}, MDB_NEXT, found, value);
}

static int write_row(lmdb *l, da_kv_table table, da_slice key, MDB_val *v, unsigned flags)
{
  MDB_cursor *cursor;
  MDB_val k = val_of(key);
  int rc = cursor_of(l, table, &cursor);
  return rc == MDB_SUCCESS ? mdb_cursor_put(cursor, &k, v, flags) : rc;
}

static da_status lmdb_put(da_kv *kv, da_kv_table table, da_slice key, da_slice value)
{
  lmdb *l = lmdb_of(kv);
  MDB_val v = val_of(value);
  int rc = write_row(l, table, key, &v, 0);
  return rc == MDB_SUCCESS ? DA_OK : status_of(l, rc);
}

static int lmdb_insert(da_kv *kv, da_kv_table table, da_slice key, da_slice value, da_slice *old)
{
  lmdb *l = lmdb_of(kv);
  MDB_val v = val_of(value);
  int rc = write_row(l, table, key, &v, MDB_NOOVERWRITE);
  if (rc == MDB_SUCCESS) return 1;
  if (rc != MDB_KEYEXIST) return status_of(l, rc);
  *old = slice_of(v);
  return 0;
}

static int lmdb_del(da_kv *kv, da_kv_table table, da_slice key)
{
  lmdb *l = lmdb_of(kv);
  MDB_val k = val_of(key);
  return found_or(l, mdb_del(l->txn, l->maps[table], &k, NULL));
}

static int lmdb_count(da_kv *kv, da_kv_table table, uint64_t *rows)
{
  lmdb *l = lmdb_of(kv);
  MDB_stat stat;
  *rows = 0;
  if (l->absent[table]) return 1;
  int rc = mdb_stat(l->txn, l->maps[table], &stat);
  if (rc == MDB_SUCCESS) *rows = stat.ms_entries;
  return found_or(l, rc);
}

static uint64_t page_bytes(const lmdb *l, uint64_t *last_page)
{
  MDB_envinfo info;
  MDB_stat stat;
  (void)mdb_env_info(l->env, &info);
  (void)mdb_env_stat(l->env, &stat);
  *last_page = info.me_last_pgno;
  return stat.ms_psize;
}

static uint64_t lmdb_file_bytes(da_kv *kv)
{
  uint64_t last_page;
  uint64_t bytes = page_bytes(lmdb_of(kv), &last_page);
  return (last_page + 1) * bytes;
}

/* Flushes a file or a directory. */
static int flush_path(const char *path)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  int rc = fsync(fd) == 0 ? 0 : errno;
  (void)close(fd);
  return rc;
}

static da_status lmdb_backup(da_kv *kv, const char *path, da_err *err)
{
  lmdb *l = lmdb_of(kv);
  char *name = file_name(path, "data.mdb");
  int rc = mdb_env_copy2(l->env, path, MDB_CP_COMPACT);
  if (rc == MDB_SUCCESS) rc = flush_path(name); /* LMDB leaves the copy to the kernel */
  if (rc == MDB_SUCCESS) rc = flush_path(path);
  free(name);
  if (rc == MDB_SUCCESS) return DA_OK;
  if (rc == EEXIST) return da_fail(err, DA_EINVAL, "%s holds a store already", path);
  return da_fail(err, status_of(l, rc), "cannot back up into %s: %s", path, mdb_strerror(rc));
}

static const char *lmdb_words(da_kv *kv)
{
  return mdb_strerror(lmdb_of(kv)->last);
}

static void lmdb_close(da_kv *kv)
{
  lmdb *l = lmdb_of(kv);
  lmdb_abort(kv);
  if (l->env != NULL) mdb_env_close(l->env);
  free(l->path);
  free(l);
}

static const da_kv_ops lmdb_ops = {
    .begin = lmdb_begin,
    .commit = lmdb_commit,
    .abort = lmdb_abort,
    .get = lmdb_get,
    .seek = lmdb_seek,
    .next = lmdb_next,
    .put = lmdb_put,
    .insert = lmdb_insert,
    .del = lmdb_del,
    .count = lmdb_count,
    .file_bytes = lmdb_file_bytes,
    .backup = lmdb_backup,
    .words = lmdb_words,
    .close = lmdb_close,
};

/* ---- opening ------------------------------------------------------------------------------------------- */

static uint64_t file_size(const char *path)
{
  struct stat st;
  char *name = file_name(path, "data.mdb");
  uint64_t size = stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
  free(name);
  return size;
}

/* "1073741824", "1G", "512M". */
static bool parse_size(const char *text, size_t *size)
{
  char *end;
  errno = 0;
  unsigned long long n = strtoull(text, &end, 10);
  unsigned shift = 0;
  if (*end == 'K' || *end == 'k') shift = 10;
  if (*end == 'M' || *end == 'm') shift = 20;
  if (*end == 'G' || *end == 'g') shift = 30;
  if (shift != 0) end++;
  if (errno != 0 || end == text || *end != '\0' || text[0] == '-') return false;
  if (n == 0 || n > SIZE_MAX >> shift) return false;
  *size = (size_t)n << shift;
  return true;
}

static da_status map_size(const char *path, const da_store_options *options, size_t *size, da_err *err)
{
  const char *text = getenv("DAHOST_MAP_SIZE");
  if (text != NULL && *text != '\0') {
    if (parse_size(text, size)) return DA_OK;
    return da_fail(err, DA_EINVAL, "DAHOST_MAP_SIZE=%s is not a size (bytes, or a number with K, M or G)", text);
  }
  *size = options->map_size != 0 ? options->map_size : MAP_SIZE_DEFAULT;
  uint64_t room = file_size(path) * 4; /* a file that has come near the default goes on growing */
  if (options->map_size == 0 && room > *size) *size = room;
  return DA_OK;
}

/* A file shorter than its head says is one that was cut off, or one whose last pages are free and were never written.
 * Filled up with zeros (only under the lock: a running writer grows the file itself), a page that is missing is seen as
 * damaged when it is read; beyond the end of the file the read itself would kill the process. */
static void fill_up(lmdb *l, bool locked)
{
  uint64_t last_page;
  uint64_t want = page_bytes(l, &last_page) * (last_page + 1);
  int fd = -1;
  if (file_size(l->path) >= want) return;
  bool died = false;
  if (!locked && da_lock_take(l->path, &fd, &died, NULL) != DA_OK) return;
  char *name = file_name(l->path, "data.mdb");
  int done = file_size(l->path) < want ? truncate(name, (off_t)want) : 0;
  (void)done; /* then the damage shows in its own way */
  free(name);
  da_lock_release(fd, died);
}

static da_status env_failure(lmdb *l, int rc, da_err *err)
{
  da_status status = status_of(l, rc);
  switch (rc) {
  case MDB_INVALID:
    return da_fail(err, DA_ECORRUPT,
                   "%s/data.mdb is not a store of dahost, or its beginning is damaged; name another directory with "
                   "--data, or put an older copy back",
                   l->path);
  case MDB_VERSION_MISMATCH:
    return da_fail(
        err, DA_EVERSION,
        "%s/data.mdb was written by an LMDB of another file format, or its beginning is damaged; put an older "
        "copy back",
        l->path);
  case MDB_CORRUPTED:
  case MDB_PAGE_NOTFOUND:
    return da_fail(err, DA_ECORRUPT, "%s/data.mdb is damaged: %s; put an older copy back", l->path, mdb_strerror(rc));
  case ENOMEM:
    return da_fail(err, DA_ENOMEM, "%s: not enough address space for the map; set DAHOST_MAP_SIZE=1G", l->path);
  case EACCES:
  case EPERM:
  case EROFS:
    return da_fail(err, status,
                   "cannot write the store %s: %s; give this user the right to write, or name another with --data",
                   l->path, mdb_strerror(rc));
  case ENOSPC:
    return da_fail(err, DA_EFULL, "no room for the store %s: %s; make room and start it again", l->path,
                   mdb_strerror(rc));
  default:
    return da_fail(err, status, "cannot open the store %s: %s", l->path, mdb_strerror(rc));
  }
}

static void on_assert(MDB_env *env, const char *words)
{
  (void)env;
  (void)words; /* LMDB's own, of no use to a reader */
  da_guard_damaged();
}

/* Where the disk was full, or the process died, while LMDB wrote the two head pages of a new file, there is a stump
 * that it takes for a damaged file. It holds nothing: the first head page counts no transaction. */
static void drop_stump(lmdb *l)
{
  struct {
    char page_head[16];
    uint32_t magic;
    uint32_t version;
    char before[120];
    uint64_t transactions;
  } head;
  _Static_assert(offsetof(__typeof__(head), transactions) == 144, "as LMDB 0.9 lays out its head pages");
  uint64_t size = file_size(l->path);
  if (size == 0 || size >= 2 * (uint64_t)sysconf(_SC_PAGESIZE)) return;
  char *name = file_name(l->path, "data.mdb");
  int fd = open(name, O_RDWR | O_CLOEXEC);
  if (fd >= 0 && pread(fd, &head, sizeof head, 0) == (ssize_t)sizeof head && head.magic == 0xBEEFC0DE &&
      head.transactions == 0) {
    int done = ftruncate(fd, 0);
    (void)done; /* then it is refused as before */
  }
  if (fd >= 0) (void)close(fd);
  free(name);
}

static int open_env(lmdb *l, size_t size)
{
  int rc = mdb_env_create(&l->env);
  if (rc != MDB_SUCCESS) return rc;
  if ((rc = mdb_env_set_maxdbs(l->env, DA_KV_TABLES)) != MDB_SUCCESS) return rc;
  if ((rc = mdb_env_set_mapsize(l->env, size)) != MDB_SUCCESS) return rc;
  (void)mdb_env_set_assert(l->env, on_assert);
  if (!l->read_only) drop_stump(l);
  da_guard_enter(l->path);
  rc = mdb_env_open(l->env, l->path, MDB_NOTLS | (l->read_only ? MDB_RDONLY : 0u), 0600);
  int dead;
  if (rc == MDB_SUCCESS) (void)mdb_reader_check(l->env, &dead);
  da_guard_leave();
  return rc;
}

/* What the unnamed map says of the file, before anything of ours is added to it. */
static da_status check_format(lmdb *l, bool *fresh, bool *older, da_err *err)
{
  MDB_stat stat;
  MDB_val k = val_of(DA_KV_FORMAT_KEY);
  MDB_val v;
  int rc = mdb_dbi_open(l->txn, NULL, 0, &l->maps[DA_KV_META]);
  if (rc == MDB_SUCCESS) rc = mdb_stat(l->txn, l->maps[DA_KV_META], &stat);
  if (rc != MDB_SUCCESS) return env_failure(l, rc, err);
  *fresh = stat.ms_entries == 0;
  if (*fresh && l->read_only) return da_fail(err, DA_ENOTFOUND, "%s holds no store yet", l->path);
  if (*fresh) return DA_OK;
  rc = mdb_get(l->txn, l->maps[DA_KV_META], &k, &v);
  if (rc == MDB_NOTFOUND)
    return da_fail(err, DA_ECORRUPT, "%s/data.mdb is a file of LMDB, but not a store of dahost", l->path);
  return rc == MDB_SUCCESS ? da_store_check_format(l->path, slice_of(v), older, err) : env_failure(l, rc, err);
}

static da_status open_tables(lmdb *l, bool older, da_err *err)
{
  for (int i = 0; i < DA_KV_TABLES; i++) {
    const char *name = da_kv_name((da_kv_table)i);
    if (i == DA_KV_META) continue;
    int rc = mdb_dbi_open(l->txn, name, l->read_only ? 0 : MDB_CREATE, &l->maps[i]);
    l->absent[i] = rc == MDB_NOTFOUND && older;
    if (l->absent[i]) continue;
    if (rc == MDB_NOTFOUND) return da_fail(err, DA_ECORRUPT, "%s/data.mdb lacks the table %s", l->path, name);
    if (rc != MDB_SUCCESS) return env_failure(l, rc, err);
  }
  return DA_OK;
}

/* Leaves the transaction open if the file is fresh: its first rows are to be committed with the tables. */
static da_status open_maps(lmdb *l, bool *fresh, bool *older, da_err *err)
{
  da_status status = lmdb_begin(&l->kv, err);
  if (status == DA_OK) status = check_format(l, fresh, older, err);
  if (status == DA_OK) status = open_tables(l, *older, err);
  return status != DA_OK || *fresh ? status : lmdb_commit(&l->kv, err);
}

da_status da_kv_open_lmdb(const char *path, const da_store_options *options, bool *fresh, bool *older, da_kv **out,
                          da_err *err)
{
  size_t size = 0;
  *out = NULL;
  da_status status = map_size(path, options, &size, err);
  if (status != DA_OK) return status;
  lmdb *l = da_xcalloc(1, sizeof *l);
  l->kv.ops = &lmdb_ops;
  l->path = da_xstrndup(da_slice_of(path));
  l->read_only = options->read_only;
  int rc = open_env(l, size);
  if (rc == MDB_SUCCESS) fill_up(l, !options->read_only);
  status = rc == MDB_SUCCESS ? open_maps(l, fresh, older, err) : env_failure(l, rc, err);
  if (status != DA_OK) {
    lmdb_close(&l->kv);
    return status;
  }
  *out = &l->kv;
  return DA_OK;
}
