/* cli_check.c - dahost check: scripts looked over without running them.
 *
 * Each script is loaded once, as `run` would load it, over a store in memory that nothing is written to.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "../../bindings/bind_check.h"
#include "../base/log.h"
#include "cli.h"
#include "scratch.h"
#include "show.h"

typedef struct checking {
  const cli_command *command;
  da_bundle *bundle;
  da_slice folder; /* of the script, with its slash: files of findings are relative to it */
  da_table told;   /* lines that were told: scripts may share modules */
  da_arena arena;
  size_t count;
} checking;

static void hear_finding(void *user, const bind_finding *finding)
{
  checking *c = user;
  da_buf line = {0};
  da_buf_addf(&line, "%.*s%s:%d: %s; %s", DA_FMT(c->folder), finding->file, finding->line, finding->what,
              finding->mend);
  da_slice key = da_buf_slice(&line);
  if (da_table_get(&c->told, key) != NULL) {
    da_buf_free(&line);
    return;
  }
  (void)da_table_put(&c->told, da_arena_dup(&c->arena, key), c);
  c->count++;
  if (cli_has(c->command, CLI_JSON)) {
    cJSON *row = da_json_object();
    da_buf file = {0};
    da_buf_addf(&file, "%.*s%s", DA_FMT(c->folder), finding->file);
    da_json_put_text(row, "file", da_buf_slice(&file));
    da_json_put_int(row, "line", finding->line);
    da_json_put_text(row, "code", da_slice_of(finding->code));
    da_json_put_text(row, "what", da_slice_of(finding->what));
    da_json_put_text(row, "mend", da_slice_of(finding->mend));
    cli_show_json(row);
    cJSON_Delete(row);
    da_buf_free(&file);
  } else {
    cli_print_text(da_buf_slice(&line));
  }
  da_buf_free(&line);
}

static da_status look(void *user, lua_State *L, da_err *err)
{
  checking *c = user;
  return bind_check_run(L, c->bundle, hear_finding, c, err);
}

static int check_file(checking *c, da_worker *worker, const char *path)
{
  da_err err = {{0}};
  if (da_bundle_read(path, &c->bundle, &err) != DA_OK) return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  const char *slash = strrchr(path, '/');
  c->folder = slash != NULL ? da_slice_make(path, (size_t)(slash - path) + 1) : DA_NONE;
  int code = CLI_EXIT_OK;
  if (da_worker_inspect(worker, c->bundle, look, c, &err) != DA_OK)
    code = cli_fail(CLI_EXIT_USAGE, "%s cannot be checked: %s", path, err.text);
  da_bundle_unref(c->bundle);
  return code;
}

static int check_files(da_worker *worker, const cli_command *command, void *user)
{
  checking *c = user;
  int code = CLI_EXIT_OK;
  for (size_t i = 0; i < command->operand_count; i++) {
    int one = check_file(c, worker, command->operands[i]);
    if (one != CLI_EXIT_OK) code = one;
  }
  return code;
}

int cli_inspect(const cli_command *command, cli_inspector *inspect, void *user)
{
  da_err err = {{0}};
  cli_scratch scratch = {0};
  if (getenv("DAHOST_LOG") == NULL) da_log_set_level(DA_LOG_ERROR);
  int code = cli_scratch_open(&scratch, NULL, NULL, &err) == DA_OK ? inspect(scratch.worker, command, user)
                                                                   : cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  cli_scratch_close(&scratch);
  return code;
}

int cli_check(const cli_command *command)
{
  checking c = {.command = command};
  int code = cli_inspect(command, check_files, &c);
  if (code == CLI_EXIT_OK && c.count > 0) {
    cli_note(command, "%zu finding%s", c.count, c.count == 1 ? "" : "s");
    code = CLI_EXIT_REJECTED;
  }
  da_table_free(&c.told);
  da_arena_free(&c.arena);
  return code;
}
