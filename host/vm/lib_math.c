/* lib_math.c - the stock math library with a chance that belongs to the execution.
 *
 * Two streams lie in the isolate's header, so they are part of its image: the execution's, seeded by the host, and one
 * for inline steps, seeded by the system. A step may be random, and must take nothing from the execution's stream,
 * since a replay jumps over it. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <sys/random.h>

#include "lib_parts.h"

static uint64_t rotl(uint64_t x, int n)
{
  return x << n | x >> (64 - n);
}

static uint64_t random_next(da_random *random)
{
  uint64_t *s = random->s;
  uint64_t result = rotl(s[1] * 5, 7) * 9;
  uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotl(s[3], 45);
  return result;
}

static void random_seed(da_random *random, uint64_t a, uint64_t b)
{
  random->s[0] = a;
  random->s[1] = 0xff; /* never all zero */
  random->s[2] = b;
  random->s[3] = 0;
  for (int i = 0; i < 16; i++) (void)random_next(random);
}

static da_random *stream_of(da_isolate *isolate)
{
  if (!isolate->in_step) return &isolate->random;
  if (!isolate->step_seeded) {
    uint64_t seed[2] = {(uintptr_t)isolate, 0};
    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed) seed[1] = 1; /* worse, and no reason to fail */
    random_seed(&isolate->step_random, seed[0], seed[1]);
    isolate->step_seeded = true;
  }
  return &isolate->step_random;
}

void da_lib_seed(lua_State *L, uint64_t a, uint64_t b)
{
  random_seed(&da_isolate_of(L)->random, a, b);
}

uint64_t da_lib_random(lua_State *L)
{
  return random_next(stream_of(da_isolate_of(L)));
}

/* A number in [0, n], each as likely: draws until one fits the next power of two. */
static lua_Unsigned project(lua_Unsigned drawn, lua_Unsigned n, da_random *random)
{
  lua_Unsigned mask = n;
  for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
  while ((drawn &= mask) > n) drawn = random_next(random);
  return drawn;
}

static int lib_random(lua_State *L)
{
  da_random *random = stream_of(da_isolate_of(L));
  lua_Unsigned drawn = random_next(random);
  lua_Integer low = 1, high;
  switch (lua_gettop(L)) {
  case 0:
    lua_pushnumber(L, (lua_Number)(drawn >> 11) * 0x1p-53);
    return 1;
  case 1:
    high = luaL_checkinteger(L, 1);
    if (high == 0) {
      lua_pushinteger(L, (lua_Integer)drawn);
      return 1;
    }
    break;
  case 2:
    low = luaL_checkinteger(L, 1);
    high = luaL_checkinteger(L, 2);
    break;
  default:
    return luaL_error(L, "wrong number of arguments");
  }
  luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
  drawn = project(drawn, (lua_Unsigned)high - (lua_Unsigned)low, random);
  lua_pushinteger(L, (lua_Integer)(drawn + (lua_Unsigned)low));
  return 1;
}

static uint64_t seed_argument(lua_State *L, int arg)
{
  int whole;
  lua_Integer n = lua_tointegerx(L, arg, &whole);
  if (whole) return (uint64_t)n;
  lua_Number f = luaL_checknumber(L, arg);
  uint64_t bits;
  _Static_assert(sizeof bits == sizeof f, "a number is 8 bytes");
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

static int lib_randomseed(lua_State *L)
{
  da_isolate *isolate = da_isolate_of(L);
  if (lua_isnone(L, 1)) {
    if (isolate->in_step) return 0; /* is by chance already */
    return luaL_error(
        L, "math.randomseed() without a seed would not be the same on replay; math.random is seeded for each "
           "execution already");
  }
  uint64_t a = seed_argument(L, 1);
  uint64_t b = lua_isnoneornil(L, 2) ? 0 : seed_argument(L, 2);
  random_seed(stream_of(isolate), a, b);
  return 0;
}

void lib_math_open(lua_State *L)
{
  static const luaL_Reg functions[] = {{"random", lib_random}, {"randomseed", lib_randomseed}, {NULL, NULL}};
  lib_open_stock(L, luaopen_math);
  luaL_setfuncs(L, functions, 0);
  lua_setglobal(L, LUA_MATHLIBNAME);
  random_seed(&da_isolate_of(L)->random, 0, 0);
}
