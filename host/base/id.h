/* id.h - the grammar of promise ids.
 *
 * A root id is chosen by a caller and holds no ':'. A descendant extends it: `root:name.1`, below that
 * `root:name.1.name.2`; a segment is `name.n` or `name=key`. Source: the Resonate protocol's lineage ids
 * (colon dialect); older peers join every segment with '.' (dot dialect), which the engine accepts.
 *
 * A worker of an older server has to write the dot dialect itself: `root.name.1`, where a root may hold ':' but no '.'.
 * That is a switch of the process, since an id tells nobody which dialect it is of. The store's rows are keyed by the
 * colon dialect's roots (store/key.h), so a process that opens a store never turns it.
 *
 * Threads:  any; da_id_set_dialect() before there is a second one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_ID_H
#define DA_BASE_ID_H

#include "arena.h"

typedef enum da_id_dialect { DA_ID_COLON, DA_ID_DOT } da_id_dialect;

/* What this process writes; the colon dialect until it is told otherwise. */
void da_id_set_dialect(da_id_dialect dialect);
da_id_dialect da_id_get_dialect(void);
/* The byte that ends a root, which therefore holds none: ':', in the dot dialect '.'. */
char da_id_root_end(void);
/* A server's words for not storing an id: do they say that it takes the other dialect than ours, and
 * which one? */
bool da_id_is_other_dialect(da_slice refusal, da_id_dialect *taken);
const char *da_id_dialect_name(da_id_dialect dialect); /* "colon", "dot" */

/* Text before the first ':', in the dot dialect '.', else the whole id. Borrowed from id. */
da_slice da_id_root(da_slice id);
/* Text from there on (the separator included), else empty. Borrowed from id. */
da_slice da_id_rest(da_slice id);
/* Does `id` lie strictly below `ancestor` (ancestor, a separator, more)? Either dialect. */
bool da_id_below(da_slice id, da_slice ancestor);
/* The separator that joins a child to `parent`: ':' for a root, '.' below; in the dot dialect always '.'. */
char da_id_separator(da_slice parent);
/* parent + separator + name + "." + n. */
da_slice da_id_child(da_arena *arena, da_slice parent, da_slice name, uint64_t n);
/* parent + separator + name + "=" + key. */
da_slice da_id_child_key(da_arena *arena, da_slice parent, da_slice name, da_slice key);
/* Appends `text` with '%', '.', ':', '=', control bytes and DEL as %XX. */
void da_id_escape(da_buf *out, da_slice text);
/* The root that an execution gets which outlives its caller, in place of the id below it: `order-7:mail.1` becomes
 * `order-7~mail.1`, `order-7.mail.1` of the dot dialect `order-7~mail~1`. */
da_slice da_id_detached(da_arena *arena, da_slice id);
/* NULL if the id may be stored, else the sentence that says why not (empty, NUL byte, too long). */
const char *da_id_fault(da_slice id);

/* What a process with a store calls itself as the holder of its tasks: "local/" and 16 digits that no other one has. */
void da_id_local_pid(char out[32]);

#endif
