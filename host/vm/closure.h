/* closure.h - did an inline step assign a variable outside of itself?
 *
 * An inline step runs once; a replay takes its result from the record and does not run it again. What it assigned to a
 * local of its workflow would then keep its old value, and the workflow would go another way.
 *
 * The variables its closure can assign to are kept before it runs and compared after: its upvalues, and those of the
 * functions that lie in them, and so on. A table they hold is not looked into.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_CLOSURE_H
#define DA_VM_CLOSURE_H

#include <lua.h>
#include <stdbool.h>

enum { DA_CLOSURE_CELLS = 128, DA_CLOSURE_FUNCTIONS = 32 }; /* the nearest ones; what lies further is not looked at */

typedef struct da_closure_cell {
  int function; /* stack index */
  int upvalue;
} da_closure_cell;

typedef struct da_closure_watch {
  int first; /* stack index of the first value kept */
  int count;
  da_closure_cell cells[DA_CLOSURE_CELLS];
} da_closure_watch;

/* Keeps the variables of the function on top of L, on the stack above it. */
void da_closure_watch_begin(da_closure_watch *watch, lua_State *L);
/* The name of one that holds something else now, or NULL. Borrowed from its function. The stack is the caller's. */
const char *da_closure_watch_changed(const da_closure_watch *watch, lua_State *L);

#endif
