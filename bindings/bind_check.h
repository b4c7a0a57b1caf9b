/* bind_check.h - what a script's functions do that they should not, found without running them.
 *
 * Here:     the natives of lua/tool/check.lua, which reads the bytecode of a bundle that an isolate has loaded.
 * May not:  run a function of the script; open a store.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BIND_CHECK_H
#define DA_BINDINGS_BIND_CHECK_H

#include <lua.h>

#include "../host/vm/bundle.h"

typedef struct bind_finding {
  const char *code; /* "global", "dropped", ... */
  const char *file; /* bundle-relative */
  int line;
  const char *what;
  const char *mend;
} bind_finding;

/* L: an isolate in which the bundle was loaded. Tells the findings in the order of files and lines; they are borrowed
 * until `found` returns. DA_ELUA: a module does not compile, or there is too much of the script. */
da_status DA_MUST_USE bind_check_run(lua_State *L, const da_bundle *bundle,
                                     void (*found)(void *user, const bind_finding *finding), void *user, da_err *err);

#endif
