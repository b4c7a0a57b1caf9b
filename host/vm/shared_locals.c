/* shared_locals.c - finds variables that one kind of state changes and the other reads.
 *
 * A *cell* is a variable as closures share it (lua_upvalueid). From every durable function on, all functions it can
 * reach are looked at: those written in it, those that lie in its upvalues, globals, and fields of either. Each gets
 * the *sides* it can be reached from, and the *accesses* its bytecode makes to cells: reads, assignments, and changes
 * of the table a cell holds (`t.k = v`, `t[k] = v`, table.insert and the like, as far as registers tell). A change that
 * only one side can make and a read that the other side can make are a conflict, if they mean the same field.
 *
 * A change in a helper that both sides call is let pass: each side then has a value of its own, as a cache has.
 * Precision over recall: what the registers do not tell (a table changed through a parameter, a method, an alias across
 * a jump) is not found, and not guessed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "shared_locals.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "../base/log.h"
#include "bytecode.h"
#include "execution.h"
#include "lib_parts.h"

enum { WORKFLOWS = 1, STEPS = 2, FUNCTIONS_MAX = 4096, DEPTH_MAX = 200 };

/* What of a cell is meant: all of it, one field known by name, or a field that is not known. */
typedef enum part { PART_WHOLE, PART_FIELD, PART_SOME_FIELD } part;

typedef struct access {
  const void *cell;
  da_slice name; /* of the variable */
  part part;
  da_slice field; /* PART_FIELD */
  bool change;
  da_slice source;
  int line;
} access;

/* A function of the script. */
typedef struct node {
  const void *id; /* lua_topointer */
  const da_proto *proto;
  unsigned sides;
  const char *from[STEPS + 1]; /* by side: the durable function it is reached from */
  access *accesses;
  size_t access_count, access_cap;
  size_t *calls; /* indices of the nodes it can reach at once */
  size_t call_count, call_cap;
} node;

typedef struct check {
  da_arena arena;
  node *nodes;
  size_t count, cap;
  const void *mutators[4]; /* rawset, table.insert, table.remove, table.sort */
  da_err *err;
  da_status status;
} check;

typedef enum held { UNKNOWN, CELL, LIBRARY /* the table `table` */, MUTATOR } held;

/* What a register is known to hold, while one function is read. */
typedef struct holding {
  held what;
  const void *cell;
  da_slice name;
  part part;
  da_slice field;
} holding;

/* A function as it is read: which of its upvalues are upvalues of the node's closure (else -1). */
typedef struct reading {
  check *check;
  lua_State *L; /* the closure lies at `closure` */
  int closure;
  size_t node;
  const da_proto *proto;
  const int *map;
  holding *registers; /* one more than it has: for those that do not exist */
} reading;

/* ---- lists ---------------------------------------------------------------------------------------------- */

static void add_access(reading *r, size_t pc, const access *what)
{
  node *n = &r->check->nodes[r->node];
  if (n->access_count == n->access_cap) {
    n->access_cap = n->access_cap != 0 ? n->access_cap * 2 : 8;
    n->accesses = da_xrealloc(n->accesses, n->access_cap * sizeof *n->accesses);
  }
  access *added = &n->accesses[n->access_count++];
  *added = *what;
  added->source = r->proto->source;
  added->line = r->proto->lines[pc];
}

static void add_call(check *c, size_t from, size_t to)
{
  node *n = &c->nodes[from];
  if (n->call_count == n->call_cap) {
    n->call_cap = n->call_cap != 0 ? n->call_cap * 2 : 8;
    n->calls = da_xrealloc(n->calls, n->call_cap * sizeof *n->calls);
  }
  n->calls[n->call_count++] = to;
}

/* The node of the Lua function on top of L, made if it is new; SIZE_MAX: one too many. The table at index 1 keeps the
 * closures by number. */
