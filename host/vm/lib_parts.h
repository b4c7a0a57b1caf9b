/* lib_parts.h - what the files of the determinism library share with each other.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_LIB_PARTS_H
#define DA_VM_LIB_PARTS_H

#include <lauxlib.h>
#include <lualib.h>

#include "isolate_parts.h"
#include "lib.h"

/* Flags of a thread, in its extra space (zero in the main thread and in fibers). */
enum {
  THREAD_INNER = 1,   /* made by coroutine.create or wrap */
  THREAD_WAITING = 2, /* its yield to the host is under way: nobody may resume or close it */
  THREAD_BLOCKED = 4, /* whoever resumed it cannot yield to the host */
  THREAD_CLOSING = 8  /* being unwound by coroutine.close */
};

static inline unsigned thread_flags(lua_State *L)
{
  return (unsigned)*(uintptr_t *)lua_getextraspace(L);
}

static inline void thread_set_flags(lua_State *L, unsigned flags)
{
  *(uintptr_t *)lua_getextraspace(L) = flags;
}

/* Each sets globals or fields; the stack is as before. */
void lib_base_open(lua_State *L);
void lib_control_open(lua_State *L); /* after base */
void lib_coroutine_open(lua_State *L);
void lib_table_open(lua_State *L);
void lib_string_open(lua_State *L);
void lib_math_open(lua_State *L);
void lib_os_open(lua_State *L);
void lib_debug_open(lua_State *L);

/* The execution's clock, or 0 without a hook. */
double lib_clock(lua_State *L);
void lib_print(lua_State *L, const char *text, size_t len);

/* Calls one of luaopen_* and leaves its table on the stack. */
void lib_open_stock(lua_State *L, lua_CFunction open);

/* Runs a small chunk and leaves the one value it returns on the stack. */
void lib_compile(lua_State *L, const char *source, const char *name);

/* The function of the stock library kept in upvalue n of the running one. It has no upvalues of its own, so calling the
 * C function itself in the present frame is the same call, and its errors name the right argument of the right
 * function.
 */
static inline lua_CFunction lib_stock(lua_State *L, int n)
{
  return lua_tocfunction(L, lua_upvalueindex(n));
}

/* Replaces field `name` of the table on top by fn with the old value of the field as its upvalue. */
void lib_wrap(lua_State *L, const char *name, lua_CFunction fn);

/* If the table at index is frozen, replaces it on the stack by the real one behind it. */
void lib_thaw(lua_State *L, int index);
bool lib_is_frozen(lua_State *L, int index);

int lib_pairs(lua_State *L);
int lib_next(lua_State *L);

/* Is fn one of ours that passes yields through? */
bool lib_passes_yields(lua_CFunction fn);
/* Is fn a frame of ours that no traceback shows? */
bool lib_is_internal(lua_CFunction fn);
int lib_pcall(lua_State *L);
int lib_raised(lua_State *L);
int lib_xpcall(lua_State *L);
int lib_sort(lua_State *L);
int lib_gsub(lua_State *L);
int lib_resume(lua_State *L);
int lib_wrap_call(lua_State *L);
int lib_close(lua_State *L);
int lib_coroutine_body(lua_State *L);

#endif
