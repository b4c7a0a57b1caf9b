/* bind_value.h - Lua values as canonical JSON text and back, straight between a Lua stack and bytes.
 *
 * Here:     the one form in which arguments, results and errors of durable functions are stored and sent.
 * May not:  know promises or functions (hooks say what an id or a name is), keep anything between calls.
 * Threads:  any; the only state is the lua_State given.
 *
 * The form. What JSON can say is plain JSON, so that peers in other languages see plain values; keys are sorted by
 * their bytes and there is no white space, so that equal values have equal text. Strings escape like JSON.stringify.
 *   integer        plain up to +-2^53, beyond {"__da":"i64","v":"9007199254740993"}
 *   float          has '.' or 'e' ("1.0", "1e+300", "-0.0"); infinities are "__INF__" and "__NEG_INF__", as in the
 *                  published TypeScript SDK; NaN is {"__da":"nan"}
 *   string         a JSON string; one equal to a sentinel {"__da":"str","v":"__INF__"}; bytes that are not UTF-8
 *                  {"__da":"bytes","v":"<base64>"}
 *   nil, da.null   null
 *   table          keys 1..n: an array. String keys in UTF-8: an object. Empty: {}. Any other mix of string, number and
 *                  boolean keys: {"__da":"map","v":[[key,value],...]}, numbers first, then strings, then booleans.
 *                  With key "__da", or whose "__type" names an error: {"__da":"obj","v":{...}}
 *   da.array{}     [] when empty; holes are null; an integer field n is its length and not an element
 *   da.object{}    never an array, whatever its keys
 *   promise        {"__da":"promise","v":"<id>"}; durable function {"__da":"func","v":"<name>"}; both through hooks
 *   da.Error       {"__type":"error","message":...,"name":<code>,"stack":<traceback>,...}, the SDK's form of an error,
 *                  with the other fields beside them; "aggregate_error" if `errors` is a list of errors. What these
 *                  names cannot hold (a field called "name", a code that is a number) stands in "__fields", which wins
 * Reading gives back what was written, with these exceptions: null is an absent key in an object or map, nil as a whole
 * value, an argument or a result, and da.null as an element of a list (a list keeps its positions); marks are not kept,
 * save that [] reads as an empty da.array. "__da" must be the first key of its object. An integer beyond 64 bits, which
 * only peers write whose numbers are doubles, reads as a float.
 *
 * Refused, with the path of the culprit ("one[1].on.cb: a function cannot cross a durable boundary"): functions,
 * threads, userdata, metatables other than those above, keys other than strings, numbers and booleans, cycles, nesting
 * of the text beyond DA_DEPTH_MAX, text beyond DA_VALUE_MAX. Shared subtables are copied.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BIND_VALUE_H
#define DA_BINDINGS_BIND_VALUE_H

#include <lauxlib.h>
#include <lua.h>

#include "../host/base/bytes.h"

/* What a promise and a durable function are, said by those who make them. Any member may be NULL: such values are then
 * refused. `id_of` and `name_of` are asked about every full userdata and every table with a metatable not known here
 * (luaL_testudata() is the usual test); they must not raise, allocate in L or move its stack. The slice is borrowed
 * while the value lives. `push_*` push exactly one value and may raise. */
typedef struct bind_value_hooks {
  bool (*id_of)(lua_State *L, int index, da_slice *id);
  void (*push_promise)(lua_State *L, da_slice id);
  bool (*name_of)(lua_State *L, int index, da_slice *name);
  void (*push_function)(lua_State *L, da_slice name);
  bool keep_nulls; /* reading in this state, a member that is null is da.null */
} bind_value_hooks;

/* Makes the metatables of da.array, da.object and da.Error in this state and remembers the hooks (NULL: none; static,
 * kept for the life of the state). To be called once per state, before anything below. May raise. */
void bind_value_open(lua_State *L, const bind_value_hooks *hooks);

/* da.array and da.object: `f(t)` marks t (a new table without argument) and returns it. */
extern const luaL_Reg bind_value_functions[];
/* Sets `array`, `object` and `null` (a light userdata, NULL) into the table at index. May raise. */
void bind_value_install(lua_State *L, int index);

/* Encoding. `what` names the value in errors ("one[1]", "result"). Text is appended to `out`; on failure `out` is as it
 * was, the status is DA_EINVAL (cannot cross), DA_ETOOBIG (depth, size) or DA_ENOMEM, and err says why, path first.
 * The encoder creates nothing in the Lua state, runs no Lua code and never raises; it may grow the Lua stack. */
DA_MUST_USE da_status bind_value_encode(lua_State *L, int index, const char *what, da_buf *out, da_err *err);
/* The stack's values first..last (not relative to the top) as one array, nil as null; a culprit is called `what[i]`, i
 * from 1. */
DA_MUST_USE da_status bind_value_encode_args(lua_State *L, int first, int last, const char *what, da_buf *out,
                                             da_err *err);
/* Results of a function: the first one goes to `data`, nothing when there is none (as the SDK does for "undefined");
 * if there are more, they go to `rest` as an array, else nothing is added to it. */
DA_MUST_USE da_status bind_value_encode_results(lua_State *L, int first, int last, const char *what, da_buf *data,
                                                da_buf *rest, da_err *err);
/* An error must be able to leave whatever it holds: like bind_value_encode(), but a field of a da.Error that cannot
 * cross is replaced by the sentence that says so. Only DA_ETOOBIG and DA_ENOMEM are left as failures of a da.Error. */
DA_MUST_USE da_status bind_value_encode_error(lua_State *L, int index, const char *what, da_buf *out, da_err *err);

/* Decoding: strict JSON (RFC 8259), and strict tags. On failure nothing is pushed, the status is DA_EINVAL, DA_ETOOBIG
 * or DA_ENOMEM, and err says at which byte (from 0) and why. Creates Lua objects, so it may raise Lua's memory error
 * (and what push_* raises): call it protected, or where a raise is caught; nothing leaks then. */
DA_MUST_USE da_status bind_value_decode(lua_State *L, da_slice json, da_err *err); /* pushes one value */
/* Pushes each element of an array, null as nil; *count tells how many. */
DA_MUST_USE da_status bind_value_decode_array(lua_State *L, da_slice json, int *count, da_err *err);
/* The reverse of bind_value_encode_results(): pushes what the function returned; both slices may be empty. */
DA_MUST_USE da_status bind_value_decode_results(lua_State *L, da_slice data, da_slice rest, int *count, da_err *err);
/* The same for results that nobody recorded: a member that is null is da.null, rather than absent. */
DA_MUST_USE da_status bind_value_decode_whole_results(lua_State *L, da_slice data, da_slice rest, int *count,
                                                      da_err *err);

/* For encoder, decoder and bind_error.c. */
typedef enum bind_mark {
  BIND_MARK_NONE,
  BIND_MARK_ARRAY,
  BIND_MARK_OBJECT,
  BIND_MARK_ERROR,
  BIND_MARK_FOREIGN
} bind_mark;
/* What the metatable of the table or userdata at index says; creates nothing. */
bind_mark bind_value_mark(lua_State *L, int index);
/* Sets the metatable of a mark on the table at the top. */
void bind_value_set_mark(lua_State *L, bind_mark mark);
/* NULL if there are none. */
const bind_value_hooks *bind_value_get_hooks(lua_State *L);

#endif