static size_t node_of(check *c, lua_State *L)
{
  const void *id = lua_topointer(L, -1);
  for (size_t i = 0; i < c->count; i++)
    if (c->nodes[i].id == id) return i;
  if (c->count == FUNCTIONS_MAX) return SIZE_MAX;
  if (c->count == c->cap) {
    c->cap = c->cap != 0 ? c->cap * 2 : 32;
    c->nodes = da_xrealloc(c->nodes, c->cap * sizeof *c->nodes);
  }
  c->nodes[c->count] = (node){.id = id, .proto = da_bytecode_of(L, &c->arena)};
  lua_pushvalue(L, -1);
  lua_rawseti(L, 1, (lua_Integer)c->count + 1);
  return c->count++;
}

/* ---- what registers hold ---------------------------------------------------------------------------------- */

static holding *held_by(const reading *r, unsigned index)
{
  return &r->registers[index < r->proto->registers ? index : r->proto->registers];
}

static void forget_from(reading *r, unsigned first)
{
  for (unsigned i = first; i < r->proto->registers; i++) r->registers[i].what = UNKNOWN;
}

/* Everything that can be jumped to begins with nothing known. */
static bool *jump_targets(const da_proto *proto, da_arena *arena)
{
  bool *targets = da_arena_zalloc(arena, proto->code_count + 1);
  for (size_t pc = 0; pc < proto->code_count; pc++) {
    uint32_t i = proto->code[pc];
    ptrdiff_t next = (ptrdiff_t)pc + 1, to = -1;
    switch (da_code_op(i)) {
    case DA_OP_JMP:
      to = next + da_code_sj(i);
      break;
    case DA_OP_FORLOOP:
    case DA_OP_TFORLOOP:
      to = next - (ptrdiff_t)da_code_bx(i);
      break;
    case DA_OP_FORPREP:
      to = next + (ptrdiff_t)da_code_bx(i) + 1;
      break;
    case DA_OP_TFORPREP:
      to = next + (ptrdiff_t)da_code_bx(i);
      break;
    default:
      break;
    }
    if (to >= 0 && (size_t)to < proto->code_count) targets[to] = true;
  }
  return targets;
}

/* ---- reading a function ------------------------------------------------------------------------------------ */

static bool is_mutator(const check *c, lua_State *L, int index)
{
  lua_CFunction fn = lua_tocfunction(L, index);
  if (fn == NULL) return false;
  for (size_t i = 0; i < sizeof c->mutators / sizeof c->mutators[0]; i++)
    if (c->mutators[i] == lua_topointer(L, index)) return true;
  return false;
}

/* The value on top of L can be called from here. Pops it. */
static void reach(reading *r)
{
  if (lua_isfunction(r->L, -1) && !lua_iscfunction(r->L, -1)) {
    size_t to = node_of(r->check, r->L);
    if (to != SIZE_MAX) add_call(r->check, r->node, to);
  }
  lua_pop(r->L, 1);
}

/* Pushes field `name` of the table on top in its place, without metamethods; nil if it is none. */
static void replace_by_field(lua_State *L, da_slice name)
{
  if (lua_istable(L, -1)) {
    lib_thaw(L, -1);
    lua_pushlstring(L, name.ptr, name.len);
    lua_rawget(L, -2);
  } else {
    lua_pushnil(L);
  }
  lua_remove(L, -2);
}

static da_slice constant(const reading *r, unsigned index)
{
  return index < r->proto->constant_count ? r->proto->constants[index] : DA_NONE;
}

/* Of upvalue `index` of the function being read: its number in the closure, 0 if it is a variable of the closure's own
 * code. */
static int closure_upvalue(const reading *r, unsigned index)
{
  return index < r->proto->upvalue_count ? r->map[index] + 1 : 0;
}

static bool is_globals(const reading *r, unsigned index)
{
  return index < r->proto->upvalue_count && da_slice_eq(r->proto->upvalues[index].name, DA_LIT("_ENV"));
}

static holding cell_of(const reading *r, unsigned index)
{
  int n = closure_upvalue(r, index);
  if (n == 0 || is_globals(r, index)) return (holding){.what = UNKNOWN};
  return (holding){.what = CELL, .cell = lua_upvalueid(r->L, r->closure, n), .name = r->proto->upvalues[index].name};
}

