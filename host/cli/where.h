/* where.h - conditions on executions: "func=order, state=suspended, tag.customer=ada, older=1h".
 *
 * Terms joined by commas or by the word `and`, all of which hold. NAME=VALUE or NAME!=VALUE; a '*' in a value stands
 * for any text; a value with commas or blanks at its ends stands in single or double quotes.
 *
 *   id, func          of the execution
 *   state             running, suspended, completed, parked, all; or how it ended: resolved, rejected, canceled,
 *                     timedout
 *   parked            code of the reason: nondeterminism, memory...
 *   awaits            the id of a promise that it awaits
 *   older, younger    a duration since it was created
 *   tag.KEY           of its promise
 *   published.KEY     what it published: a string, or JSON
 *
 * Without a `state=`: those that are not finished. With a `parked`, or state=parked: functions at any depth, else
 * executions that nobody called, unless `id` names a part of one (it holds a ':').
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_WHERE_H
#define DA_CLI_WHERE_H

#include "../base/json.h"
#include "../engine/record.h"

typedef struct cli_where cli_where;

/* Reads conditions into arena; text must live as long. DA_EINVAL: err says what is wrong, and the nearest name. */
da_status DA_MUST_USE cli_where_read(da_slice text, da_arena *arena, cli_where **out, da_err *err);
bool cli_where_any_depth(const cli_where *where);
/* Does a term ask for executions that have ended? */
bool cli_where_finished(const cli_where *where);
/* What every id that fits begins with; may be empty. */
da_slice cli_where_begins(const cli_where *where);
/* May the promise fit? Asks only what its record alone tells, before more is read. */
bool cli_where_may(const cli_where *where, const da_promise *promise);
/* Does it? row: its row (service_query.c). */
bool cli_where_holds(const cli_where *where, const da_promise *promise, const cJSON *row);

/* Is the published value (of a row's $published) under key equal to text, or like it where it holds '*'? */
bool cli_published_is(const cJSON *row, da_slice key, da_slice text);

#endif
