/* store.c - a store's life: opening, transactions, counters, bundles.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "rows.h"

/* The row `format` of `meta`: these bytes, then the version of the layout as u32. A change of keys, of tables or of
 * what a record leaves out is a new version; a new form of one record is not (codec.h). */
#define FORMAT_MAGIC DA_LIT("dahost store\n")
enum {
  FORMAT_VERSION = 2,
  FORMAT_OLDEST = 1 /* lacks tables and kinds of rows; whoever opens it to write adds them */
};

#define SECRET_KEY DA_LIT("secret")
#define COUNTERS_KEY DA_LIT("counters")

const char *da_kv_name(da_kv_table table)
{
  static const char *const names[] = {
#define X(name, text) text,
      DA_KV_MAP(X)
#undef X
  };
  return names[table];
}

da_status da_store_check_format(const char *path, da_slice row, bool *older, da_err *err)
{
  da_slice magic = FORMAT_MAGIC;
  if (row.len != magic.len + 4 || !da_slice_starts(row, magic))
    return da_fail(err, DA_ECORRUPT, "%s/data.mdb is not a store of dahost, or its first row is damaged", path);
  uint32_t version = da_get_u32(row.ptr + magic.len);
  *older = version < FORMAT_VERSION;
  if (version >= FORMAT_OLDEST && version <= FORMAT_VERSION) return DA_OK;
  return da_fail(err, DA_EVERSION, "%s is a store of format %u; this dahost reads format %d: use %s dahost", path,
                 version, FORMAT_VERSION, version > FORMAT_VERSION ? "a newer" : "an older");
}

/* ---- what lies in meta --------------------------------------------------------------------------------- */

static int put_counters(da_store *store)
{
  da_buf_clear(&store->record);
  da_codec_counters_put(&store->record, &store->counters);
  return da_rows_put(store, DA_KV_META, COUNTERS_KEY, da_buf_slice(&store->record));
}

/* The words that are not in memory yet. */
static int load_words(da_store *store)
{
  while (da_words_count(store->words) < store->counters.words) {
    da_key key = {0};
    da_slice text;
    uint64_t code = da_words_count(store->words) + 1;
    da_key_add_number(&key, code);
    int there = da_rows_get(store, DA_KV_WORD, da_key_slice(&key), &text);
    if (there < 0) return there;
    if (there == 0 || da_words_code(store->words, text) != code)
      return da_store_bad_row(store, DA_KV_WORD, da_key_slice(&key), DA_ECORRUPT);
  }
  return DA_OK;
}

static int load_counters(da_store *store)
{
  da_slice row;
  int there = da_rows_get(store, DA_KV_META, COUNTERS_KEY, &row);
  if (there < 0) return there;
  da_status status = there == 0 ? DA_ECORRUPT : da_codec_counters_get(row, &store->counters);
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_META, COUNTERS_KEY, status);
  int loaded = load_words(store);
  if (loaded == DA_OK) store->saved = store->counters;
  return loaded;
}

static int load_secret(da_store *store)
{
  da_slice row;
  int there = da_rows_get(store, DA_KV_META, SECRET_KEY, &row);
  if (there < 0) return there;
  if (there == 0 || row.len != sizeof store->secret)
    return da_store_bad_row(store, DA_KV_META, SECRET_KEY, DA_ECORRUPT);
  memcpy(store->secret, row.ptr, sizeof store->secret);
  store->seed = da_hash64(row);
  return DA_OK;
}

static int put_format(da_store *store)
{
  da_slice magic = FORMAT_MAGIC;
  da_buf_clear(&store->record);
  da_buf_add_slice(&store->record, magic);
  da_buf_add_u32(&store->record, FORMAT_VERSION);
  return da_rows_put(store, DA_KV_META, DA_KV_FORMAT_KEY, da_buf_slice(&store->record));
}

