/* rows.h - the inside of a store: what its files share. Nobody outside host/store includes this.
 *
 * store.c   open, close, transactions, counters, bundles   root.c   numbers of roots, both ways
 * rows.c    a write of the engine as puts and deletes      view.c   what the engine reads
 * wait.c    who waits for whom, both                       words.c  texts that records share
 * subtree.c what lies below an id, for a replay            search.c all ids in their order
 * drop.c    a promise that nobody needs any more
 * lock.c    one process per directory                      verify.c every row against every other
 * live.c    what executions publish                       image.c  images of isolates
 * tail.c    what lies behind an image                  image_key.c the key of images
 * queue.c   queues and what is in them
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_STORE_ROWS_H
#define DA_STORE_ROWS_H

#include "codec.h"
#include "key.h"
#include "kv.h"

typedef struct da_roots da_roots;
typedef struct da_claim da_claim;

struct da_store {
  da_view view; /* first: a view is its store */
  da_kv *kv;
  da_roots *roots;
  da_words *words;
  char *path; /* NULL in memory */
  int lock_fd;
  bool died;       /* the process that had the store before, and nobody has dealt with it yet */
  da_claim *claim; /* NULL in memory */
  bool read_only;
  bool open;            /* a transaction is */
  bool dirty;           /* and has written */
  bool images;          /* there may be rows in `image` */
  da_counters counters; /* as the open transaction sees them */
  da_counters saved;    /* as they were committed */
  uint8_t secret[16];
  uint64_t seed; /* of the hashes in keys */
  da_buf record; /* the one being encoded */
  uint64_t rows_read;
  int fail_nth;
  da_status fail_status;
  da_err fault;                 /* words of the last failed read */
  da_store_damaged *on_damaged; /* NULL: a scan ends with the first damaged row */
  void *on_damaged_user;
  da_err skipped; /* of the last row that was passed over; empty: none was */
};

/* Keeps the words for da_store_fault_words() and returns status. */
int da_store_fail(da_store *store, int status, const char *format, ...) DA_PRINTF(3, 4);
/* The words of a decoder's refusal of a row. */
int da_store_bad_row(da_store *store, da_kv_table table, da_slice key, da_status status);

/* The maps, with failures put into words, rows counted and writes noted. */
int da_rows_get(da_store *store, da_kv_table table, da_slice key, da_slice *value);
int da_rows_seek(da_store *store, da_kv_table table, da_slice key, da_slice *found, da_slice *value);
int da_rows_next(da_store *store, da_kv_table table, da_slice *found, da_slice *value);
int da_rows_put(da_store *store, da_kv_table table, da_slice key, da_slice value);
int da_rows_del(da_store *store, da_kv_table table, da_slice key);

/* Outside a transaction, the calls that only read run inside one of their own: enter, work, leave. */
typedef struct da_visit {
  bool own;
} da_visit;
da_status DA_MUST_USE da_store_enter(da_store *store, da_visit *visit, da_err *err);
void da_store_leave(da_store *store, da_visit *visit);
/* Copies the words of the last failed read into err. */
da_status da_store_words_to(da_store *store, int status, da_err *err);

/* ---- root.c -------------------------------------------------------------------------------------------- */

da_roots *da_roots_new(void);
void da_roots_delete(da_roots *roots);
void da_roots_forget(da_roots *roots); /* after an abort: numbers it handed out were never given */
/* The number of a root: 1, 0 if it has none, or negative. */
int da_root_find(da_store *store, da_slice text, uint64_t *number);
/* The same, handing one out if it has none. Then the row of `prom` that keeps its text is an anchor, or, if `owned` is
 * given, to be written by the caller: *owned says so. */
int da_root_give(da_store *store, da_slice text, uint64_t *number, bool *owned);
/* The text of a root, borrowed until the next call of this file. A number without a text is DA_ECORRUPT. */
int da_root_text(da_store *store, uint64_t number, da_slice *text);

/* ---- rows.c -------------------------------------------------------------------------------------------- */

/* The map that holds the promise of an id with this rest (keyed or not). */
static inline da_kv_table da_rows_table(da_slice rest)
{
  return rest.len == 0 ? DA_KV_ROOT : DA_KV_PROM;
}
static inline da_kv_table da_rows_due_table(da_due_class class_)
{
  return class_ == DA_DUE_DEADLINE ? DA_KV_DUE : DA_KV_TIMER;
}
/* The key of an id in the map of its promise: 1, or 0 if its root has no number. */
int da_rows_id_key(da_store *store, da_slice id, da_key *key);
/* Puts `bytes` as pieces behind owner; rows that already hold the same are left alone. */
int da_blob_put(da_store *store, da_slice owner, uint8_t which, da_slice bytes);
int da_blob_get(da_store *store, da_slice owner, uint8_t which, size_t len, char *to);
int da_blob_cut(da_store *store, da_slice owner, uint8_t which, size_t from_piece, size_t count);
static inline size_t da_blob_pieces(size_t len)
{
  return (len + DA_BLOB_PIECE - 1) / DA_BLOB_PIECE;
}

