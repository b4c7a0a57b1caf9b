/* cli_lineage.c - tree with a server: the promises of one lineage, each below the one that made it.
 *
 * A lineage is all that has the tag resonate:origin; who made whom is the tag resonate:parent. Whoever invoked the root
 * need not have tagged it, so it is asked for by its id when the search has not brought it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/json_read.h"
#include "../base/table.h"
#include "../base/text.h"
#include "json_text.h"
#include "protocol.h"
#include "remote.h"

enum { PAGE = 100 };

typedef struct node {
  da_slice id, parent, state, scope, func;
  da_slice text; /* the record */
  int64_t created_at;
  bool targeted, timer;
  struct node *above, *first, *last, *next;
  size_t prefix_len; /* of its line */
} node;

typedef struct lineage {
  const cli_command *command;
  cli_remote *remote;
  cli_answer answer;
  da_arena arena;
  da_slice id;
  da_table table; /* by id */
  node **nodes;
  size_t count, cap;
} lineage;

/* ---- reading ------------------------------------------------------------------------------------------- */

static da_json_item member_of(da_json_item object, const char *name, da_arena *arena)
{
  da_slice key;
  da_json_item member, none = {.kind = DA_JSON_NULL};
  if (object.kind != DA_JSON_OBJECT) return none;
  for (da_json_walk walk = da_json_walk_of(object); da_json_walk_next(&walk, arena, &key, &member);)
    if (da_slice_eq(key, da_slice_of(name))) return member;
  return none;
}

static da_slice text_of(da_json_item object, const char *name, da_arena *arena)
{
  da_json_item member = member_of(object, name, arena);
  return member.kind == DA_JSON_STRING ? da_json_item_string(member, arena) : DA_NONE;
}

/* The name of the function that a param calls, if it is a call. */
static da_slice func_of(da_json_item param, da_arena *arena)
{
  da_slice data = text_of(param, "data", arena);
  ptrdiff_t len = da_text_base64_len(data);
  if (len <= 0) return DA_NONE;
  char *bytes = da_arena_alloc(arena, (size_t)len);
  da_slice json = da_slice_make(bytes, (size_t)len);
  if (!da_text_base64_read(data, bytes) || da_json_check(json, NULL) != DA_OK) return DA_NONE;
  return text_of(da_json_item_of(json), "func", arena);
}

static void add(lineage *l, da_json_item record)
{
  da_arena *arena = &l->arena;
  record.text = da_arena_dup(arena, record.text); /* the next page takes the answer's place */
  da_json_item tags = member_of(record, "tags", arena);
  node *n = da_arena_zalloc(arena, sizeof *n);
  n->text = record.text;
  n->id = text_of(record, "id", arena);
  n->state = text_of(record, "state", arena);
  n->parent = text_of(tags, "resonate:parent", arena);
  n->scope = text_of(tags, "resonate:scope", arena);
  n->targeted = text_of(tags, "resonate:target", arena).len > 0;
  n->timer = da_slice_eq(text_of(tags, "resonate:timer", arena), DA_LIT("true"));
  n->func = func_of(member_of(record, "param", arena), arena);
  (void)da_json_item_int(member_of(record, "createdAt", arena), &n->created_at);
  if (n->id.len == 0 || da_table_get(&l->table, n->id) != NULL) return;
  (void)da_table_put(&l->table, n->id, n);
  if (l->count == l->cap) {
    l->cap = l->cap > 0 ? 2 * l->cap : PAGE;
    l->nodes = da_xrealloc(l->nodes, l->cap * sizeof(node *));
  }
  l->nodes[l->count++] = n;
}

/* Asks; an answer that says no is shown. */
static int ask(lineage *l, const char *kind, da_buf *data)
{
  da_buf_add_byte(data, '}');
  int code = cli_remote_ask(l->remote, kind, da_buf_slice(data), &l->answer);
  if (code == CLI_EXIT_OK && (l->answer.status < 200 || l->answer.status > 299))
    code = cli_answer_show(l->command, &l->answer);
  da_buf_free(data);
  return code;
}

static int read_pages(lineage *l)
{
  da_slice cursor = DA_NONE;
  do {
    da_buf data = {0};
    da_buf_addf(&data, "{\"tags\":{");
    (void)cli_put_pair(&data, DA_LIT("resonate:origin"), l->id);
    da_buf_addf(&data, "},\"limit\":%d", PAGE);
    if (cursor.len > 0) (void)cli_put_text(&data, "cursor", cursor);
    int code = ask(l, "promise.search", &data);
    if (code != CLI_EXIT_OK) return code;
    da_json_item whole = da_json_item_of(l->answer.data), list = member_of(whole, "promises", &l->arena), record;
    if (list.kind != DA_JSON_ARRAY) return cli_fail(CLI_EXIT_FAILED, "the answer to a search holds no promises");
    for (da_json_walk walk = da_json_walk_of(list); da_json_walk_next(&walk, &l->arena, NULL, &record);) add(l, record);
    da_slice next = da_arena_dup(&l->arena, text_of(whole, "cursor", &l->arena));
    if (next.len > 0 && da_slice_cmp(next, cursor) <= 0)
      return cli_fail(CLI_EXIT_FAILED, "the pages of the search do not go on: cursor '%.*s' behind '%.*s'",
                      DA_FMT(next), DA_FMT(cursor));
    cursor = next;
  } while (cursor.len > 0);
  return CLI_EXIT_OK;
}

