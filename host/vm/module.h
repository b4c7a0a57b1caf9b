/* module.h - require in an isolate; see module.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_MODULE_H
#define DA_VM_MODULE_H

#include <lua.h>

/* Leaves the functions and tables of require in the registry (DA_ISOLATE_MODULES, _REQUIRE, _PACKAGE), for bindings to
 * set as globals. The host pointer leads to a da_load_context. */
void da_module_open(lua_State *L);
/* The name of what stands for a module that only steps have, and where that was required ("wf.lua:3"); NULL if the
 * value at index is anything else. Borrowed while the value lives. */
const char *da_module_placeholder(lua_State *L, int index, const char **where);

#endif
