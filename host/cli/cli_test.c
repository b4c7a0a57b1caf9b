/* cli_test.c - test: Busted inside of this program; replay and get --history.
 *
 * Tests run in one ordinary Lua state, the whole standard library and package.path at hand; what they run in it are
 * trials (trial.h). The state is closed at the end, so that a leak is seen.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../bindings/bind.h"
#include "../base/log.h"
#include "cli.h"
#include "history.h"
#include "plugins.h"
#include "reach.h"
#include "rehearse.h"
#include "show.h"
#include "trial_lua.h"

enum { HISTORY_MAX = 1 << 30 }; /* bytes of a document */

/* ---- test ---------------------------------------------------------------------------------------------- */

/* () -> exit code; or nil, words. Busted ends by os.exit(), which must not end this program: its end is an error that
 * is caught here. */
static const char runner[] =
    "local found, busted = pcall(require, 'busted.runner')\n"
    "if not found then return nil, tostring(busted) end\n"
    "local ending = setmetatable({}, {__tostring = function() return 'os.exit() in a test' end})\n"
    "local exit = os.exit\n"
    "function os.exit(code)\n"
    "  ending.code = (code == nil or code == true or code == 0) and 0 or 1\n"
    "  error(ending, 0)\n"
    "end\n"
    "local ok, err = xpcall(busted, function(e) return e == ending and e or debug.traceback(tostring(e)) end,\n"
    "  { standalone = false })\n"
    "os.exit = exit\n"
    "io.stdout:flush()\n"
    "if ok then return 0 end\n"
    "if err == ending then return ending.code end\n"
    "return nil, err\n";