static void note(reading *r, size_t pc, const holding *of, part meant, da_slice field, bool change)
{
  if (of->what != CELL) return;
  access what = {.cell = of->cell, .name = of->name, .part = meant, .field = field, .change = change};
  if (of->part != PART_WHOLE) { /* below a field: the field is what changes */
    what.part = of->part;
    what.field = of->field;
  }
  add_access(r, pc, &what);
}

/* A change of the table that register a holds, at a field known or not. */
static void note_change(reading *r, size_t pc, unsigned a, da_slice field)
{
  note(r, pc, held_by(r, a), field.ptr != NULL ? PART_FIELD : PART_SOME_FIELD, field, true);
}

static void get_upvalue(reading *r, size_t pc, unsigned a, unsigned b)
{
  holding *to = held_by(r, a);
  *to = cell_of(r, b);
  int n = closure_upvalue(r, b);
  if (n == 0 || lua_getupvalue(r->L, r->closure, n) == NULL) return;
  if (is_mutator(r->check, r->L, -1)) to->what = MUTATOR;
  reach(r);
  /* A method called on it is one field of it. */
  uint32_t next = pc + 1 < r->proto->code_count ? r->proto->code[pc + 1] : DA_OP_EXTRAARG;
  if (da_code_op(next) == DA_OP_SELF && da_code_b(next) == a)
    note(r, pc, to, PART_FIELD, constant(r, da_code_c(next)), false);
  else
    note(r, pc, to, PART_WHOLE, DA_NONE, false);
}

