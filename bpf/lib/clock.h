/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The virtual clock (a generic cell rate algorithm, ITU-T I.371): `next` is the time at which a link of the
 * configured rate would have sent all packets so far. Ahead of now it is backlog; behind now it is credit, at most
 * one burst. One 64-bit word per clock. A packet larger than the burst passes and leaves backlog, so nothing
 * starves.
 */
#ifndef PODRATE_CLOCK_H
#define PODRATE_CLOCK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "../abi.h"
#include "thresholds.h"

/* Now in ticks. The shift lets the value wrap after 834 days; all arithmetic on it is by difference. */
static __always_inline __u64 now_ticks(void)
{
	return bpf_ktime_get_ns() << TICK_SHIFT;
}

/* How far the clock is ahead of now, in ticks; negative is credit. A clock that was never charged is idle. */
static __always_inline __s64 backlog_of(const __u64 *next, __u64 now)
{
	__u64 value = *(const volatile __u64 *)next;
	__s64 ahead = (__s64)(value - now);

	return !value || ahead > FOREVER ? -FOREVER : ahead;
}

/*
 * The time that `bytes` take at `rate`, in ticks, rounded to nearest. A packet of 2^20 bytes times 2.56e11 ticks
 * fits in 64 bits.
 */
static __always_inline __u64 cost_of(__u64 bytes, __u64 rate)
{
	return (bytes * TICKS_PER_SEC + rate / 2) / rate;
}

static __always_inline int is_idle(const __u64 *next, __u64 floor)
{
	__u64 value = *(const volatile __u64 *)next;
	__s64 above = (__s64)(value - floor);

	return !value || above < 0 || above > FOREVER;
}

/*
 * Adds a packet's cost to the clock. After idle the clock first jumps to one burst before now; the lock makes
 * several CPUs that notice jump once. The jump too is an addition, so no charge that is made beside it is lost.
 * (Compare-and-exchange would need no lock, but Linux 5.12.)
 */
static __always_inline void charge(struct podrate_state *state, __u64 *next, __u64 now, __u64 burst, __u64 cost)
{
	__u64 floor = now - burst;

	if (is_idle(next, floor)) {
		bpf_spin_lock(&state->lock);
		if (is_idle(next, floor))
			__sync_fetch_and_add(next, floor - *(volatile __u64 *)next);
		bpf_spin_unlock(&state->lock);
	}
	__sync_fetch_and_add(next, cost);
}

/* The configured burst in ticks, or the default. */
static __always_inline __u64 burst_ticks(const struct podrate_direction *direction)
{
	return (direction->burst_ns ? direction->burst_ns : BURST_NS) << TICK_SHIFT;
}

/* A threshold that is never less than the time of some full packets, so that the lowest rates pass anything at all. */
static __always_inline __s64 at_least(__s64 threshold, __u32 packets, __u64 rate)
{
	__s64 least = cost_of(packets * MTU, rate);

	return threshold > least ? threshold : least;
}

/* Keeps the moving average (1/8) of payload sizes. Two CPUs may overwrite each other's step; no harm. */
static __always_inline void average_payload(struct podrate_clock *clock, __u32 payload)
{
	__u32 average = clock->average;

	if (payload > SMALL_PAYLOAD)
		clock->average = average ? average - average / 8 + payload / 8 : payload;
}

#endif
