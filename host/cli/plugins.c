/* plugins.c - functions in C beside the program's own.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugins.h"

#include <unistd.h>

#include "../../bindings/bind.h"
#include "../../bindings/bind_native.h"
#include "../../bindings/bind_stubs.h"
#include "config.h"

static bind_natives *natives; /* of the process */
static bool loaded;

static bind_natives *registry(void)
{
  if (natives == NULL) natives = bind_natives_new();
  return natives;
}

int cli_plugins_load(const cli_command *command)
{
  const char *const *paths = cli_config_list(command, CLI_PLUGIN);
  if (loaded || paths == NULL) return CLI_EXIT_OK;
  loaded = true;
  for (; *paths != NULL; paths++) {
    da_err err = {{0}};
    if (bind_natives_load(registry(), *paths, &err) != DA_OK) return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  }
  return CLI_EXIT_OK;
}

da_worker_hooks cli_worker_hooks(void)
{
  return (da_worker_hooks){.open_isolate = bind_open_isolate,
                           .open_step = bind_open_step,
                           .stubs = bind_stubs_write,
                           .native = bind_natives_find,
                           .natives = registry()};
}

void cli_plugins_leave(int code)
{
  bind_natives_end();
  _exit(code);
}
