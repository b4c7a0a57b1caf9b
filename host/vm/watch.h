/* watch.h - sees to it that Lua code on the loop thread gives way.
 *
 * A timer of the kernel counts the processor time of the loop thread and sends it a signal every DA_WATCH_TICK_MS of
 * it: so an idle process is never woken, and code that does not run long costs nothing. The signal sets a count hook on
 * the Lua thread that runs (lua_sethook() is one of the few functions that may be called so), and the hook, at the next
 * instruction, does what is due:
 *
 *   every tick      a workflow's code yields to the loop, and goes on after a turn of it
 *   DA_WATCH_SLOW   is told in the log, with file and line (once per span)
 *   the span limit  parks the execution (`steps`); a script that is being loaded is refused
 *
 * DAHOST_SLICE=<n> in the environment sets the hook all the time: code then gives way after every n instructions, as a
 * means of tests, for slices must not change what a script does.
 * A call into C of one instruction (a pattern that takes for ever) is not interrupted.
 * Signal:  SIGURG, which nobody else is disturbed by since it is ignored by default. If the process has its own handler
 *          for it, there are no slices and no limit.
 * Threads: all on the loop thread; the first da_watch_enter() says which one that is.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_WATCH_H
#define DA_VM_WATCH_H

#include <lua.h>

#include "isolate.h"

enum {
  DA_WATCH_TICK_MS = 5,        /* of processor time */
  DA_WATCH_SLOW_MS = 50,       /* a span this long is told */
  DA_WATCH_SPAN_MS = 30 * 1000 /* one this long is a runaway loop, unless the worker's options say otherwise */
};

typedef struct da_watch da_watch;

da_watch *da_watch_new(void);
void da_watch_delete(da_watch *watch); /* NULL is allowed */

/* What was watched before; da_watch_leave() restores it. An inline step runs within its workflow. */
typedef struct da_watched {
  da_isolate *isolate;
  lua_State *running;
  uint32_t since;
} da_watched;

/* Lua of L's isolate is about to run. */
da_watched da_watch_enter(da_watch *watch, lua_State *L);
/* It ran. Returns the ticks that took. */
uint32_t da_watch_leave(da_watch *watch, da_watched before);
/* The code that runs on L gives way at its next instruction, if it can. */
void da_watch_give_way(lua_State *L);
/* The ticks since the last da_watch_enter(). */
uint32_t da_watch_ticks(const da_watch *watch);

#endif
