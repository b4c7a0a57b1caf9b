/* kv.h - what the rows need below them: ordered maps from byte strings to byte strings, under transactions.
 *
 * Two of them: LMDB (store_lmdb.c) and memory (store_mem.c). They know no row, no id, no record.
 * Reads return 1 (there), 0 (not there) or a negative da_status. Slices handed out are borrowed until the next write
 * of the same map, or the end of the transaction. Everything happens between begin and commit or abort.
 * Threads: that of the store.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_STORE_KV_H
#define DA_STORE_KV_H

#include "store.h"

/* Every table, with the name of its map; what lies where is in key.h. `meta` shares the map in which LMDB itself keeps
 * the other maps' roots: that page is written by every commit anyway, so that counters cost no page of their own.
 *
 * Tables are parted by where rows are added. LMDB packs pages full where it appends to the end of a map and leaves them
 * half empty everywhere else; so roots are not among steps, deadlines not among timers, and callbacks, awaits and the
 * rest are three maps. */
#define DA_KV_MAP(X)                                                                                \
  X(META, "meta")         /* format, secret, counters */                                            \
  X(WORD, "word")         /* number -> text that records share */                                   \
  X(IDS, "ids")           /* root text -> root number */                                            \
  X(ROOT, "root")         /* root number -> promise of the root, with its text */                   \
  X(PROM, "prom")         /* id -> promise below a root; an execution's steps are neighbours */     \
  X(BLOB, "blob")         /* id, piece -> bytes of a value too long for its record */               \
  X(TASK, "task")         /* id -> task */                                                          \
  X(DUE, "due")           /* instant, id -> nothing: deadlines of promises */                       \
  X(TIMER, "timer")       /* class, instant, id -> nothing: retries, leases, schedules, limiters */ \
  X(CALLBACK, "callback") /* awaited, awaiter -> nothing */                                         \
  X(AWAIT, "await")       /* awaiter, awaited -> nothing; not for what it awaits of its own */      \
  X(WAIT, "wait")         /* kind, id, id or address -> nothing, or the address */                  \
  X(OUT, "out")           /* kind, id, address -> message */                                        \
  X(SCHED, "sched")       /* id -> schedule */                                                      \
  X(LIVE, "live")         /* id, key -> value that the execution published */                       \
  X(QUEUE, "queue")       /* kind, name or owner, number or id -> queue, message, place, hold */    \
  X(BUNDLE, "bundle")     /* content hash -> script text */                                         \
  X(IMAGE, "image")       /* id, piece -> image of a suspended isolate (image.c) */                 \
  X(GC, "gc")             /* reserved: completed roots, oldest first */

typedef enum da_kv_table {
#define X(name, text) DA_KV_##name,
  DA_KV_MAP(X)
#undef X
      DA_KV_TABLES
} da_kv_table;

const char *da_kv_name(da_kv_table table);

/* The row of `meta` that says whose file this is; da_store_check_format() reads it. *older: it may lack tables. */
#define DA_KV_FORMAT_KEY DA_LIT("format")
da_status DA_MUST_USE da_store_check_format(const char *path, da_slice row, bool *older, da_err *err);

typedef struct da_kv da_kv;

typedef struct da_kv_ops {
  da_status (*begin)(da_kv *kv, da_err *err);
  /* Both end the transaction whatever they return. */
  da_status (*commit)(da_kv *kv, da_err *err);
  void (*abort)(da_kv *kv);
  int (*get)(da_kv *kv, da_kv_table table, da_slice key, da_slice *value);
  /* The first row at or behind key, and the one behind the row that the last seek or next on this table gave. Nothing
   * may be written to the table in between. */
  int (*seek)(da_kv *kv, da_kv_table table, da_slice key, da_slice *found, da_slice *value);
  int (*next)(da_kv *kv, da_kv_table table, da_slice *found, da_slice *value);
  da_status (*put)(da_kv *kv, da_kv_table table, da_slice key, da_slice value);
  /* Puts unless the key is taken: 1 put, 0 taken (*old is what it holds). */
  int (*insert)(da_kv *kv, da_kv_table table, da_slice key, da_slice value, da_slice *old);
  int (*del)(da_kv *kv, da_kv_table table, da_slice key); /* 1 deleted, 0 was not there */
  int (*count)(da_kv *kv, da_kv_table table, uint64_t *rows);
  uint64_t (*file_bytes)(da_kv *kv);
  da_status (*backup)(da_kv *kv, const char *path, da_err *err); /* what is committed, into an existing directory */
  const char *(*words)(da_kv *kv);                               /* of the last failure */
  void (*close)(da_kv *kv);
} da_kv_ops;

struct da_kv {
  const da_kv_ops *ops;
};

/* store_mem.c. Never fails. */
da_kv *da_kv_open_memory(void);
/* store_lmdb.c. *fresh: the tables were made by this call, in a transaction that is still open: what makes the file a
 * store is to be put into it and committed, so that there is never half a store. *older: its format is. The tables it
 * lacks are made; read only, they are empty. */
da_status DA_MUST_USE da_kv_open_lmdb(const char *path, const da_store_options *options, bool *fresh, bool *older,
                                      da_kv **out, da_err *err);

#endif