static void get_global(reading *r, unsigned a, da_slice name)
{
  holding *to = held_by(r, a);
  *to = (holding){.what = da_slice_eq(name, DA_LIT("table")) ? LIBRARY : UNKNOWN};
  lua_rawgeti(r->L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  replace_by_field(r->L, name);
  if (is_mutator(r->check, r->L, -1)) to->what = MUTATOR;
  reach(r);
}

static void get_upvalue_field(reading *r, size_t pc, uint32_t i)
{
  unsigned a = da_code_a(i), b = da_code_b(i);
  da_slice name = constant(r, da_code_c(i));
  if (is_globals(r, b)) {
    get_global(r, a, name);
    return;
  }
  holding cell = cell_of(r, b);
  holding *to = held_by(r, a);
  *to = cell;
  if (cell.what != CELL) return;
  note(r, pc, &cell, PART_FIELD, name, false);
  to->part = PART_FIELD;
  to->field = name;
  (void)lua_getupvalue(r->L, r->closure, closure_upvalue(r, b));
  replace_by_field(r->L, name);
  reach(r);
}

/* R[A] := R[B][key] */
static void get_field(reading *r, uint32_t i)
{
  holding from = *held_by(r, da_code_b(i));
  da_slice key = da_code_op(i) == DA_OP_GETFIELD ? constant(r, da_code_c(i)) : DA_NONE;
  bool mutator = from.what == LIBRARY && (da_slice_eq(key, DA_LIT("insert")) || da_slice_eq(key, DA_LIT("remove")) ||
                                          da_slice_eq(key, DA_LIT("sort")));
  if (from.what == CELL && from.part == PART_WHOLE) {
    from.part = key.ptr != NULL ? PART_FIELD : PART_SOME_FIELD;
    from.field = key;
  } else if (from.what != CELL) {
    from = (holding){.what = mutator ? MUTATOR : UNKNOWN};
  }
  *held_by(r, da_code_a(i)) = from;
}

static void call(reading *r, size_t pc, uint32_t i)
{
  unsigned a = da_code_a(i);
  if (held_by(r, a)->what == MUTATOR && da_code_b(i) != 1) note_change(r, pc, a + 1, DA_NONE);
  forget_from(r, a);
}

static void scan(check *c, lua_State *L, int closure, size_t at, const da_proto *proto, const int *map, int depth);

/* A function written here: its upvalues are ours, or our registers, which it may change at any time. */
static void inner_function(reading *r, uint32_t i, int depth)
{
  unsigned index = da_code_bx(i);
  held_by(r, da_code_a(i))->what = UNKNOWN;
  if (index >= r->proto->inner_count || depth == DEPTH_MAX) return;
  const da_proto *inner = r->proto->inner[index];
  int *map = da_arena_alloc(&r->check->arena, inner->upvalue_count * sizeof *map + 1);
  for (size_t u = 0; u < inner->upvalue_count; u++) {
    map[u] = -1;
    if (inner->upvalues[u].from_stack)
      held_by(r, inner->upvalues[u].index)->what = UNKNOWN;
    else if (inner->upvalues[u].index < r->proto->upvalue_count)
      map[u] = r->map[inner->upvalues[u].index];
  }
  scan(r->check, r->L, r->closure, r->node, inner, map, depth + 1);
}

/* Instructions that have no register of their own to set. */
static bool sets_nothing(unsigned op)
{
  return (op >= DA_OP_MMBIN && op <= DA_OP_MMBINK) || (op >= DA_OP_CLOSE && op <= DA_OP_TEST) ||
         (op >= DA_OP_RETURN && op <= DA_OP_RETURN1) || op == DA_OP_SETLIST || op == DA_OP_EXTRAARG;
}

static void instruction(reading *r, size_t pc, int depth)
{
  uint32_t i = r->proto->code[pc];
  unsigned a = da_code_a(i), b = da_code_b(i);
  holding cell;
  switch (da_code_op(i)) {
  case DA_OP_MOVE:
    *held_by(r, a) = *held_by(r, b);
    break;
  case DA_OP_GETUPVAL:
    get_upvalue(r, pc, a, b);
    break;
  case DA_OP_SETUPVAL:
    cell = cell_of(r, b);
    note(r, pc, &cell, PART_WHOLE, DA_NONE, true);
    break;
  case DA_OP_GETTABUP:
    get_upvalue_field(r, pc, i);
    break;
  case DA_OP_SETTABUP:
    cell = cell_of(r, a);
    note(r, pc, &cell, PART_FIELD, constant(r, b), true);
    break;
  case DA_OP_GETTABLE:
  case DA_OP_GETI:
  case DA_OP_GETFIELD:
    get_field(r, i);
    break;
  case DA_OP_SETTABLE:
  case DA_OP_SETI:
    note_change(r, pc, a, DA_NONE);
    break;
  case DA_OP_SETFIELD:
    note_change(r, pc, a, constant(r, b));
    break;
  case DA_OP_CALL:
  case DA_OP_TAILCALL:
    call(r, pc, i);
    break;
  case DA_OP_CLOSURE:
    inner_function(r, i, depth);
    break;
  case DA_OP_LOADNIL:
  case DA_OP_SELF:
  case DA_OP_FORLOOP:
  case DA_OP_FORPREP:
  case DA_OP_TFORPREP:
  case DA_OP_TFORCALL:
  case DA_OP_TFORLOOP:
  case DA_OP_VARARG:
    forget_from(r, a); /* several; what lies above is of no use any more */
    break;
  default:
    if (!sets_nothing(da_code_op(i))) held_by(r, a)->what = UNKNOWN;
    break;
  }
}

static void scan(check *c, lua_State *L, int closure, size_t at, const da_proto *proto, const int *map, int depth)
{
  reading r = {.check = c, .L = L, .closure = closure, .node = at, .proto = proto, .map = map};
  r.registers = da_arena_zalloc(&c->arena, (proto->registers + 1) * sizeof *r.registers);
  const bool *targets = jump_targets(proto, &c->arena);
  for (size_t pc = 0; pc < proto->code_count; pc++) {
    if (targets[pc]) forget_from(&r, 0);
    instruction(&r, pc, depth);
  }
}

/* Reads node `at`, which may add others behind it. */
static void read_node(check *c, lua_State *L, size_t at)
{
  const da_proto *proto = c->nodes[at].proto;
  if (proto == NULL || proto->source.len == 0 || proto->source.ptr[0] != '@') return; /* the library's own */
  int *map = da_arena_alloc(&c->arena, proto->upvalue_count * sizeof *map + 1);
  for (size_t u = 0; u < proto->upvalue_count; u++) map[u] = (int)u;
  luaL_checkstack(L, 8, "shared locals");
  lua_rawgeti(L, 1, (lua_Integer)at + 1);
  scan(c, L, lua_gettop(L), at, proto, map, 0);
  lua_pop(L, 1);
}

/* ---- sides -------------------------------------------------------------------------------------------------- */

static void reach_from(check *c, size_t root, unsigned side, const char *name)
{
  size_t *todo = da_xmalloc((c->count + 1) * sizeof *todo);
  size_t count = 1;
  todo[0] = root;
  c->nodes[root].sides |= side;
  if (c->nodes[root].from[side] == NULL) c->nodes[root].from[side] = name;
  while (count > 0) {
    const node *n = &c->nodes[todo[--count]];
    for (size_t i = 0; i < n->call_count; i++) {
      node *next = &c->nodes[n->calls[i]];
      if (next->sides & side) continue;
      next->sides |= side;
      next->from[side] = name;
      todo[count++] = n->calls[i];
    }
  }
  free(todo);
}

static bool same_part(const access *change, const access *read)
{
  return change->part != PART_FIELD || read->part != PART_FIELD || da_slice_eq(change->field, read->field);
}

static int place(const access *of, const char **file)
{
  const char *source = of->source.ptr;
  *file = of->source.len > 0 && source[0] == '@' ? source + 1 : source;
  return of->source.len > 0 && source[0] == '@' ? (int)of->source.len - 1 : (int)of->source.len;
}

static da_status refuse(check *c, const access *change, unsigned side, const char *changes, const access *read,
                        const char *reads)
{
  const char *file, *other;
  int len = place(change, &file), other_len = place(read, &other);
  const char *word = side == STEPS ? "step" : "async", *other_word = side == STEPS ? "async" : "step";
  bool field = change->part == PART_FIELD;
  return da_fail(
      c->err, DA_ELUA,
      "%.*s:%d: %s.%s changes '%.*s%s%.*s', a local of the file, and %s.%s reads it (%.*s:%d). The file is "
      "loaded apart for workflows and for steps, each with a '%.*s' of its own, so the change would never be "
      "seen. Pass the value as an argument, or return it from the step",
      len, file, change->line, word, changes, DA_FMT(change->name), field ? "." : "", DA_FMT(change->field), other_word,
      reads, other_len, other, read->line, DA_FMT(change->name));
}

/* A read of what `change`, possible on `side` alone, changes, that is possible on the other side. */
static da_status look_for_read(check *c, const access *change, unsigned side, const char *changes)
{
  unsigned other = side == STEPS ? WORKFLOWS : STEPS;
  for (size_t i = 0; i < c->count; i++) {
    const node *n = &c->nodes[i];
    if (!(n->sides & other)) continue;
    for (size_t k = 0; k < n->access_count; k++) {
      const access *read = &n->accesses[k];
      if (!read->change && read->cell == change->cell && same_part(change, read))
        return refuse(c, change, side, changes, read, n->from[other]);
    }
  }
  return DA_OK;
}

static da_status find_conflict(check *c)
{
  for (size_t i = 0; i < c->count; i++) {
    const node *n = &c->nodes[i];
    if (n->sides != WORKFLOWS && n->sides != STEPS) continue;
    for (size_t k = 0; k < n->access_count; k++) {
      if (!n->accesses[k].change) continue;
      da_status status = look_for_read(c, &n->accesses[k], n->sides, n->from[n->sides]);
      if (status != DA_OK) return status;
    }
  }
  return DA_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static void learn_mutators(check *c, lua_State *L)
{
  static const char *const names[] = {"insert", "remove", "sort"};
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  replace_by_field(L, DA_LIT("rawset"));
  c->mutators[0] = lua_topointer(L, -1);
  lua_pop(L, 1);
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    replace_by_field(L, DA_LIT("table"));
    replace_by_field(L, da_slice_of(names[i]));
    c->mutators[i + 1] = lua_topointer(L, -1);
    lua_pop(L, 1);
  }
}

typedef struct root {
  const char *name; /* the table of functions keeps it */
  int line;         /* the versions of a name differ in it */
  int definition;   /* its place in the table of definitions */
  unsigned side;
  size_t node;
} root;

static int by_name(const void *a, const void *b)
{
  const root *r = a, *s = b;
  int names = strcmp(r->name, s->name);
  return names != 0 ? names : r->line - s->line;
}

typedef struct root_list {
  root *items;
  size_t count, cap;
} root_list;

static root *add_root(check *c, root_list *list)
{
  if (list->count == list->cap) {
    list->cap = list->cap != 0 ? list->cap * 2 : 16;
    root *more = da_arena_alloc(&c->arena, list->cap * sizeof *more);
    if (list->count > 0) memcpy(more, list->items, list->count * sizeof *more);
    list->items = more;
  }
  return &list->items[list->count++];
}

/* The durable functions, by name, so that the same script is always refused in the same words. Their definitions are
 * gathered in a table below the registry's. */
static size_t read_roots(check *c, lua_State *L, root **out)
{
  root_list list = {0};
  lua_newtable(L);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    for (; lua_istable(L, -1); lua_remove(L, -2)) { /* and the older versions of the name */
      root *r = add_root(c, &list);
      lua_getfield(L, -1, "workflow");
      lua_getfield(L, -2, "line");
      *r = (root){.name = lua_tostring(L, -4),
                  .line = (int)lua_tointeger(L, -1),
                  .definition = (int)list.count,
                  .side = lua_toboolean(L, -2) ? WORKFLOWS : STEPS};
      lua_pop(L, 2);
      lua_pushvalue(L, -1);
      lua_rawseti(L, -5, r->definition);
      lua_getfield(L, -1, "older");
    }
  }
  if (list.count > 0) qsort(list.items, list.count, sizeof *list.items, by_name);
  for (size_t i = 0; i < list.count; i++) {
    lua_rawgeti(L, -2, list.items[i].definition);
    lua_getfield(L, -1, "body");
    list.items[i].node = lua_iscfunction(L, -1) ? SIZE_MAX : node_of(c, L);
    lua_pop(L, 2);
  }
  lua_pop(L, 2);
  *out = list.items;
  return list.count;
}

