/* watch.c - sees to it that Lua code on the loop thread gives way; see watch.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <lauxlib.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/signals.h"
#include "execution.h"
#include "lib.h"

#ifndef sigev_notify_thread_id /* not named by every C library that has it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct da_watch {
  timer_t timer;
  bool armed, tried;
  _Atomic(da_isolate *) isolate; /* whose Lua runs, or NULL */
  _Atomic uint32_t ticks;
  uint32_t since; /* ticks when it began */
  int every;      /* instructions between two slices; 0: as the ticks say */
};

/* ---- the hook: at some instruction after a tick -------------------------------------------------------- */

static void place_of(lua_State *L, lua_Debug *ar, char *out, size_t size)
{
  (void)lua_getinfo(L, "Sl", ar);
  (void)snprintf(out, size, "%s:%d", ar->short_src, ar->currentline);
}

/* Leaves the running function for the host, if it can be left. */
static void give_way(lua_State *L)
{
  if (!da_lib_can_await(L)) return;
  da_isolate_set_sliced(da_isolate_of(L), true);
  (void)lua_yield(L, 0); /* from a hook it returns, and the machine yields behind it */
}

/* Out of the function for good. What cannot be left by a yield is left by an error; whoever catches it finds poison. */
static void give_up(lua_State *L, const char *place)
{
  if (da_lib_can_await(L))
    give_way(L);
  else
    luaL_error(L, "%s: runaway loop", place);
}

static void on_loading(lua_State *L, da_load_context *context, const char *place)
{
  const da_worker *worker = context->worker;
  if (da_watch_ticks(worker->watch) * DA_WATCH_TICK_MS < worker->span_limit_ms) return;
  if (!context->runaway) (void)snprintf(context->place, sizeof context->place, "%s", place);
  context->runaway = true;
  da_isolate_poison(L, DA_POISON_HOST);
  luaL_error(L, "%s: runaway loop", place);
}

static void tell_slow(da_execution *execution, const char *place)
{
  if (execution->slow_told || execution->inline_child != NULL || execution->recorded_left > 0 ||
      execution->unreached > 0)
    return;
  execution->slow_told = true;
  da_log(DA_LOG_WARN, "span.slow", "id=%.*s ms=%d at=%s mend=\"await more often, or move the work into a step\"",
         DA_FMT(execution->id), DA_WATCH_SLOW_MS, place);
}

static void on_running(lua_State *L, da_execution *execution, const char *place)
{
  const da_worker *worker = execution->worker;
  int64_t ms = (int64_t)(execution->span_ticks + da_watch_ticks(worker->watch)) * DA_WATCH_TICK_MS;
  if (ms >= DA_WATCH_SLOW_MS) tell_slow(execution, place);
  if (ms >= worker->span_limit_ms)
    da_execution_park(execution, "steps", "%s ran for %lld ms without an await, at %s",
                      execution->inline_child != NULL ? "an inline step" : "it", (long long)ms, place);
  if (da_isolate_poisoned(L) != DA_POISON_NONE)
    give_up(L, place);
  else if (execution->inline_child == NULL)
    give_way(L);
}

static const da_watch *host_watch(const da_host *host)
{
  if (host->loading) return ((const da_load_context *)host)->worker->watch;
  return ((const da_execution *)host)->worker->watch;
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
  da_host *host = da_isolate_host(L);
  if (host == NULL || !host_watch(host)->every) lua_sethook(L, NULL, 0, 0);
  if (host == NULL) return;
  char place[LUA_IDSIZE + 16];
  place_of(L, ar, place, sizeof place);
  if (host->loading)
    on_loading(L, (da_load_context *)host, place);
  else
    on_running(L, (da_execution *)host, place);
}

/* ---- the tick ------------------------------------------------------------------------------------------ */

/* Is it loading, and not for too long? A hook would leave its traces in the memory that is kept of that (pristine.h).
 */
static bool loads_on(const da_watch *watch, const da_isolate *isolate)
{
  const da_host *host = da_isolate_host(da_isolate_running(isolate));
  if (host == NULL || !host->loading) return false;
  return da_watch_ticks(watch) * DA_WATCH_TICK_MS < ((const da_load_context *)host)->worker->span_limit_ms;
}

