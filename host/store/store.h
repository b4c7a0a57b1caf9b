/* store.h - durable records behind one small contract.
 *
 * Here:     the view the engine reads, the rows it is told to write, the commit that makes them true.
 * May:      block on disk inside da_store_commit() and da_store_open(), nowhere else.
 * May not:  know what a promise means or decide anything; call engine functions, sched, net or vm.
 * Threads:  one at a time; a write transaction belongs to the thread that began it (LMDB).
 * Two kinds: LMDB (store_lmdb.c, the only file that sees lmdb.h) and memory (store_mem.c: same contract, same keys
 *           and codecs). Both are ordered maps of byte strings (kv.h); everything else is shared (rows.h).
 * To add a table: its name in the X-list of kv.h, its key in key.c, its codec pair in codec.c, cases in spec/store.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_STORE_STORE_H
#define DA_STORE_STORE_H

#include "../base/table.h"
#include "../engine/effect.h"
#include "../engine/view.h"

typedef struct da_store da_store;

typedef struct da_store_options {
  size_t map_size; /* bytes of address space; 0: 64 GiB (DAHOST_MAP_SIZE overrides; valgrind needs 1 GiB) */
  bool read_only;  /* tools: no lock taken, nothing written */
  bool create;     /* make the directory and the files when absent */
} da_store_options;

/* Opens the store in directory `path`. Takes the lock of the directory unless read_only; DA_EBUSY names the holder. An
 * unknown format version is DA_EVERSION and nothing is touched. The caller owns *out and ends it with
 * da_store_close(). */
da_status DA_MUST_USE da_store_open(const char *path, const da_store_options *options, da_store **out, da_err *err);
/* The twin in memory. */
da_store *da_store_open_memory(void);
void da_store_close(da_store *store);

/* Did the process that had the store before end without da_store_close() or da_store_ended()? Kept from process to
 * process until one says that it has dealt with it. */
bool da_store_after_death(const da_store *store);
void da_store_death_known(da_store *store);
/* In place of da_store_close() by a process that is about to exit with the store open. */
void da_store_ended(da_store *store);

/* Process id that holds the lock of `path`, or 0. */
int64_t da_store_holder(const char *path);

/* One write transaction at a time. After DA_OK the view is valid until commit or abort. */
da_status DA_MUST_USE da_store_begin(da_store *store, da_err *err);
da_view *da_store_view(da_store *store);
/* Applies one write of the engine to the open transaction. */
da_status DA_MUST_USE da_store_write(da_store *store, const da_write *write, da_err *err);
/* Flushes. DA_EFULL: nothing was written, the transaction is gone, the store goes on. Any other failure: the caller
 * must end the process without answering (a failed flush may have lost pages; never try again). A transaction
 * without writes ends without a flush. */
da_status DA_MUST_USE da_store_commit(da_store *store, da_err *err);
void da_store_abort(da_store *store);
bool da_store_dirty(const da_store *store); /* has the open transaction written anything? */

/* The next settle_seq to give. Kept by the store: the engine's env.next_seq is taken from here at the begin of a
 * transaction and handed back before the commit. */
uint64_t da_store_seq(const da_store *store);
da_status DA_MUST_USE da_store_set_seq(da_store *store, uint64_t next_seq, da_err *err);

/* The clock of the last commit that wrote anything: where the clock of the next process begins, should the machine's
 * lie behind. Set in every transaction, kept by its commit. */
int64_t da_store_newest(const da_store *store);
void da_store_set_newest(da_store *store, int64_t now_ms);

/* Bundles: content hash -> bytes. A second put of the same hash with other bytes is DA_ECORRUPT. */
da_status DA_MUST_USE da_store_bundle_put(da_store *store, const da_digest *hash, da_slice bytes, da_err *err);
int da_store_bundle_get(da_store *store, const da_digest *hash, da_arena *arena, da_slice *out);

/* What an execution publishes of its state while it runs: one value per key, beside its records and no part of them.
 * Opaque here. Kept as long as its promise. A value without data (ptr NULL) takes the key away. What is stored already
 * is not written again. The id has a promise; key and value are within DA_LIVE_KEY_MAX and DA_LIVE_VALUE_MAX. */
da_status DA_MUST_USE da_store_live_put(da_store *store, da_slice id, da_slice key, da_slice value, da_err *err);
/* The values of one execution by key. What is handed out is borrowed until visit returns; it must not write. */
typedef void da_store_live_visit(void *user, da_slice key, da_slice value);
da_status DA_MUST_USE da_store_live_scan(da_store *store, da_slice id, da_store_live_visit *visit, void *user,
                                         da_err *err);

/* The image of a suspended isolate: opaque bytes, beside the records and no part of them; see image.c for `reach`, the
 * number of calls that the execution may have made since it began. A put replaces the one before, and the greater reach
 * stays. Dropped when the task of the execution is fulfilled. The id has a promise. */
enum { DA_STORE_IMAGE_MAX = 64 << 20 };
da_status DA_MUST_USE da_store_image_put(da_store *store, da_slice id, da_slice bytes, uint64_t reach, da_err *err);
da_status DA_MUST_USE da_store_image_reach(da_store *store, da_slice id, uint64_t reach,
                                           da_err *err); /* if there is one */
da_status DA_MUST_USE da_store_image_drop(da_store *store, da_slice id, da_err *err);
/* 1, 0, or negative; DA_ECORRUPT: it is not whole. */
int da_store_image_get(da_store *store, da_slice id, da_arena *arena, da_slice *bytes, uint64_t *reach);