/* Protected: (check). Index 1 becomes the table of closures. */
static int run(lua_State *L)
{
  check *c = lua_touserdata(L, 1);
  lua_settop(L, 0);
  lua_newtable(L);
  learn_mutators(c, L);
  root *roots;
  size_t count = read_roots(c, L, &roots);
  for (size_t i = 0; i < c->count; i++) read_node(c, L, i); /* the list grows */
  for (size_t i = 0; i < count; i++)
    if (roots[i].node != SIZE_MAX) reach_from(c, roots[i].node, roots[i].side, roots[i].name);
  c->status = find_conflict(c);
  return 0;
}

da_status da_shared_locals_check(lua_State *L, da_err *err)
{
  check c = {.err = err};
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, &c);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
    const char *text = lua_tostring(L, -1);
    c.status = da_fail(err, DA_ENOMEM, "reading the script's functions: %s", text != NULL ? text : "no memory");
    lua_pop(L, 1);
  }
  for (size_t i = 0; i < c.count; i++) {
    free(c.nodes[i].accesses);
    free(c.nodes[i].calls);
  }
  if (c.count > 0 && c.nodes[0].proto == NULL)
    da_log(DA_LOG_WARN, "shared_locals.unchecked", "why=\"this Lua writes another bytecode than 5.4\"");
  free(c.nodes);
  da_arena_free(&c.arena);
  return c.status;
}
