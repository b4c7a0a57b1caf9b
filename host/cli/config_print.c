/* config_print.c - settings as the file that would give them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "config_file.h"
#include "text.h"

enum { COLUMN = 40 }; /* where comments begin */

/* bind, port and metrics_port have become addresses; both in one file would contradict each other. */
static bool is_settled(int index)
{
  cli_flag_id flag = cli_setting_flag(index);
  return flag == CLI_BIND || flag == CLI_PORT || flag == CLI_METRICS_PORT;
}

/* False: it holds bytes that cannot stand in such a file. */
static bool add_value(da_buf *out, const cli_config_value *value, cli_setting_type type)
{
  switch (type) {
  case CLI_TYPE_TEXT:
  case CLI_TYPE_SECRET:
  case CLI_TYPE_WORD:
    return cli_file_quote(out, da_slice_of(value->text));
  case CLI_TYPE_NUMBER:
  case CLI_TYPE_BYTES:
  case CLI_TYPE_DURATION:
    da_buf_addf(out, "%lld", (long long)value->number);
    return true;
  case CLI_TYPE_SWITCH:
    da_buf_addf(out, value->number != 0 ? "true" : "false");
    return true;
  case CLI_TYPE_LIST:
    break;
  }
  da_buf_add_byte(out, '[');
  for (const char *const *item = value->list; *item != NULL; item++) {
    if (item != value->list) da_buf_addf(out, ", ");
    if (!cli_file_quote(out, da_slice_of(*item))) return false;
  }
  da_buf_add_byte(out, ']');
  return true;
}

/* A comment is one line of plain text, whatever a file's name holds. */
static void add_comment(da_buf *out, const char *text)
{
  size_t from = out->len;
  cli_clean(out, da_slice_of(text));
  for (size_t i = from; i < out->len; i++)
    if (out->ptr[i] == '\n') out->ptr[i] = '?';
}

static void add_origin(da_buf *out, const cli_config *config, const cli_config_value *value)
{
  switch (value->origin) {
  case CLI_BUILT_IN:
    da_buf_addf(out, "built in");
    break;
  case CLI_FROM_FILE:
    add_comment(out, config->path);
    da_buf_addf(out, ":%d", value->line);
    break;
  case CLI_FROM_SHARED:
  case CLI_FROM_VARIABLE:
  case CLI_FROM_FLAG:
    add_comment(out, value->from);
    break;
  }
}

static void add_setting(da_buf *out, const cli_config *config, int index, const char *key)
{
  const cli_config_value *value = &config->values[index];
  cli_setting_type type = cli_settings[index].type;
  bool set = type == CLI_TYPE_LIST ? value->list != NULL : value->text != NULL;
  bool counted =
      type == CLI_TYPE_NUMBER || type == CLI_TYPE_BYTES || type == CLI_TYPE_DURATION || type == CLI_TYPE_SWITCH;
  size_t from = out->len;
  if (is_settled(index)) {
    da_buf_addf(out, "# %s: see %s; ", key, cli_setting_flag(index) == CLI_METRICS_PORT ? "metrics" : "listen");
  } else if (!set && !counted) {
    da_buf_addf(out, "# %s is not set; ", key);
  } else if (type == CLI_TYPE_SECRET) {
    da_buf_addf(out, "# %s is not shown; ", key);
  } else {
    da_buf_addf(out, "%s = ", key);
    if (add_value(out, value, type)) {
      cli_pad(out, from, COLUMN);
      da_buf_addf(out, " # %s", type == CLI_TYPE_DURATION ? "ms; " : type == CLI_TYPE_BYTES ? "bytes; " : "");
    } else {
      out->len = from;
      da_buf_addf(out, "# %s is not UTF-8, so it cannot stand here; ", key);
    }
  }
  add_origin(out, config, value);
  da_buf_add_byte(out, '\n');
}

void cli_config_print(const cli_command *command, da_buf *out)
{
  da_slice section = DA_NONE;
  da_buf_addf(
      out, "# Settings of dahost serve, and where each comes from. --config FILE reads them from a file like this.\n");
  for (int i = 0; i < CLI_SETTING_COUNT; i++) {
    const char *dot = strrchr(cli_settings[i].key, '.');
    const char *key = dot != NULL ? dot + 1 : cli_settings[i].key;
    da_slice own = da_slice_make(cli_settings[i].key, dot != NULL ? (size_t)(dot - cli_settings[i].key) : 0);
    if (!da_slice_eq(own, section)) da_buf_addf(out, "\n[%.*s]\n", DA_FMT(own));
    section = own;
    add_setting(out, command->config, i, key);
  }
}
