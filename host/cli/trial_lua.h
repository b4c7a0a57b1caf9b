/* trial_lua.h - what lua/da/test.lua is given in place of the natives of an execution.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_TRIAL_LUA_H
#define DA_CLI_TRIAL_LUA_H

#include <lauxlib.h>

extern const luaL_Reg cli_trial_natives[];

#endif