static int read_root(lineage *l)
{
  if (da_table_get(&l->table, l->id) != NULL) return CLI_EXIT_OK;
  da_buf data = {0};
  da_buf_add_byte(&data, '{');
  (void)cli_put_text(&data, "id", l->id);
  int code = ask(l, "promise.get", &data);
  if (code != CLI_EXIT_OK) return code;
  add(l, member_of(da_json_item_of(l->answer.data), "promise", &l->arena));
  return da_table_get(&l->table, l->id) != NULL
             ? CLI_EXIT_OK
             : cli_fail(CLI_EXIT_FAILED, "the answer to promise.get holds no promise '%.*s'", DA_FMT(l->id));
}

/* ---- drawing ------------------------------------------------------------------------------------------- */

static int by_creation(const void *a, const void *b)
{
  const node *x = *(node *const *)a, *y = *(node *const *)b;
  if (x->created_at != y->created_at) return x->created_at < y->created_at ? -1 : 1;
  return da_slice_cmp(x->id, y->id);
}

/* Below its parent, or, if that is not of this lineage, below the root. */
static void tie(lineage *l, node *root)
{
  qsort(l->nodes, l->count, sizeof *l->nodes, by_creation);
  for (size_t i = 0; i < l->count; i++) {
    node *n = l->nodes[i];
    if (n == root) continue;
    n->above = da_table_get(&l->table, n->parent);
    if (n->above == NULL || n->above == n) n->above = root;
    *(n->above->last != NULL ? &n->above->last->next : &n->above->first) = n;
    n->above->last = n;
  }
}

static void print_node(const cli_command *command, node *n, da_buf *prefix)
{
  da_buf out = {0};
  if (cli_has(command, CLI_JSON)) {
    cli_json_text(&out, n->text, false);
    cli_print(da_buf_slice(&out));
    da_buf_free(&out);
    return;
  }
  bool pending = da_slice_eq(n->state, DA_LIT("pending")), resolved = da_slice_eq(n->state, DA_LIT("resolved"));
  bool local = da_slice_eq(n->scope, DA_LIT("local"));
  bool global = da_slice_eq(n->scope, DA_LIT("global")) || (n->scope.len == 0 && n->targeted);
  n->prefix_len = prefix->len;
  da_buf_add_slice(&out, da_buf_slice(prefix));
  if (n->above != NULL) da_buf_addf(&out, "%s", n->next != NULL ? "├── " : "└── ");
  da_buf_addf(&out, "%.*s %s", DA_FMT(n->id), pending ? "🟡" : resolved ? "🟢" : "🔴");
  if (n->timer)
    da_buf_addf(&out, " (sleep)");
  else if ((global || local) && n->func.len > 0)
    da_buf_addf(&out, " (%s %.*s)", local ? "run" : "rpc", DA_FMT(n->func));
  cli_print_row(da_buf_slice(&out));
  da_buf_free(&out);
}

static void draw(lineage *l, node *root)
{
  da_buf prefix = {0};
  size_t shown = 0;
  for (node *n = root; n != NULL;) {
    print_node(l->command, n, &prefix);
    shown++;
    if (n->first != NULL) {
      if (n->above != NULL) da_buf_addf(&prefix, "%s", n->next != NULL ? "│   " : "    ");
      n = n->first;
      continue;
    }
    while (n != NULL && n->next == NULL) {
      n = n->above;
      if (n != NULL) prefix.len = n->prefix_len;
    }
    if (n != NULL) n = n->next;
  }
  if (shown < l->count)
    cli_note(l->command, "%zu promises of the lineage are not below '%.*s': each is said to be made by another of them",
             l->count - shown, DA_FMT(l->id));
  da_buf_free(&prefix);
}

int cli_remote_tree(const cli_command *command)
{
  lineage l = {.command = command, .id = da_slice_of(command->operands[0])};
  if (!da_text_utf8(l.id)) return cli_fail(CLI_EXIT_USAGE, "ID is not UTF-8: '%.*s'", DA_FMT(l.id));
  l.remote = cli_remote_new(command);
  if (l.remote == NULL) return CLI_EXIT_USAGE;
  int code = read_pages(&l);
  if (code == CLI_EXIT_OK) code = read_root(&l);
  if (code == CLI_EXIT_OK) {
    node *root = da_table_get(&l.table, l.id);
    tie(&l, root);
    draw(&l, root);
  }
  cli_remote_delete(l.remote);
  da_buf_free(&l.answer.text);
  da_table_free(&l.table);
  da_arena_free(&l.arena);
  free(l.nodes);
  return code;
}
