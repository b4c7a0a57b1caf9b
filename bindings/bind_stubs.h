/* bind_stubs.h - the workflows of a loaded bundle as definitions for editors.
 *
 * Here:     names, parameters and words (`doc`) of the workflows, as types for the Lua language server.
 * May not:  run a function of the script.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BIND_STUBS_H
#define DA_BINDINGS_BIND_STUBS_H

#include <lua.h>

#include "../host/base/bytes.h"
#include "../host/base/status.h"

/* L: an isolate in which the bundle was loaded. Adds one field for each workflow, of the highest version, by name. */
da_status DA_MUST_USE bind_stubs_write(lua_State *L, da_buf *out, da_err *err);

#endif
