/* line.h - lines that somebody types, or that a pipe brings.
 *
 * Here:     a thread that reads one line whenever one is wanted. On a terminal through libedit (history, completion),
 *           which is loaded at the first line and done without where it is not; elsewhere as it comes, no byte further.
 * Rule:     Ctrl-C while a line is edited gives that line up and is no signal; Ctrl-D on an empty one is the end.
 * Threads:  `got` is called on the reader's thread; the rest is for one other thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_LINE_H
#define DA_CLI_LINE_H

#include "../base/bytes.h"

enum { CLI_LINE_BYTES_MAX = 1 << 20 }; /* of a longer one a byte more is kept, which tells it */

typedef enum cli_line_how { CLI_LINE, CLI_LINE_GIVEN_UP, CLI_LINE_END } cli_line_how;

typedef struct cli_lines cli_lines;

/* text: without its end; given to `got`, to be freed; NULL unless it is a CLI_LINE. */
cli_lines *cli_lines_new(void (*got)(void *user, cli_line_how how, char *text), void *user);
/* Asks for one; words is a list of names, one a line, that Tab completes, given. Not while one is wanted. */
void cli_lines_want(cli_lines *lines, const char *prompt, char *words);
/* Not while one is wanted. Writes the history. */
void cli_lines_delete(cli_lines *lines);

#endif
