/* json_text.h - JSON text laid out anew, value by value as it came: no number is read, no string decoded.
 *
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_JSON_TEXT_H
#define DA_CLI_JSON_TEXT_H

#include "../base/bytes.h"

/* Appends text, which da_json_check() has passed, on one line without white space; pretty: a line for each member and
 * element, indented by two spaces. Control characters that JSON allows in strings (U+007F to U+009F) become escapes:
 * the same value, and harmless to a terminal. */
void cli_json_text(da_buf *out, da_slice text, bool pretty);

/* Each appends a member to the object that is being written, `out` beginning with its '{'. text: must be UTF-8, or
 * false is returned and nothing appended. json: text that is JSON already. */
bool cli_put_text(da_buf *out, const char *name, da_slice text);
bool cli_put_pair(da_buf *out, da_slice name, da_slice text); /* the same of a name that may be anything */
void cli_put_int(da_buf *out, const char *name, int64_t value);
void cli_put_json(da_buf *out, const char *name, da_slice json);

#endif