/* The key of this store's images, which lies beside its files, readable by its owner alone; made if need be. A store in
 * memory has a new one each time. False: there is none, and the log says why. */
enum { DA_STORE_IMAGE_KEY = 32 };
bool da_store_image_key(const da_store *store, uint8_t key[DA_STORE_IMAGE_KEY]);

/* What an execution recorded behind its image: `names` of the calls of each scope that was alive then with how many
 * were made, and the ids of the calls whose number does not tell (with{key=}) that the image knows. */
typedef struct da_tail_name {
  da_slice name; /* as it stands in ids: escaped */
  uint64_t count;
} da_tail_name;
typedef struct da_tail_scope {
  da_slice id;
  const da_tail_name *names;
  size_t name_count;
} da_tail_scope;
typedef struct da_tail {
  const da_tail_scope *scopes;
  size_t scope_count;
  const da_table *known; /* ids */
  uint64_t calls;        /* at most so many were made since */
} da_tail;

/* A secret of this store, made at creation from the system's random source: 16 bytes (hash seeds, boot ids). */
void da_store_secret(const da_store *store, uint8_t out[16]);

/* The records an execution needs for a replay: every promise whose id lies below `ancestor`, in key order, but the
 * descendants of a promise that has its own task (tag resonate:target) are jumped over (not read). Key order is byte
 * order, but for ids keyed by a hash (limits.h). Ids joined with '.' to a root without ':' are roots themselves and not
 * part of it. visit may stop the scan by returning false, and must not call the store. The promise handed to it lives
 * in arena. */
typedef bool da_store_visit(void *user, const da_promise *promise);
da_status DA_MUST_USE da_store_scan_execution(da_store *store, da_slice ancestor, da_arena *arena,
                                              da_store_visit *visit, void *user, da_err *err);
/* The same of what lies behind an image, in an order that tells nothing. */
da_status DA_MUST_USE da_store_scan_tail(da_store *store, const da_tail *tail, da_arena *arena, da_store_visit *visit,
                                         void *user, da_err *err);
/* All promises, or those below `prefix` (a root id, or an id) with itself, in true byte order of their ids, behind
 * `after` (empty: from the start). */
da_status DA_MUST_USE da_store_scan_ids(da_store *store, da_slice prefix, da_slice after, da_arena *arena,
                                        da_store_visit *visit, void *user, da_err *err);

/* Drops the promise `id` with its values and its task. For what nothing refers to any more, which is the caller's to
 * know: a settled record that no row of a wait, of a deadline or of the outbox names. An absent one is none. Roots
 * stay: their rows keep the numbers of their texts. */
da_status DA_MUST_USE da_store_drop(da_store *store, da_slice id, da_err *err);

/* All of it, in arena; for tests, which hold little. In an open transaction. */
da_status DA_MUST_USE da_store_snapshot(da_store *store, da_arena *arena, da_snapshot *out, da_err *err);
/* Deletes all of it but bundles, the secret and what numbers were given. In an open transaction; row by row. */
da_status DA_MUST_USE da_store_reset(da_store *store, da_err *err);

/* All queues, in no order that means anything. visit as above; it may not read the store. */
typedef bool da_store_queue_visit(void *user, const da_queue *queue);
da_status DA_MUST_USE da_store_scan_queues(da_store *store, da_arena *arena, da_store_queue_visit *visit, void *user,
                                           da_err *err);
/* What executions hold of all queues. */
typedef bool da_store_hold_visit(void *user, const da_queue_row *hold);
da_status DA_MUST_USE da_store_scan_holds(da_store *store, da_arena *arena, da_store_hold_visit *visit, void *user,
                                          da_err *err);

/* From now on da_store_scan_ids() passes over damaged rows and tells them: of whose lineage they are (a root id,
 * borrowed until it returns), and the words. NULL: it fails at the first one, as all other scans do. */
typedef void da_store_damaged(void *user, da_slice root, const char *words);
void da_store_on_damaged(da_store *store, da_store_damaged *fn, void *user);

/* The words of the last read that failed (the reads of a view have no da_err). Borrowed until the next failure. */
const char *da_store_fault_words(const da_store *store);

/* Words of a row of what falls due that no key can be read of, and that was passed over since the last call; or NULL.
 */
const char *da_store_skipped(da_store *store);

/* Faults on demand, for specs: fail the nth commit from now (1: the next) with `status`; 0 turns it off. */
void da_store_fail_commit(da_store *store, int nth, da_status status);

/* Copies what is committed into the directory `path`, made if need be, as a store of its own without free pages. While
 * it runs the pages of that state cannot be used again, so that a busy store's file grows. Not in memory. */
da_status DA_MUST_USE da_store_backup(da_store *store, const char *path, da_err *err);

typedef struct da_store_stats {
  uint64_t promises;
  uint64_t tasks;
  uint64_t waits;
  uint64_t dues;
  uint64_t outs;
  uint64_t bundles;
  uint64_t schedules;
  uint64_t file_bytes; /* of the file as far as it was ever used; 0 in memory */
  uint64_t rows_read;  /* since the store was opened, this call not counted: what a scan costs */
} da_store_stats;
da_status DA_MUST_USE da_store_stat(da_store *store, da_store_stats *out, da_err *err);

/* Reads every row of every table: keys and records decode, ids point both ways, blobs are whole, index rows name
 * records that ask for them. report is called once per fault; returns the number of faults or a negative status. */
typedef void da_store_fault(void *user, const char *what, da_slice id, const char *words);
int da_store_verify(da_store *store, da_store_fault *report, void *user, da_err *err);

#endif
