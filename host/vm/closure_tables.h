/* closure_tables.h - did an inline step change a table outside of itself?
 *
 * For trials alone, since it looks at everything the closure can reach: from the variables that closure.h has kept,
 * table by table, the nearest first. Before and after the step the contents of each are summed up; the first that
 * differs is named by the way to it. Metatables and globals (which are frozen) are not followed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_CLOSURE_TABLES_H
#define DA_VM_CLOSURE_TABLES_H

#include "../base/bytes.h"
#include "closure.h"

typedef struct da_closure_tables da_closure_tables;

/* Looks at the tables that the watched variables hold now. */
da_closure_tables *da_closure_tables_new(const da_closure_watch *watch, lua_State *L);
/* Appends the way to the first table that has changed ("cart.items[2]"). False: none has. */
bool da_closure_tables_changed(const da_closure_tables *before, const da_closure_watch *watch, lua_State *L,
                               da_buf *way);
void da_closure_tables_delete(da_closure_tables *tables);

#endif