/* Finds the root of an id, handing out a number only for a put: 1, 0 (a delete of what cannot be there), negative. */
int da_rows_root_for(da_store *store, da_slice id, bool del, uint64_t *root);
/* The rest of an id if its key is a hash, else empty. */
da_slice da_rows_long_text(da_slice id);
/* Puts store->record under key, or deletes the key. */
int da_rows_put_or_del(da_store *store, da_kv_table table, const da_key *key, bool del);

/* ---- wait.c -------------------------------------------------------------------------------------------- */

int da_wait_write(da_store *store, const da_wait *wait, bool del);
int da_wait_has(da_view *view, const da_wait *wait);
int da_wait_next(da_view *view, const da_wait *after, da_arena *arena, da_wait *out);
/* What the value of a wait's row holds: the text of its first id if that is long, then the text of its second if that
 * is long, or the address. False if it is not so. */
bool da_wait_value_get(const da_wait_key *key, da_slice value, da_slice *first_text, da_slice *second_text);

/* ---- live.c -------------------------------------------------------------------------------------------- */

int da_live_is(da_view *view, da_slice id, da_slice name, da_slice value);
int da_live_drop(da_store *store, da_slice id); /* all that an execution published */

/* ---- image.c ------------------------------------------------------------------------------------------- */

int da_image_any(da_store *store); /* sets store->images */
int da_image_drop(da_store *store, da_slice id);
/* What the row under the key of a head says; 0: it is damaged. */
size_t da_image_len(const da_store *store, const da_key *key, da_slice head);

/* ---- queue.c ------------------------------------------------------------------------------------------- */

int da_queue_write(da_store *store, const da_queue *queue, bool del);
int da_queue_row_write(da_store *store, const da_queue_row *row, bool del);
int da_queue_get(da_view *view, da_slice name, da_arena *arena, da_queue *out);
int da_queue_next(da_view *view, const da_queue_row *after, da_arena *arena, da_queue_row *out);
int da_queue_hold(da_view *view, da_slice owner, da_slice id, da_arena *arena, da_queue_row *out);

/* ---- view.c -------------------------------------------------------------------------------------------- */

extern const da_view_ops da_store_view_ops;

/* A row of `root` or `prom`. */
typedef struct da_prom_row {
  da_slice key; /* borrowed from the map, as the next two */
  da_slice value;
  da_id_key id;
  da_promise_head head;
} da_prom_row;

/* Makes out of what a seek gave. 1, or negative. */
int da_prom_row_open(da_store *store, da_slice key, da_slice value, da_prom_row *out);
/* The whole id of a row, in arena. The row must not be an anchor. */
int da_prom_row_id(da_store *store, const da_prom_row *row, da_arena *arena, da_slice *id);
/* The promise of a row, copied into arena. `id` must live as long as the arena. */
int da_prom_row_load(da_store *store, const da_prom_row *row, da_slice id, da_arena *arena, da_promise *out);
/* The same without the values that lie in `blob`. */
int da_prom_row_load_head(da_store *store, const da_prom_row *row, da_slice id, da_arena *arena, da_promise *out);
/* Seeks the first row at `key`, or behind it if `behind` and it is there. */
int da_view_seek(da_store *store, da_kv_table table, const da_key *key, bool behind, da_slice *found, da_slice *value);
/* The whole text of an id out of a key; long_text is the rest of a long one, as the row's value holds it. */
int da_id_of_key(da_store *store, const da_id_key *key, da_slice long_text, da_arena *arena, da_slice *id);

/* ---- search.c ------------------------------------------------------------------------------------------ */

int da_store_walk(da_view *view, da_walk *walk);

/* ---- lock.c -------------------------------------------------------------------------------------------- */

/* Takes the lock of a directory: a descriptor, or DA_EBUSY with the holder named. */
/* *died: the one before did not end in peace, and nobody has dealt with it yet. */
da_status DA_MUST_USE da_lock_take(const char *path, int *fd, bool *died, da_err *err);
void da_lock_mark_ended(int fd);
/* died: that is still to be dealt with. */
void da_lock_release(int fd, bool died);
/* Notes that this process has the directory open, also for reading only: DA_EBUSY if it has already. */
da_status DA_MUST_USE da_lock_claim(const char *path, da_claim **out, da_err *err);
void da_lock_unclaim(da_claim *claim);

/* ---- guard.c ------------------------------------------------------------------------------------------- */

/* Between these two a fault of this thread's memory is damage of the store at `path` (kept until then) and ends the
 * process with words. Entering twice is entering once. */
void da_guard_enter(const char *path);
void da_guard_leave(void);
/* The same end, for damage that was seen before it was a fault. Returns if the thread is not inside. */
void da_guard_damaged(void);

#endif
