/* codec.h - records as bytes: one versioned binary form per kind of row.
 *
 * Here:     encoding into a buffer, decoding of arbitrary bytes: bounded, never past the end, whatever they are.
 * May not:  read a store; know what a state means.
 * Form:     first byte: kind of record (high four bits) and its version (low four bits), so that a row in the wrong
 *           table is as recognisable as one of another version. Numbers are those of key.h. Payload is opaque.
 * Small:    a record does not repeat its key. Its id is there only where the key has none (roots) or a cut one (long
 *           ids). Instants are distances from the creation; the tags of the protocol with their usual values (own id,
 *           root, parent, "local"...) take one byte; names that recur are numbers of a dictionary (words.h); a value
 *           over DA_BLOB_MIN leaves only its length.
 *
 *   promise   kind+version | state, flags | flags of param, value | [text] | [blob lengths] | created
 *             | [timeout - created] | [settled - created, settle_seq] | [tags] | param | value | [call]
 *   anchor    kind+version | text of the root. Holds the place of a root promise that does not exist.
 *   task      kind+version | state, flags | version | [resumes] | [ttl] | [timer] | [pid] | [text]
 *   out       kind+version | version of the task (execute), when it was made (unblock; not in version 1) | address
 *             | [text]
 *   schedule  kind+version | flags | flags of param | created | [next - created] | [last - created] | cron
 *             | [zone, its bytes] | template | time-out | [tags] | param | [call]
 *   bundle    kind+version | length | bytes, unless they are in `blob`
 *   queue     kind+version | kind | limit | window | next number | tokens | places | held | due | recent | name
 *   queue row kind+version | kind of row | token: flags of value, instant, value; place: owner, id;
 *             hold: state, number, name, owner, id
 *   counters  kind+version | next root number | next settle_seq | anchors | words | clock of the last commit
 *   [text]    root text of a root, whole rest of a long id
 *
 * To change a form: a new version number, a reader for the old one, both in spec/store/codec_spec.lua.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_STORE_CODEC_H
#define DA_STORE_CODEC_H

#include "../base/limits.h"
#include "../engine/record.h"
#include "words.h"

/* Decoders return DA_OK, DA_EVERSION (the version of this kind is not known) or DA_ECORRUPT. */

/* ---- promises and anchors ------------------------------------------------------------------------------ */

/* What can be told of a row of `root` or `prom` without decoding it whole. */
typedef struct da_promise_head {
  bool anchor;
  bool has_text;
  da_slice text;      /* borrowed from the record */
  size_t param_bytes; /* lengths of the data that lie in `blob`, else 0 */
  size_t value_bytes;
} da_promise_head;

/* `text` is the root of a root promise, the whole rest of a long id, else empty. words may be NULL: nothing is shared
 * then; given, it may grow. */
void da_codec_promise_put(da_buf *out, const da_promise *promise, da_slice text, da_words *words);
void da_codec_anchor_put(da_buf *out, da_slice root);
da_status DA_MUST_USE da_codec_promise_head(da_slice record, da_promise_head *out);
/* Everything in *out is borrowed from record and id, or lies in arena. Data in `blob` has its length and no bytes. */
da_status DA_MUST_USE da_codec_promise_get(da_slice record, da_slice id, const da_words *words, da_arena *arena,
                                           da_promise *out);

/* Do the bytes of a value of this length lie in `blob`? */
static inline bool da_codec_in_blob(size_t len)
{
  return len > DA_BLOB_MIN;
}

/* ---- the others ---------------------------------------------------------------------------------------- */

void da_codec_task_put(da_buf *out, const da_task *task, da_slice text);
/* out->id is left empty; pid borrowed from record or in arena; text as above, borrowed. */
da_status DA_MUST_USE da_codec_task_get(da_slice record, da_arena *arena, da_task *out, da_slice *text);

void da_codec_out_put(da_buf *out, const da_message *message, da_slice text);
/* kind is that of the key; out->id is left empty. */
da_status DA_MUST_USE da_codec_out_get(da_slice record, da_message_kind kind, da_message *out, da_slice *text);

void da_codec_schedule_put(da_buf *out, const da_schedule *schedule, da_words *words);
/* As da_codec_promise_get(). */
da_status DA_MUST_USE da_codec_schedule_get(da_slice record, da_slice id, const da_words *words, da_arena *arena,
                                            da_schedule *out);

/* name is borrowed from the record. */
void da_codec_queue_put(da_buf *out, const da_queue *queue);
da_status DA_MUST_USE da_codec_queue_get(da_slice record, da_queue *out);
/* What the key tells is left empty: of a token or a place the name and the number. Borrowed from the record; headers
 * lie in arena. */
void da_codec_queue_row_put(da_buf *out, const da_queue_row *row);
da_status DA_MUST_USE da_codec_queue_row_get(da_slice record, da_arena *arena, da_queue_row *out);

/* inline_ is DA_NONE when the bytes lie in `blob`. */
void da_codec_bundle_put(da_buf *out, da_slice bytes);
da_status DA_MUST_USE da_codec_bundle_get(da_slice record, size_t *len, da_slice *inline_);

/* The counters a store keeps in `meta`. */
typedef struct da_counters {
  uint64_t next_root; /* from 1 */
  uint64_t next_seq;  /* from 1 */
  uint64_t anchors;   /* rows of `root` that are no promise */
  uint64_t words;     /* of the dictionary */
  uint64_t newest_ms; /* the clock of the last commit */
} da_counters;

void da_codec_counters_put(da_buf *out, const da_counters *counters);
da_status DA_MUST_USE da_codec_counters_get(da_slice record, da_counters *out);

#endif
