/* view.h - the progress of executions on stderr: a live tree on a terminal, plain lines elsewhere, nothing with
 * --quiet.
 *
 * Here:     drawing, and where the bytes that steps write to file descriptor 1 go meanwhile (stdout holds the result
 *           alone).
 * Terminal: the tree stands below everything else and is drawn anew at most ten times a second; what the script
 *           prints scrolls above it. No mode of the terminal is changed (no hidden cursor, no alternate screen), so
 *           that a process killed in the middle leaves nothing to mend. A terminal is one when stderr is, TERM is not
 *           "dumb". NO_COLOR (https://no-color.org) is honoured.
 * Threads:  one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_VIEW_H
#define DA_CLI_VIEW_H

#include "cli.h"
#include "model.h"

struct uv_loop_s;
typedef struct cli_view cli_view;

/* Takes stdout away from everybody but cli_print(). */
cli_view *cli_view_new(const cli_command *command);
/* Shows this lineage; without it, all there are. */
void cli_view_root(cli_view *view, da_slice root);
/* Timers and the steps' output are served by this loop from now on; NULL: by nobody (before the loop is closed). */
void cli_view_attach(cli_view *view, struct uv_loop_s *loop);
/* The model knows of the event already and is kept until cli_view_over(). */
void cli_view_event(cli_view *view, const da_event *event, const cli_model *model);
/* A line for people, above the tree; also with --quiet if it `matters`. */
void cli_view_say(cli_view *view, bool matters, const char *format, ...) DA_PRINTF(3, 4);
/* A line that a script printed. */
void cli_view_print(cli_view *view, da_slice text);
void cli_view_tick(cli_view *view);
/* Draws the tree a last time and leaves it there; the model may go. */
void cli_view_over(cli_view *view);
void cli_view_delete(cli_view *view);

#endif
