/* text.h - the text of scalars in JSON: numbers, UTF-8, base64. No Lua here.
 *
 * Here:     what encoder and decoder of Lua values must agree on, byte for byte.
 * May not:  know Lua, or allocate beyond the buffer it is given.
 * Threads:  any; no state. Numbers are written and read in the "C" locale, which the process never leaves.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_TEXT_H
#define DA_BASE_TEXT_H

#include "bytes.h"

/* Infinities on the wire, as the published TypeScript SDK writes them. */
#define DA_TEXT_INF "__INF__"
#define DA_TEXT_NEG_INF "__NEG_INF__"

enum {
  DA_TEXT_INT_MAX = 20,   /* "-9223372036854775808" */
  DA_TEXT_FLOAT_MAX = 32, /* "-1.7976931348623157e+308", and room for snprintf's NUL */
};

/* Both write at most the bytes above, without a NUL, and return how many. A float must be finite; its text is the
 * shortest of %.15g, %.16g, %.17g that reads back, with ".0" behind it when it would look like an integer. */
size_t da_text_int(char *out, int64_t value);
size_t da_text_float(char *out, double value);

/* The number that a JSON number token with '.' or an exponent spells, correctly rounded; false on overflow. */
bool da_text_read_float(da_slice token, double *out);
/* A decimal int64 without leading zeros, '+' or "-0"; false if it is not one. */
bool da_text_read_int(da_slice token, int64_t *out);

/* Bytes at the start of s that need no look: printable ASCII without '"' and '\\'. */
size_t da_text_plain(const char *s, size_t len);
/* Length (1 to 4) of the well-formed UTF-8 sequence at s, or 0. Surrogates and overlong forms are not well formed. */
size_t da_text_sequence(const char *s, size_t len);
bool da_text_utf8(da_slice s);
/* What a hexadecimal digit stands for, or -1. */
int da_text_hex(char c);
/* Appends one code point (below 0x110000) as UTF-8 at `out`; returns its length. */
size_t da_text_put_utf8(char *out, uint32_t point);

/* Appends s between quotes, escaped as ECMAScript's JSON.stringify does it. Returns false, with `out` as it was, when s
 * is not UTF-8. */
bool da_text_quote(da_buf *out, da_slice s);
/* The same for any bytes, each malformed one replaced by U+FFFD. */
void da_text_quote_lossy(da_buf *out, da_slice s);

void da_text_base64(da_buf *out, da_slice bytes);
/* Length of the bytes that the padded base64 text spells, or -1 if it is malformed in length or padding. */
ptrdiff_t da_text_base64_len(da_slice text);
/* Writes those bytes; false if the text holds a foreign byte or stray bits behind the last one. */
bool da_text_base64_read(da_slice text, char *out);

#endif
