/* cli_stubs.c - dahost stubs: what other files may call of a file, for editors.
 *
 * One class per group, with a field for each workflow. The script is loaded as `run` would load it; nothing of it runs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../../bindings/bind_stubs.h"
#include "../vm/worker.h"
#include "cli.h"

static da_status write_stubs(void *user, lua_State *L, da_err *err)
{
  return bind_stubs_write(L, user, err);
}

/* "gpu=render.lua": the group ("" if none is named), and the file behind it. */
static const char *split(const char *operand, da_slice *group)
{
  const char *equals = strchr(operand, '=');
  const char *slash = strchr(operand, '/');
  if (equals == NULL || equals == operand || (slash != NULL && slash < equals)) {
    *group = DA_LIT("default");
    return operand;
  }
  *group = da_slice_make(operand, (size_t)(equals - operand));
  return equals + 1;
}

/* A class for each group; of files of the same group the fields come together. */
static da_status add_file(da_worker *worker, const char *operand, da_buf *out, da_err *err)
{
  da_slice group;
  da_bundle *bundle = NULL;
  const char *path = split(operand, &group);
  da_status status = da_bundle_read(path, &bundle, err);
  if (status != DA_OK) return status;
  da_buf_addf(out, "\n---@class da.group.%.*s\n", DA_FMT(group));
  status = da_worker_inspect(worker, bundle, write_stubs, out, err);
  da_bundle_unref(bundle);
  da_buf_addf(out, "\n---@class da\n---@field service fun(group: \"%.*s\"): da.group.%.*s\n", DA_FMT(group),
              DA_FMT(group));
  return status;
}

static int write_files(da_worker *worker, const cli_command *command, void *user)
{
  da_buf *out = user;
  da_buf_addf(out, "---@meta\n-- Written by `dahost stubs");
  for (size_t i = 0; i < command->operand_count; i++) da_buf_addf(out, " %s", command->operands[i]);
  da_buf_addf(out, "`.\n");
  for (size_t i = 0; i < command->operand_count; i++) {
    da_err err = {{0}};
    if (add_file(worker, command->operands[i], out, &err) != DA_OK) return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  }
  return CLI_EXIT_OK;
}

int cli_stubs(const cli_command *command)
{
  da_buf out = {0};
  int code = cli_inspect(command, write_files, &out);
  if (code == CLI_EXIT_OK) {
    out.len--; /* the line ends when it is printed */
    cli_print_text(da_buf_slice(&out));
  }
  da_buf_free(&out);
  return code;
}
