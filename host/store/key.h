/* key.h - ids, instants and addresses as ordered byte strings.
 *
 * Here:     the order-keeping variable-length number, the keyed form of an id, the key of every table.
 * May not:  read a store. A key that needs a root number is given it (root.c hands them out).
 * Numbers:  the leading one bits of the first byte say how many bytes follow; the rest is big-endian, and only the
 *           shortest form is a number. So bytes sort as numbers do, no number is the beginning of another, and a root
 *           among the first two million costs 3 bytes in every key that names it, not 8.
 * Rests:    an id behind its root is its own key up to DA_ID_REST_KEY_MAX bytes. A longer one is its first
 *           DA_ID_REST_KEY_HEAD bytes, a NUL (which no id holds, so that no short id can look the same) and a 16 byte
 *           hash; the row's value then holds the text. The hash is seeded with the store's secret: a client cannot
 *           search for two ids that meet.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_STORE_KEY_H
#define DA_STORE_KEY_H

#include "../base/limits.h"
#include "../engine/record.h"

enum {
  DA_VARINT_MAX = 9,
  DA_KEY_MAX = 511,                                   /* LMDB's own bound */
  DA_REST_LONG_LEN = DA_ID_REST_KEY_HEAD + 1 + 16,    /* keyed form of a long rest */
  DA_ID_KEY_MAX = DA_VARINT_MAX + DA_ID_REST_KEY_MAX, /* root number and keyed rest */
};

/* The longest key holds two ids, a kind, and the two bytes that end the first. */
_Static_assert(2 * DA_ID_KEY_MAX + 3 <= DA_KEY_MAX, "a key of two ids fits");
_Static_assert((int)DA_ID_ROOT_MAX <= (int)DA_KEY_MAX, "a root id is a key");
_Static_assert((int)DA_REST_LONG_LEN <= (int)DA_ID_REST_KEY_MAX, "a long rest has the shorter key");

typedef struct da_key {
  size_t len;
  uint8_t bytes[DA_KEY_MAX];
} da_key;

static inline da_slice da_key_slice(const da_key *key)
{
  return da_slice_make((const char *)key->bytes, key->len);
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

/* Writes 1 to DA_VARINT_MAX bytes; returns how many. */
size_t da_varint_put(uint8_t *to, uint64_t value);
/* Reads a number and steps *at behind it. False if it does not end before `end` or is not in its shortest form. */
bool da_varint_get(const uint8_t **at, const uint8_t *end, uint64_t *value);

/* ---- ids ----------------------------------------------------------------------------------------------- */

static inline bool da_rest_is_long(da_slice rest)
{
  return rest.len > DA_ID_REST_KEY_MAX;
}

/* An id as a key holds it: the number of its root, and its rest in keyed form. */
typedef struct da_id_key {
  uint64_t root; /* from 1; 0 stands for no id */
  da_slice rest; /* borrowed from the key */
  bool is_long;  /* rest is head, NUL, hash */
} da_id_key;

/* Appends. */
void da_key_add(da_key *key, const void *bytes, size_t len);
void da_key_add_byte(da_key *key, uint8_t byte);
void da_key_add_number(da_key *key, uint64_t number);
void da_key_add_rest(da_key *key, da_slice rest, uint64_t seed);

/* root | rest: the key of `root` (no rest), `prom` and `task`, the beginning of that of `blob`. */
void da_key_id(da_key *key, uint64_t root, da_slice rest, uint64_t seed);
bool da_key_id_get(da_slice key, da_id_key *out);

/* blob: root | rest | NUL | which u8 | piece u16. Pieces of bundles: 0 | hash | NUL | which | piece. */
enum { DA_BLOB_PARAM = 1, DA_BLOB_VALUE = 2, DA_BLOB_BUNDLE = 3 };
enum { DA_BLOB_TAIL = 4, DA_BLOB_PIECES_MAX = 65536 };
void da_key_blob(da_key *key, da_slice owner, uint8_t which, uint16_t piece);
bool da_key_blob_get(da_slice key, da_slice *owner, uint8_t *which, uint16_t *piece);
void da_key_bundle_owner(da_key *key, const da_digest *hash);

/* due (deadlines): at | root | rest. timer (the other classes): class u8 | at | root | rest. With root 0 the key ends
 * behind `at`: the place where the rows of an instant begin. */
void da_key_due(da_key *key, da_due_class class_, int64_t at, uint64_t root, da_slice rest, uint64_t seed);
bool da_key_due_get(da_slice key, bool in_timer, da_due_class *class_, int64_t *at, da_id_key *id);

/* In a key that goes on behind it, a rest ends with a NUL and a byte that says whether the hash of a long one follows;
 * so all rows whose first id begins with some text are neighbours. */
enum { DA_REST_ENDS = 1, DA_REST_HASH = 2 };

/* callback, await: root | rest, ended | second id, its root 0 if it is that of the first.
 * wait (resumes and listeners): kind u8 | root | rest, ended | second id as above, or the hash of an address. */
void da_key_wait_first(da_key *key, da_wait_kind kind, uint64_t root, da_slice rest, uint64_t seed);
void da_key_wait_second(da_key *key, uint64_t first_root, uint64_t root, da_slice rest, uint64_t seed);
void da_key_wait_address(da_key *key, da_slice address, uint64_t seed);
/* `kind` is the one of a row of callback or await; for a row of wait it is read, second is {0} for a
 * listener. Not to be moved: first may point into it. */
typedef struct da_wait_key {
  da_wait_kind kind;
  da_id_key first;
  da_id_key second;
  char long_first[DA_REST_LONG_LEN]; /* what first.rest points to if it is long */
} da_wait_key;
bool da_key_wait_get(da_slice key, bool in_wait, da_wait_kind kind, da_wait_key *out);

/* out: kind u8 | root | rest, ended | hash of the address (unblock only). */
typedef struct da_out_key {
  da_message_kind kind;
  da_id_key id;
  char long_id[DA_REST_LONG_LEN];
} da_out_key;
void da_key_out(da_key *key, da_message_kind kind, uint64_t root, da_slice rest, da_slice address, uint64_t seed);
bool da_key_out_get(da_slice key, da_out_key *out);

/* live: root | rest, ended | key. Without the key: what all rows of an execution begin with. image: the number of the
 * piece, u16, in place of the key; 0 is the head. */
void da_key_live(da_key *key, uint64_t root, da_slice rest, da_slice name, uint64_t seed);
typedef struct da_live_key {
  da_id_key id;
  da_slice name;
  char long_id[DA_REST_LONG_LEN];
} da_live_key;
bool da_key_live_get(da_slice key, da_live_key *out);

/* queue: kind u8 (0: the queue itself) | hash of its name, or of the owner of a hold; then of a token or a place its
 * number, of a hold the hash of its id. The texts are in the records. */
enum { DA_QUEUE_SELF = 0 };
void da_key_queue(da_key *key, unsigned kind, da_slice name, uint64_t seed);
void da_key_add_hash(da_key *key, da_slice text, uint64_t seed);
/* Is the hash that ends the key that of the text? */
bool da_key_ends_in_hash(da_slice key, da_slice text, uint64_t seed);
typedef struct da_queue_key {
  unsigned kind;
  da_slice first;  /* 16 bytes, borrowed, as `second` */
  da_slice second; /* of a hold */
  uint64_t seq;
} da_queue_key;
bool da_key_queue_get(da_slice key, da_queue_key *out);

/* The least key above every key that begins with `key`. False if there is none (all bytes 0xff). */
bool da_key_after_prefix(da_key *key);

#endif
