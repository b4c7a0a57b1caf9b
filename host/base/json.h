/* json.h - envelopes, configuration and command lines as JSON: cJSON behind a strict door.
 *
 * Here:     a check of text against RFC 8259 (cJSON alone takes "01", "1." and control bytes in strings), parsing,
 *           reading members, building and printing.
 * May not:  carry user values: cJSON knows no integers beyond 2^53. Those stay text (bindings have their codec) and
 *           travel as strings, or raw with da_json_put_raw().
 * Memory:   a parsed or built tree is the caller's, ended with cJSON_Delete(); slices point into the tree.
 * Threads:  any; one tree at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_JSON_H
#define DA_BASE_JSON_H

#include <cjson/cJSON.h>

#include "bytes.h"

/* Is text one JSON value, with nothing but white space around it, well-formed UTF-8, nested at most DA_DEPTH_MAX deep?
 * DA_EINVAL says where it is not. */
da_status DA_MUST_USE da_json_check(da_slice text, da_err *err);
/* NULL and err unless da_json_check() passes and no string holds \u0000, which cJSON cannot carry. */
cJSON *da_json_parse(da_slice text, da_err *err);

/* Members, by exact name. Absent, or of another type: NULL, DA_NONE, false. object may be NULL. */
const cJSON *da_json_get(const cJSON *object, const char *name);
da_slice da_json_text(const cJSON *object, const char *name);
bool da_json_flag(const cJSON *object, const char *name);
/* An integer within +-2^53. Returns false, with out as it was, if there is none. */
bool da_json_int(const cJSON *object, const char *name, int64_t *out);

cJSON *da_json_object(void);
cJSON *da_json_array(void);
void da_json_put(cJSON *object, const char *name, cJSON *given);
void da_json_add(cJSON *array, cJSON *given);
/* Malformed UTF-8 and NUL bytes become U+FFFD. */
cJSON *da_json_string(da_slice text);
void da_json_put_text(cJSON *object, const char *name, da_slice text);
void da_json_put_int(cJSON *object, const char *name, int64_t value); /* within +-2^53 */
void da_json_put_flag(cJSON *object, const char *name, bool value);
void da_json_put_raw(cJSON *object, const char *name, da_slice json); /* text that is JSON already */

void da_json_print(const cJSON *value, da_buf *out); /* appends, on one line */

#endif
