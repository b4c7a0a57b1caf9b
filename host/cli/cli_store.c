/* cli_store.c - verify, version.
 * SPDX-License-Identifier: Apache-2.0 */
#include <lua.h>
#include <stdlib.h>
#include <uv.h>

#include "../store/store.h"
#include "cli.h"
#include "reach.h"

/* ---- verify -------------------------------------------------------------------------------------------- */

typedef struct faults {
  const cli_command *command;
  int count;
} faults;

static void tell_fault(void *user, const char *what, da_slice id, const char *words)
{
  faults *f = user;
  da_buf out = {0};
  f->count++;
  if (cli_has(f->command, CLI_JSON)) {
    cJSON *row = da_json_object();
    da_json_put_text(row, "fault", da_slice_of(what));
    da_json_put_text(row, "id", id);
    da_json_put_text(row, "words", da_slice_of(words));
    da_json_print(row, &out);
    cJSON_Delete(row);
  } else {
    da_buf_addf(&out, "%s  %.*s  %s", what, DA_FMT(id), words);
  }
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
}

static int verify_store(const cli_command *command, da_store *store, const char *place)
{
  faults f = {.command = command};
  da_err err = {{0}};
  int result = da_store_verify(store, tell_fault, &f, &err);
  if (result < 0) return cli_fail(CLI_EXIT_FAILED, "%s: %s", place, err.text);
  if (result == 0) cli_note(command, "%s is whole", place);
  if (result > 0) cli_note(command, "%s: %d fault%s", place, result, result == 1 ? "" : "s");
  return result == 0 ? CLI_EXIT_OK : CLI_EXIT_REJECTED;
}

int cli_verify(const cli_command *command)
{
  char *place = cli_store_place(command);
  da_store *store = NULL;
  da_err err = {{0}};
  da_store_options options = {0};
  da_status status = da_store_open(place, &options, &store, &err);
  if (status == DA_EBUSY) {
    cli_note(command, "%s; reading beside it", err.text);
    options.read_only = true;
    status = da_store_open(place, &options, &store, &err);
  }
  int code;
  if (status == DA_ENOTFOUND)
    code = cli_fail(CLI_EXIT_USAGE, "%s (--data DIR names another)", err.text);
  else if (status != DA_OK)
    code = cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  else
    code = verify_store(command, store, place);
  da_store_close(store);
  free(place);
  return code;
}

/* ---- version ------------------------------------------------------------------------------------------- */

int cli_version(const cli_command *command)
{
  da_buf out = {0};
  const char *lua = LUA_VERSION_MAJOR "." LUA_VERSION_MINOR "." LUA_VERSION_RELEASE;
  if (cli_has(command, CLI_JSON))
    da_buf_addf(&out, "{\"dahost\":\"%s\",\"lua\":\"%s\",\"libuv\":\"%s\",\"cjson\":\"%s\"}", DA_VERSION, lua,
                uv_version_string(), cJSON_Version());
  else
    da_buf_addf(&out, "dahost %s (Lua %s, libuv %s, cJSON %s)", DA_VERSION, lua, uv_version_string(), cJSON_Version());
  cli_print(da_buf_slice(&out));
  da_buf_free(&out);
  return CLI_EXIT_OK;
}
