/* history.h - what an execution recorded, with all below it, as one JSON document, and back.
 *
 * {"dahost_history":1,"id":ID,"records":[RECORD...]}, records in the order of their ids, one a line. A RECORD has id,
 * kind, state, created, and as far as there is one: function, ordinal, args (digest), file, line, bundle (digest),
 * generation, awaited_elsewhere, settled, seq (the store-wide order of settlements), timeout, tags, headers, $param and
 * $value. Times are ms since the epoch; members whose name begins with '$' are strings that hold JSON text, byte for
 * byte as it was recorded. Promises of other lineages are not part of it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_HISTORY_H
#define DA_CLI_HISTORY_H

#include "../store/store.h"

enum { CLI_HISTORY_VERSION = 1 };

/* Appends the document. In an open transaction. DA_ENOTFOUND: there is no such execution. */
da_status DA_MUST_USE cli_history_write(da_store *store, da_slice id, da_buf *out, da_err *err);

/* Appends a JSON array of the records of these kinds (1 << da_call_kind), of all executions. In an open transaction. */
da_status DA_MUST_USE cli_history_kinds(da_store *store, uint32_t kinds, da_buf *out, da_err *err);

typedef struct cli_history {
  da_slice id;
  da_promise *records; /* in the arena, as all of it */
  size_t count;
} cli_history;

/* DA_EINVAL: err says which record is at fault, and why; DA_EVERSION: a version that is not known. */
da_status DA_MUST_USE cli_history_read(da_slice text, da_arena *arena, cli_history *out, da_err *err);

#endif
