/* envelope_parts.h - what the files that write and read the protocol's JSON share, on both of its sides.
 *
 * `name` is its own JSON, with the comma or bracket before it: ",\"id\":".
 * May not:  be included but by those files.
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_ENVELOPE_PARTS_H
#define DA_NET_ENVELOPE_PARTS_H

#include "envelope.h"

/* envelope_write.c */
void da_put(da_buf *out, const char *text);
void da_put_text(da_buf *out, const char *name, da_slice text);
void da_put_int(da_buf *out, const char *name, int64_t value);
void da_put_map(da_buf *out, const char *name, da_map map);
void da_put_value(da_buf *out, const char *name, const da_value *value);

/* envelope_read.c: `data` that is the base64 of JSON on one line, or of nothing, becomes that. False: it stays as it
 * is. */
bool da_envelope_decode(da_arena *arena, da_value *value);

#endif
