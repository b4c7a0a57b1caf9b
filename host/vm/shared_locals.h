/* shared_locals.h - variables that a script believes its workflows and its steps to share.
 *
 * A script is loaded in every isolate and in every step state, each with its own copy of the locals of its file. One
 * that a step changes and a workflow reads (or the other way round) would silently be two. Such a script is refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_SHARED_LOCALS_H
#define DA_VM_SHARED_LOCALS_H

#include <lua.h>

#include "../base/status.h"

/* L: an isolate in which a bundle was loaded (DA_ISOLATE_FUNCTIONS is filled). DA_ELUA: err names the variable, both
 * functions with their lines, and the mend. Runs nothing of the script; takes a little of the isolate's memory. */
da_status DA_MUST_USE da_shared_locals_check(lua_State *L, da_err *err);

#endif