static void on_tick(int signal, siginfo_t *info, void *context)
{
  (void)signal;
  (void)context;
  if (info->si_code != SI_TIMER) return;
  da_watch *watch = info->si_value.sival_ptr;
  da_isolate *isolate = atomic_load_explicit(&watch->isolate, memory_order_relaxed);
  if (isolate == NULL) return;
  uint32_t missed = info->si_overrun > 0 ? (uint32_t)info->si_overrun : 0;
  (void)atomic_fetch_add_explicit(&watch->ticks, 1 + missed, memory_order_relaxed);
  if (watch->every || loads_on(watch, isolate)) return;
  lua_sethook(da_isolate_running(isolate), on_hook, LUA_MASKCOUNT, 1);
}

static bool take_signal(void)
{
  struct sigaction present, wanted = {0};
  if (!da_signals_ours()) return false;
  if (sigaction(SIGURG, NULL, &present) != 0) return false;
  if ((present.sa_flags & SA_SIGINFO) != 0) return present.sa_sigaction == on_tick;
  if (present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN) return false;
  wanted.sa_sigaction = on_tick;
  wanted.sa_flags = SA_SIGINFO | SA_RESTART;
  (void)sigemptyset(&wanted.sa_mask);
  return sigaction(SIGURG, &wanted, NULL) == 0;
}

/* On the loop thread. */
static bool arm(da_watch *watch)
{
  watch->tried = true;
  if (!take_signal()) return false;
  struct sigevent event = {0};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGURG;
  event.sigev_value.sival_ptr = watch;
  event.sigev_notify_thread_id = gettid();
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &watch->timer) != 0) return false;
  struct itimerspec every = {{0, DA_WATCH_TICK_MS * 1000000}, {0, DA_WATCH_TICK_MS * 1000000}};
  if (timer_settime(watch->timer, 0, &every, NULL) == 0) return true;
  (void)timer_delete(watch->timer);
  return false;
}

/* ---- what is watched ----------------------------------------------------------------------------------- */

da_watch *da_watch_new(void)
{
  da_watch *watch = da_xcalloc(1, sizeof *watch);
  const char *every = getenv("DAHOST_SLICE");
  long count = every != NULL ? strtol(every, NULL, 10) : 0;
  watch->every = count > 0 && count < INT_MAX ? (int)count : 0;
  return watch;
}

/* A signal that is under way is for this thread, so it has come before timer_delete() returns. */
void da_watch_delete(da_watch *watch)
{
  if (watch == NULL) return;
  if (watch->armed) (void)timer_delete(watch->timer);
  free(watch);
}

void da_watch_give_way(lua_State *L)
{
  lua_sethook(L, on_hook, LUA_MASKCOUNT, 1);
}

uint32_t da_watch_ticks(const da_watch *watch)
{
  return atomic_load_explicit(&watch->ticks, memory_order_relaxed) - watch->since;
}

da_watched da_watch_enter(da_watch *watch, lua_State *L)
{
  if (!watch->tried) {
    watch->armed = arm(watch);
    if (!watch->armed)
      da_log(da_signals_ours() ? DA_LOG_WARN : DA_LOG_INFO, "watch.none",
             "text=\"SIGURG or a timer is not to be had: no slices\"");
  }
  da_isolate *outer = atomic_load_explicit(&watch->isolate, memory_order_relaxed);
  da_watched before = {outer, outer != NULL ? da_isolate_running(outer) : NULL, watch->since};
  da_isolate *isolate = da_isolate_of(L);
  da_isolate_set_running(isolate, L);
  watch->since = atomic_load_explicit(&watch->ticks, memory_order_relaxed);
  atomic_store_explicit(&watch->isolate, isolate, memory_order_relaxed);
  if (watch->every > 0) lua_sethook(L, on_hook, LUA_MASKCOUNT, watch->every);
  return before;
}

uint32_t da_watch_leave(da_watch *watch, da_watched before)
{
  lua_State *ran = da_isolate_running(atomic_load_explicit(&watch->isolate, memory_order_relaxed));
  uint32_t spent = da_watch_ticks(watch);
  if (before.isolate != NULL) da_isolate_set_running(before.isolate, before.running);
  atomic_store_explicit(&watch->isolate, before.isolate, memory_order_relaxed);
  watch->since = before.since + spent;
  if (!watch->every && lua_gethookmask(ran) != 0) lua_sethook(ran, NULL, 0, 0); /* a tick that came too late */
  return spent;
}
