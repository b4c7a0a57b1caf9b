/* id.h - the grammar of promise ids.
 *
 * A root id is chosen by a caller and holds no ':'. A descendant extends it: `root:name.1`, below that
 * `root:name.1.name.2`; a segment is `name.n` or `name=key`. Source: the Resonate protocol's lineage ids
 * (colon dialect); older peers join every segment with '.' (dot dialect), which the engine accepts.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_ID_H
#define DA_BASE_ID_H

#include "arena.h"

/* Text before the first ':', else the whole id. Borrowed from id. */
da_slice da_id_root(da_slice id);
/* Text from the first ':' on (the ':' included), else empty. Borrowed from id. */
da_slice da_id_rest(da_slice id);
/* Does `id` lie strictly below `ancestor` (ancestor, a separator, more)? Either dialect. */
bool da_id_below(da_slice id, da_slice ancestor);
/* The separator that joins a first child to `parent`: ':' for a root, '.' below. */
char da_id_separator(da_slice parent);
/* parent + separator + name + "." + n. */
da_slice da_id_child(da_arena *arena, da_slice parent, da_slice name, uint64_t n);
/* parent + separator + name + "=" + key. */
da_slice da_id_child_key(da_arena *arena, da_slice parent, da_slice name, da_slice key);
/* Appends `text` with '%', '.', ':', '=', control bytes and DEL as %XX. */
void da_id_escape(da_buf *out, da_slice text);
/* The root that an execution gets which outlives its caller, in place of the id below it: `order-7:mail.1` becomes
 * `order-7~mail.1`. */
da_slice da_id_detached(da_arena *arena, da_slice id);
/* NULL if the id may be stored, else the sentence that says why not (empty, NUL byte, too long). */
const char *da_id_fault(da_slice id);

#endif
