/* bind_error.h - da.Error: the table in which every failure reaches a script.
 *
 * Here:     its metatable's functions; making one; turning anything that was raised into one.
 * Fields:   code (what a script compares), message, and as far as known traceback, promise, func, attempts, cause.
 * May not:  decide what a failure means. Raises only Lua's memory error, except where said.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BIND_ERROR_H
#define DA_BINDINGS_BIND_ERROR_H

#include <lauxlib.h>
#include <lua.h>

#include "../host/base/bytes.h"

/* __tostring and __concat; bind_value_open() makes the metatable "da.Error" of them. */
extern const luaL_Reg bind_error_metamethods[];
/* How many causes of an error are shown; a chain may be a ring. */
enum { BIND_ERROR_CAUSES = 8 };
/* Pushes `[code] message (promise id)` of the error at index, or the text of another value. Allocates. */
void bind_error_push_line(lua_State *L, int index);
/* Puts its cause in the place of the error on top; false, and nothing is changed, if it has none. */
bool bind_error_next_cause(lua_State *L);
/* For scripts: error_new(code, message, fields), is_error(v), error_of(v, traceback). */
extern const luaL_Reg bind_error_functions[];

/* Pushes a da.Error; an empty message is "". */
void bind_error_push(lua_State *L, const char *code, const char *message);
/* Pushes one with the status's name in lower case without its E ("busy") as code, and err's words, else the status's
 * sentence, as message. */
void bind_error_push_status(lua_State *L, da_status status, const da_err *err);
bool bind_error_is(lua_State *L, int index);

/* Replaces the value at index, whatever was raised, by a da.Error:
 *   a da.Error          stays the same object
 *   a table             a new da.Error with its fields; code "error" if it has none; without a message, the field at 1
 *                       if a string, else what its __tostring says, else "" or, without a code, its JSON text, cut
 *   a string, a number  code "error", message its text
 *   nil                 code "error", message "nil"
 *   anything else       code "error", message its __tostring or "(a function)" and the like (no addresses: they differ
 *                       from run to run), value the original
 * If it has no traceback yet, it gets the given one (may be empty), cut to DA_TRACEBACK_MAX. An error raised by a
 * __tostring is swallowed. */
void bind_error_normalize(lua_State *L, int index, da_slice traceback);

#endif
