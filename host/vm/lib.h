/* lib.h - the determinism library: the globals of an isolate.
 *
 * Code of a workflow runs again from its top after a restart and must take the same path. So what the stock library
 * takes from the machine (hash order, addresses, clock, chance, environment) is here replaced by a reproducible form,
 * or refused with the words of what to write instead. Standard library of Lua 5.4, with these differences:
 *
 *   pairs, next        sorted: numbers by value, strings by bytes, false, true; pairs walks the keys of its start
 *   tostring, print    `table: #7`, an ordinal in place of an address; nan without a sign; %p refused
 *   sort               stable merge sort; its comparator (and __lt) may await, as may callbacks of gsub
 *   math.random        the execution's stream, da_lib_seed(); randomseed() without a seed refused
 *   os.time date clock the execution's clock, UTC
 *   io.*, the rest of os   refused, except while an inline step runs
 *   setmetatable       refuses __gc and __mode: the collector is not reproducible
 *   collectgarbage     does nothing; "count" refused
 *   load               text only
 *   debug (but traceback), string.dump, dofile, loadfile   refused; warn prints
 *   require, package   the bundle's modules; others are placeholders, see module.c
 *   coroutine          an await inside a coroutine suspends the whole fiber; close() and errors let <close> await
 *
 * Yield protocol: whatever has to wait for the host does `lua_pushlightuserdata(L, DA_YIELD_TAG); return lua_yieldk(L,
 * 1, ctx, k)`; the replaced coroutine functions hand that yield outwards until it comes out of the fiber's
 * lua_resume(). The host resumes with nothing; k fetches what it waited for by itself. Before it starts anything that
 * it would have to wait for, a native calls da_lib_check_await().
 *
 * Threads: hooks are set once, before isolates exist; the rest belongs to the isolate's thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_LIB_H
#define DA_VM_LIB_H

#include "isolate.h"

extern char da_yield_tag;
#define DA_YIELD_TAG ((void *)&da_yield_tag)

typedef struct da_lib_hooks {
  double (*clock)(lua_State *L);                             /* seconds since 1970 by the execution's clock */
  void (*print)(lua_State *L, const char *text, size_t len); /* one line, without its end */
} da_lib_hooks;
void da_lib_set_hooks(const da_lib_hooks *hooks);

/* Sets the globals of a new state. Raises on lack of memory. */
void da_lib_open(lua_State *L);

/* Makes _G and every library table read-only; call it once, when the bundle is loaded. Tables stay the same objects:
 * they become empty proxies, so code that was compiled before sees the change. */
void da_lib_freeze(lua_State *L);
/* The same for one more table at index (the API's own); what: its name in messages. Reads of it cost one more hop. */
void da_lib_freeze_table(lua_State *L, int index, const char *what);

/* Chance: the stream of math.random starts here. da_lib_random() draws from it, or, while an inline step runs, from a
 * stream of true chance, so that a step takes nothing from the execution's. */
void da_lib_seed(lua_State *L, uint64_t a, uint64_t b);
uint64_t da_lib_random(lua_State *L);

/* As luaL_tolstring, reproducible. Pushes the text and returns it. May run a __tostring. */
const char *da_lib_tolstring(lua_State *L, int index, size_t *len);

/* Pushes a traceback of `of` from `level` on, at most DA_TRACEBACK_MAX bytes, no addresses; before it `text` and a line
 * end unless text is NULL. */
void da_lib_traceback(lua_State *L, lua_State *of, const char *text, int level);

/* Pops a function; error(nil) calls it to get the object to raise, since a <close> variable cannot tell a nil error
 * from success. Without one, error(nil) raises "nil". */
void da_lib_set_nil_error(lua_State *L);

/* Can L yield to the host: is no C call between it and the base of its fiber, through all coroutines? */
bool da_lib_can_await(lua_State *L);
/* Raises unless so, naming the function that is in the way: "await: cannot suspend inside a callback of 'concat' ...".
 */
void da_lib_check_await(lua_State *L, const char *what);

/* Is the error on top of L, which ended a call with `status`, a lack of memory? Then the isolate is poisoned.
 * LUA_ERRMEM is not all: a string buffer of the auxiliary library that cannot grow raises the same words as a plain
 * text. Whoever catches errors of a script asks this first. */
bool da_lib_out_of_memory(lua_State *L, int status);

/* Is fn our pcall or xpcall? */
bool da_lib_is_protected_call(lua_CFunction fn);

/* Use as `return da_lib_park(L)` in a native when the isolate is poisoned: yields to the host and never returns; where
 * that cannot be, raises, and the next pcall does it. */
int da_lib_park(lua_State *L);

#endif
