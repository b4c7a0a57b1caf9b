/* bytecode.h - what a compiled Lua function does with the variables around it.
 *
 * Here:     the function's instructions, constants, upvalues and lines, read from the bytes that lua_dump() writes. Of
 *           the opcodes, those that read or write a variable or a field, that copy a register or that jump.
 * Relies on: the format of Lua 5.4 (its version, format and number sizes stand in the head of the bytes, and are
 *           compared) and on the numbers of its opcodes, which are the same in 5.4.0 to 5.4.7;
 *           spec/lua/bytecode_spec.lua compares them with what `luac` lists. Another version is refused, not guessed.
 * May not:  run or change the function.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_BYTECODE_H
#define DA_VM_BYTECODE_H

#include <lua.h>

#include "../base/arena.h"

enum da_opcode {
  DA_OP_MOVE = 0,
  DA_OP_LOADK = 3,
  DA_OP_LOADNIL = 8,
  DA_OP_GETUPVAL,
  DA_OP_SETUPVAL,
  DA_OP_GETTABUP,
  DA_OP_GETTABLE,
  DA_OP_GETI,
  DA_OP_GETFIELD,
  DA_OP_SETTABUP,
  DA_OP_SETTABLE,
  DA_OP_SETI,
  DA_OP_SETFIELD,
  DA_OP_SELF = 20,
  DA_OP_ADDI,
  DA_OP_ADD = 34,
  DA_OP_SHR = 45,
  DA_OP_MMBIN,
  DA_OP_MMBINK = 48,
  DA_OP_UNM,
  DA_OP_BNOT,
  DA_OP_NOT,
  DA_OP_LEN,
  DA_OP_CONCAT,
  DA_OP_CLOSE,
  DA_OP_TBC,
  DA_OP_JMP,
  DA_OP_EQ,
  DA_OP_EQK = 60,
  DA_OP_GEI = 65,
  DA_OP_TEST,
  DA_OP_TESTSET,
  DA_OP_CALL,
  DA_OP_TAILCALL,
  DA_OP_RETURN,
  DA_OP_RETURN1 = 72,
  DA_OP_FORLOOP,
  DA_OP_FORPREP,
  DA_OP_TFORPREP,
  DA_OP_TFORCALL,
  DA_OP_TFORLOOP,
  DA_OP_SETLIST,
  DA_OP_CLOSURE,
  DA_OP_VARARG,
  DA_OP_VARARGPREP,
  DA_OP_EXTRAARG,
  DA_OP_COUNT
};

static inline unsigned da_code_op(uint32_t i)
{
  return i & 0x7F;
}
static inline unsigned da_code_a(uint32_t i)
{
  return i >> 7 & 0xFF;
}
static inline unsigned da_code_b(uint32_t i)
{
  return i >> 16 & 0xFF;
}
static inline unsigned da_code_c(uint32_t i)
{
  return i >> 24;
}
static inline unsigned da_code_bx(uint32_t i)
{
  return i >> 15;
}
static inline int da_code_sj(uint32_t i) /* of JMP, relative to the next instruction */
{
  return (int)(i >> 7) - 0xFFFFFF;
}

typedef struct da_upvalue {
  bool from_stack; /* a local of the function around it; else upvalue `index` of that function */
  uint8_t index;
  da_slice name;
} da_upvalue;

typedef struct da_local {
  da_slice name;
  size_t from, to; /* the instructions it is there for; its register: how many others are there, made before it */
} da_local;

typedef struct da_proto {
  da_slice source; /* "@wf.lua" */
  int line;        /* of its beginning */
  int last_line;
  unsigned registers;
  const uint32_t *code;
  const int *lines; /* of each instruction */
  size_t code_count;
  const da_slice *constants; /* those that are strings; else empty with ptr NULL */
  size_t constant_count;
  const da_upvalue *upvalues;
  size_t upvalue_count;
  const struct da_proto **inner; /* the functions written in it */
  size_t inner_count;
  const da_local *locals; /* in the order of their making */
  size_t local_count;
} da_proto;

/* The Lua function on top of L, which stays there. In the arena. NULL: this Lua writes another format. Raises nothing,
 * allocates nothing in L. */
const da_proto *da_bytecode_of(lua_State *L, da_arena *arena);

#endif
