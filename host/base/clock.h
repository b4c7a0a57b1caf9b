/* clock.h - what time it is, in milliseconds since the Unix epoch.
 *
 * The clock never goes back. Where the machine's is set back, it goes on at its own pace from where it was, until the
 * machine's has caught up; so nothing that is due stands still. DAHOST_TIME_FACTOR=N makes it run N times as fast from
 * the moment the process starts, for tests with long sleeps. The engine never reads a clock: `now` is given to it.
 * A trial (da_clock_stand()) has a clock that stands still but when it is moved.
 * Threads: any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_CLOCK_H
#define DA_BASE_CLOCK_H

#include "bytes.h"

int64_t da_clock_now_ms(void);
/* From now on the clock shows at least this: the newest stamp of a store that an earlier process wrote. */
void da_clock_floor(int64_t at_ms);
/* How long to wait, in real milliseconds, until the clock shows at_ms; 0 if it already does. Rounded up. */
int64_t da_clock_wait_ms(int64_t at_ms);
/* From now on the clock shows at_ms, and nothing but da_clock_move() changes that; a wait for anything later has no
 * end. da_clock_go() gives the machine's clock back. */
void da_clock_stand(int64_t at_ms);
void da_clock_move(int64_t at_ms); /* never back */
void da_clock_go(void);
/* Monotonic nanoseconds for measuring, never for records. */
uint64_t da_clock_mono_ns(void);

#endif
