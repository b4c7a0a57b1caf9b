/* view_tree.h - the live tree of calls as lines of text that fit a screen. No I/O: view.c writes them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_VIEW_TREE_H
#define DA_CLI_VIEW_TREE_H

#include "model.h"

enum { CLI_TREE_LINES_MAX = 200 };

typedef struct cli_tree_view {
  const cli_model *model;
  da_slice root; /* this lineage alone; empty: all */
  bool color;
  size_t columns; /* of the widest line */
  size_t rows;    /* at most; from 1 to CLI_TREE_LINES_MAX */
  size_t *widths; /* what each line took is written here */
} cli_tree_view;

/* Appends the tree; what settled is left out first where not all fits. Returns its lines. */
size_t cli_tree_draw(const cli_tree_view *view, da_buf *out);

#endif
