/* config_file.h - the file of settings as text: a strict subset of TOML 1.0 (https://toml.io). Pure.
 *
 * Here:     comments, [sections], KEY = VALUE with a string on one line, a decimal integer, true or false, or an array
 *           of strings (over several lines, too). What is taken is TOML with the same meaning; what else TOML has
 *           (floats, dates, inline tables, quoted and dotted keys, strings over several lines) is refused by name.
 * May not:  know which keys there are.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_CONFIG_FILE_H
#define DA_CLI_CONFIG_FILE_H

#include "../base/arena.h"

typedef enum cli_file_type { CLI_FILE_TEXT, CLI_FILE_NUMBER, CLI_FILE_SWITCH, CLI_FILE_LIST } cli_file_type;

typedef struct cli_file_item {
  da_slice name; /* "server.port": section, dot, key */
  int line;
  cli_file_type type;
  da_slice text;
  int64_t number; /* of a switch: 0 or 1 */
  const da_slice *list;
  size_t count;
} cli_file_item;

/* Calls item() for each KEY = VALUE, in order; it may refuse by returning a failure. Texts lie in the arena; none holds
 * a NUL. On failure err reads "PATH:LINE: what is wrong". */
typedef da_status cli_file_taker(void *user, const cli_file_item *item, da_err *err);
da_status DA_MUST_USE cli_file_read(da_slice text, const char *path, da_arena *arena, cli_file_taker *item, void *user,
                                    da_err *err);

/* Appends s as a string of such a file; false, and nothing appended, if it is not UTF-8. */
bool cli_file_quote(da_buf *out, da_slice s);

#endif