/* The first rows of a store, in the open transaction. */
static int put_first_rows(da_store *store, const uint8_t secret[16])
{
  int status = put_format(store);
  if (status == DA_OK) status = da_rows_put(store, DA_KV_META, SECRET_KEY, da_slice_make((const char *)secret, 16));
  store->counters = (da_counters){.next_root = 1, .next_seq = 1};
  return status == DA_OK ? put_counters(store) : status;
}

static da_status load_meta(da_store *store, da_err *err)
{
  da_visit inside;
  da_status status = da_store_enter(store, &inside, err);
  if (status != DA_OK) return status;
  int loaded = load_counters(store);
  if (loaded == DA_OK) loaded = load_secret(store);
  if (loaded == DA_OK && da_image_any(store) < 0) loaded = DA_ECORRUPT;
  da_store_leave(store, &inside);
  return loaded == DA_OK ? DA_OK : da_store_words_to(store, loaded, err);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static da_store *store_new(const char *path)
{
  da_store *store = da_xcalloc(1, sizeof *store);
  store->view.ops = &da_store_view_ops;
  store->roots = da_roots_new();
  store->words = da_words_new();
  store->lock_fd = -1;
  store->path = path != NULL ? da_xstrndup(da_slice_of(path)) : NULL;
  return store;
}

void da_store_close(da_store *store)
{
  if (store == NULL) return;
  if (store->open) da_store_abort(store);
  if (store->kv != NULL) store->kv->ops->close(store->kv);
  da_lock_release(store->lock_fd, store->died);
  da_lock_unclaim(store->claim);
  da_roots_delete(store->roots);
  da_words_delete(store->words);
  da_buf_free(&store->record);
  free(store->path);
  free(store);
}

static da_status make_directory(const char *path, da_err *err)
{
  if (mkdir(path, 0700) == 0 || errno == EEXIST) return DA_OK;
  da_status status = DA_EIO;
  if (errno == EACCES || errno == EROFS) status = DA_EACCES;
  if (errno == ENOSPC) status = DA_EFULL;
  return da_fail(err, status, "cannot make the directory %s: %s; name another with --data%s", path, strerror(errno),
                 errno == ENOENT ? ", or make the one above it first" : "");
}

static da_status find_directory(const char *path, const da_store_options *options, da_err *err)
{
  struct stat st;
  bool may_make = options->create && !options->read_only;
  da_status status = may_make ? make_directory(path, err) : DA_OK;
  if (status != DA_OK) return status;
  if (stat(path, &st) != 0 && may_make)
    return da_fail(err, DA_EINVAL, "%s cannot be the directory of a store: it is a link to nowhere (%s)", path,
                   strerror(errno));
  if (stat(path, &st) != 0) return da_fail(err, DA_ENOTFOUND, "there is no store at %s: %s", path, strerror(errno));
  if (!S_ISDIR(st.st_mode))
    return da_fail(err, DA_EINVAL, "%s is not a directory; name the directory of a store with --data", path);
  if (may_make) return DA_OK;
  da_buf name = {0};
  da_buf_addf(&name, "%s/data.mdb", path);
  da_buf_add_byte(&name, 0);
  bool there = stat(name.ptr, &st) == 0;
  bool hidden = !there && errno == EACCES;
  da_buf_free(&name);
  if (hidden) return da_fail(err, DA_EACCES, "this user may not look into %s; ask as the one whose store it is", path);
  if (there && st.st_size == 0)
    return da_fail(err, DA_ENOTFOUND, "there is no store at %s: its data.mdb is empty", path);
  return there ? DA_OK : da_fail(err, DA_ENOTFOUND, "there is no store in the directory %s", path);
}

static da_status initialise(da_store *store, da_err *err)
{
  uint8_t secret[16];
  if (getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret)
    return da_fail(err, DA_EIO, "the system gives no random bytes: %s", strerror(errno));
  int status = put_first_rows(store, secret);
  if (status != DA_OK) return da_store_words_to(store, status, err);
  return store->kv->ops->commit(store->kv, err);
}

/* From now on rows may come that a program of before would take for damage. */
static da_status renew(da_store *store, da_err *err)
{
  da_status status = da_store_begin(store, err);
  if (status != DA_OK) return status;
  int put = put_format(store);
  if (put == DA_OK) return da_store_commit(store, err);
  da_store_abort(store);
  return da_store_words_to(store, put, err);
}

static da_status open_files(da_store *store, const da_store_options *options, da_err *err)
{
  bool fresh = false, older = false;
  da_status status = find_directory(store->path, options, err);
  if (status == DA_OK) status = da_lock_claim(store->path, &store->claim, err);
  if (status == DA_OK && !options->read_only) status = da_lock_take(store->path, &store->lock_fd, &store->died, err);
  if (status == DA_OK) status = da_kv_open_lmdb(store->path, options, &fresh, &older, &store->kv, err);
  if (status == DA_OK && fresh) status = initialise(store, err);
  store->dirty = false;
  if (status == DA_OK) status = load_meta(store, err);
  return status == DA_OK && older && !options->read_only ? renew(store, err) : status;
}

da_status da_store_open(const char *path, const da_store_options *options, da_store **out, da_err *err)
{
  *out = NULL;
  da_store *store = store_new(path);
  store->read_only = options->read_only;
  da_status status = open_files(store, options, err);
  if (status != DA_OK) {
    da_store_close(store);
    return status;
  }
  *out = store;
  return DA_OK;
}

da_store *da_store_open_memory(void)
{
  static const uint8_t secret[16] = "always the same"; /* so that a run can be repeated */
  da_store *store = store_new(NULL);
  store->kv = da_kv_open_memory();
  int status = store->kv->ops->begin(store->kv, NULL);
  if (status == DA_OK) status = put_first_rows(store, secret);
  if (status == DA_OK) status = store->kv->ops->commit(store->kv, NULL);
  store->dirty = false;
  if (status == DA_OK) status = load_meta(store, NULL);
  DA_ASSERT_OP(status, ==, DA_OK);
  return store;
}

bool da_store_after_death(const da_store *store)
{
  return store->died;
}

void da_store_death_known(da_store *store)
{
  store->died = false;
}

void da_store_ended(da_store *store)
{
  if (!store->died) da_lock_mark_ended(store->lock_fd);
}

/* ---- transactions -------------------------------------------------------------------------------------- */

da_status da_store_words_to(da_store *store, int status, da_err *err)
{
  if (err == &store->fault) return (da_status)status; /* they are there */
  return da_fail(err, (da_status)status, "%s", store->fault.text);
}

const char *da_store_fault_words(const da_store *store)
{
  return store->fault.text;
}

void da_store_on_damaged(da_store *store, da_store_damaged *fn, void *user)
{
  store->on_damaged = fn;
  store->on_damaged_user = user;
}

const char *da_store_skipped(da_store *store)
{
  if (store->skipped.text[0] == '\0') return NULL;
  store->fault = store->skipped;
  store->skipped.text[0] = '\0';
  return store->fault.text;
}

da_status da_store_begin(da_store *store, da_err *err)
{
  DA_ASSERT(!store->open);
  da_status status = store->kv->ops->begin(store->kv, err);
  if (status != DA_OK) return status;
  store->open = true;
  store->dirty = false;
  if (!store->read_only) return DA_OK;
  uint64_t next_root = store->counters.next_root;
  int loaded = load_counters(store); /* another process may have moved them */
  if (store->counters.next_root != next_root) da_roots_forget(store->roots);
  if (loaded == DA_OK) return DA_OK;
  da_store_abort(store);
  return da_store_words_to(store, loaded, err);
}

da_view *da_store_view(da_store *store)
{
  DA_ASSERT(store->open);
  return &store->view;
}

/* Roots that the transaction gave numbers to have none now. */
static void roll_back(da_store *store)
{
  if (store->counters.next_root != store->saved.next_root) da_roots_forget(store->roots);
  da_words_cut(store->words, (uint32_t)store->saved.words);
  store->counters = store->saved;
  store->open = false;
  store->dirty = false;
}

void da_store_abort(da_store *store)
{
  DA_ASSERT(store->open);
  store->kv->ops->abort(store->kv);
  roll_back(store);
}

bool da_store_dirty(const da_store *store)
{
  return store->dirty;
}

static bool counters_moved(const da_store *store)
{
  return store->counters.next_root != store->saved.next_root || store->counters.next_seq != store->saved.next_seq ||
         store->counters.anchors != store->saved.anchors || store->counters.words != store->saved.words ||
         store->counters.newest_ms != store->saved.newest_ms;
}

static da_status commit_now(da_store *store, da_err *err)
{
  int status = counters_moved(store) ? put_counters(store) : DA_OK;
  if (status == DA_OK && store->fail_nth > 0 && --store->fail_nth == 0)
    status =
        da_store_fail(store, store->fail_status, "a commit was made to fail: %s", da_status_text(store->fail_status));
  if (status == DA_OK) return store->kv->ops->commit(store->kv, err);
  store->kv->ops->abort(store->kv);
  return da_store_words_to(store, status, err);
}

da_status da_store_commit(da_store *store, da_err *err)
{
  DA_ASSERT(store->open);
  if (!store->dirty) {
    da_store_abort(store);
    return DA_OK;
  }
  da_status status = commit_now(store, err);
  if (status != DA_OK) {
    roll_back(store);
    return status;
  }
  store->saved = store->counters;
  store->open = false;
  store->dirty = false;
  return DA_OK;
}

void da_store_fail_commit(da_store *store, int nth, da_status status)
{
  store->fail_nth = nth;
  store->fail_status = status;
}

da_status da_store_enter(da_store *store, da_visit *visit, da_err *err)
{
  visit->own = !store->open;
  return visit->own ? da_store_begin(store, err) : DA_OK;
}

void da_store_leave(da_store *store, da_visit *visit)
{
  if (visit->own) da_store_abort(store);
}

da_status da_store_backup(da_store *store, const char *path, da_err *err)
{
  da_status status = make_directory(path, err);
  return status == DA_OK ? store->kv->ops->backup(store->kv, path, err) : status;
}

/* ---- counters ------------------------------------------------------------------------------------------ */

uint64_t da_store_seq(const da_store *store)
{
  return store->counters.next_seq;
}

/* Written by the commit, once, if the transaction has written anything at all: a number nobody has seen need not be
 * kept. */
da_status da_store_set_seq(da_store *store, uint64_t next_seq, da_err *err)
{
  DA_ASSERT(store->open);
  if (next_seq < store->counters.next_seq)
    return da_fail(err, DA_EINVAL, "settle_seq would go back from %llu to %llu",
                   (unsigned long long)store->counters.next_seq, (unsigned long long)next_seq);
  store->counters.next_seq = next_seq;
  return DA_OK;
}

int64_t da_store_newest(const da_store *store)
{
  return (int64_t)store->counters.newest_ms;
}

void da_store_set_newest(da_store *store, int64_t now_ms)
{
  DA_ASSERT(store->open);
  if (now_ms > da_store_newest(store)) store->counters.newest_ms = (uint64_t)now_ms;
}

void da_store_secret(const da_store *store, uint8_t out[16])
{
  memcpy(out, store->secret, sizeof store->secret);
}

/* ---- bundles ------------------------------------------------------------------------------------------- */

static da_slice hash_slice(const da_digest *hash)
{
  return da_slice_make((const char *)hash->bytes, sizeof hash->bytes);
}

static int bundle_get(da_store *store, const da_digest *hash, da_arena *arena, da_slice *out)
{
  da_slice row;
  da_slice inside;
  size_t len;
  da_key owner;
  int there = da_rows_get(store, DA_KV_BUNDLE, hash_slice(hash), &row);
  if (there <= 0) return there;
  da_status status = da_codec_bundle_get(row, &len, &inside);
  if (status != DA_OK) return da_store_bad_row(store, DA_KV_BUNDLE, hash_slice(hash), status);
  if (!da_codec_in_blob(len)) {
    *out = da_arena_dup(arena, inside);
    return 1;
  }
  char *bytes = da_arena_alloc(arena, len);
  *out = da_slice_make(bytes, len);
  da_key_bundle_owner(&owner, hash);
  return da_blob_get(store, da_key_slice(&owner), DA_BLOB_BUNDLE, len, bytes);
}

int da_store_bundle_get(da_store *store, const da_digest *hash, da_arena *arena, da_slice *out)
{
  da_visit inside;
  da_status status = da_store_enter(store, &inside, &store->fault);
  if (status != DA_OK) return status;
  int there = bundle_get(store, hash, arena, out);
  da_store_leave(store, &inside);
  return there;
}

static int bundle_put(da_store *store, const da_digest *hash, da_slice bytes)
{
  da_key owner;
  da_buf_clear(&store->record);
  da_codec_bundle_put(&store->record, bytes);
  int status = da_rows_put(store, DA_KV_BUNDLE, hash_slice(hash), da_buf_slice(&store->record));
  if (status != DA_OK || !da_codec_in_blob(bytes.len)) return status;
  da_key_bundle_owner(&owner, hash);
  return da_blob_put(store, da_key_slice(&owner), DA_BLOB_BUNDLE, bytes);
}

da_status da_store_bundle_put(da_store *store, const da_digest *hash, da_slice bytes, da_err *err)
{
  DA_ASSERT(store->open);
  if (store->read_only) return da_fail(err, DA_EACCES, "%s is open for reading only", store->path);
  da_arena arena = {0};
  da_slice old;
  int status = bundle_get(store, hash, &arena, &old);
  if (status > 0 && !da_slice_eq(old, bytes))
    status = da_store_fail(store, DA_ECORRUPT, "two bundles with one content hash");
  else if (status == 0)
    status = bundle_put(store, hash, bytes);
  da_arena_free(&arena);
  return status < 0 ? da_store_words_to(store, status, err) : DA_OK;
}

/* ---- counts -------------------------------------------------------------------------------------------- */

/* Adds to *rows. */
static int count_rows(da_store *store, da_kv_table table, uint64_t *rows)
{
  uint64_t here;
  int status = store->kv->ops->count(store->kv, table, &here);
  if (status < 0) return da_store_fail(store, status, "cannot count table %s", da_kv_name(table));
  *rows += here;
  return DA_OK;
}

static int count_all(da_store *store, da_store_stats *out)
{
  const struct {
    da_kv_table table;
    uint64_t *rows;
  } counts[] = {{DA_KV_ROOT, &out->promises},  {DA_KV_PROM, &out->promises},  {DA_KV_TASK, &out->tasks},
                {DA_KV_DUE, &out->dues},       {DA_KV_TIMER, &out->dues},     {DA_KV_CALLBACK, &out->waits},
                {DA_KV_AWAIT, &out->waits},    {DA_KV_WAIT, &out->waits},     {DA_KV_OUT, &out->outs},
                {DA_KV_BUNDLE, &out->bundles}, {DA_KV_SCHED, &out->schedules}};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    int status = count_rows(store, counts[i].table, counts[i].rows);
    if (status != DA_OK) return status;
  }
  out->promises -= store->counters.anchors;
  return DA_OK;
}

da_status da_store_stat(da_store *store, da_store_stats *out, da_err *err)
{
  da_visit inside;
  *out = (da_store_stats){.rows_read = store->rows_read};
  da_status status = da_store_enter(store, &inside, err);
  if (status != DA_OK) return status;
  int counted = count_all(store, out);
  out->file_bytes = store->kv->ops->file_bytes(store->kv);
  da_store_leave(store, &inside);
  return counted == DA_OK ? DA_OK : da_store_words_to(store, counted, err);
}