/* (command) -> what the runner returns */
static int run_tests(lua_State *L)
{
  const cli_command *command = lua_touserdata(L, 1);
  luaL_openlibs(L);
  bind_open_test(L, cli_trial_natives);
  lua_createtable(L, (int)command->operand_count, 1);
  lua_pushliteral(L, "dahost test");
  lua_rawseti(L, -2, 0);
  for (size_t i = 0; i < command->operand_count; i++) {
    lua_pushstring(L, command->operands[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setglobal(L, "arg");
  if (luaL_loadbufferx(L, runner, sizeof runner - 1, "@dahost test", "t") != LUA_OK) return lua_error(L);
  lua_call(L, 0, 2);
  return 2;
}

static int report(lua_State *L, int status)
{
  const char *words = luaL_tolstring(L, -1, NULL);
  if (status == LUA_OK && lua_isinteger(L, -3)) return (int)lua_tointeger(L, -3);
  if (strstr(words, "module 'busted.runner' not found") == NULL) return cli_fail(CLI_EXIT_USAGE, "%s", words);
  return cli_fail(
      CLI_EXIT_USAGE,
      "there is no Busted for Lua 5.4; on Debian: apt-get install lua-busted (or LUA_PATH and LUA_CPATH say "
      "where it is)");
}

int cli_test(const cli_command *command)
{
  if (command->operands[0][0] == '-')
    return cli_fail(CLI_EXIT_USAGE, "a file or folder comes before the options of Busted; dahost test FILE... -- %s",
                    command->operands[0]);
  for (size_t i = 0; i < command->operand_count && command->operands[i][0] != '-'; i++) {
    struct stat found;
    if (stat(command->operands[i], &found) != 0)
      return cli_fail(CLI_EXIT_USAGE, "no file or folder '%s'; test FILE... [-- options of Busted]",
                      command->operands[i]);
  }
  int refused = cli_plugins_load(command);
  if (refused != 0) return refused;
  union {
    const void *in;
    void *out;
  } pointer = {command};
  if (getenv("DAHOST_LOG") == NULL) da_log_set_level(DA_LOG_ERROR); /* what parks is told by the test */
  lua_State *L = luaL_newstate();
  if (L == NULL) return cli_fail(CLI_EXIT_FAILED, "no memory for a Lua state");
  lua_pushcfunction(L, run_tests);
  lua_pushlightuserdata(L, pointer.out);
  int code = report(L, lua_pcall(L, 1, 2, 0));
  lua_close(L);
  if ((fflush(stdout) != 0 || ferror(stdout) != 0) && code != CLI_EXIT_USAGE)
    return cli_fail(CLI_EXIT_FAILED, "cannot write to stdout what the tests told");
  return code;
}

/* ---- get --history ------------------------------------------------------------------------------------- */

int cli_show_history(const cli_command *command)
{
  char *place = cli_store_place(command);
  da_store *store = NULL;
  da_err err = {{0}};
  da_buf text = {0};
  da_store_options options = {.read_only = true}; /* beside whoever holds it */
  da_status status = da_store_open(place, &options, &store, &err);
  if (status == DA_OK) status = da_store_begin(store, &err);
  if (status == DA_OK) {
    status = cli_history_write(store, da_slice_of(command->operands[0]), &text, &err);
    da_store_abort(store);
  }
  int code = CLI_EXIT_OK;
  if (status == DA_OK)
    cli_print(da_buf_slice(&text));
  else if (status == DA_ENOTFOUND)
    code = cli_fail(store != NULL ? CLI_EXIT_REJECTED : CLI_EXIT_USAGE, "%s%s%s", err.text,
                    store != NULL ? " in " : " (--data DIR names another)", store != NULL ? place : "");
  else
    code = cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  if (store != NULL) da_store_close(store);
  da_buf_free(&text);
  free(place);
  return code;
}

/* ---- replay -------------------------------------------------------------------------------------------- */

/* False, and told: it cannot be read. */
static bool read_all(const char *path, da_buf *out)
{
  FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
  if (file == NULL) return false;
  char piece[16384];
  size_t n;
  while (out->len < HISTORY_MAX && (n = fread(piece, 1, sizeof piece, file)) > 0) da_buf_add(out, piece, n);
  bool good = ferror(file) == 0;
  if (file != stdin) (void)fclose(file);
  return good;
}

static void tell_replayed(const cli_command *command, const cJSON *row)
{
  if (cli_has(command, CLI_JSON)) {
    cli_show_json(row);
    return;
  }
  da_buf out = {0};
  da_slice fault = da_json_text(row, "difference");
  int calls = cJSON_GetArraySize(da_json_get(row, "replayed"));
  da_buf_addf(&out, "%.*s  %.*s  ", DA_FMT(da_json_text(row, "id")), DA_FMT(da_json_text(row, "function")));
  if (fault.len > 0)
    da_buf_addf(&out, "differs: %.*s", DA_FMT(fault));
  else
    da_buf_addf(&out, "fits: %d recorded call%s", calls, calls == 1 ? "" : "s");
  cli_print_text(da_buf_slice(&out));
  da_buf_free(&out);
}

static int tell_rows(const cli_command *command, const cJSON *rows)
{
  int code = CLI_EXIT_OK;
  const cJSON *row;
  cJSON_ArrayForEach(row, rows)
  {
    tell_replayed(command, row);
    if (da_json_get(row, "difference") != NULL) code = CLI_EXIT_PARKED;
  }
  if (code != CLI_EXIT_OK) cli_note(command, "%s does not do what was recorded", command->operands[1]);
  return code;
}

int cli_replay(const cli_command *command)
{
  da_buf text = {0};
  da_bundle *bundle = NULL;
  cJSON *rows = NULL;
  da_err err = {{0}};
  int code = cli_plugins_load(command);
  const char *path = command->operands[0];
  if (code != CLI_EXIT_OK) return code;
  da_status status = da_bundle_read(command->operands[1], &bundle, &err);
  if (status != DA_OK)
    code = cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  else if (!read_all(path, &text))
    code = cli_fail(CLI_EXIT_USAGE, "%s cannot be read: %s", path, strerror(errno));
  else if ((status = cli_replay_history(da_buf_slice(&text), bundle, &rows, &err)) != DA_OK)
    code = cli_fail(status == DA_EIO ? CLI_EXIT_FAILED : CLI_EXIT_USAGE, "%s%s%s",
                    status == DA_EINVAL || status == DA_EVERSION ? path : "",
                    status == DA_EINVAL || status == DA_EVERSION ? ": " : "", err.text);
  else
    code = tell_rows(command, rows);
  cJSON_Delete(rows);
  da_bundle_unref(bundle);
  da_buf_free(&text);
  return code;
}
