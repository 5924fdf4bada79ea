/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The share that a limited receiver offers to each of its senders, found by ratio control (as in the Rate Control
 * Protocol): what arrived against what should have arrived, once an epoch. Nobody has to count flows.
 */
#ifndef PODRATE_SHARE_H
#define PODRATE_SHARE_H

#include "clock.h"

#define EPOCH_LEAST (10 * NSEC_PER_MSEC)
#define EPOCH_MOST (500 * NSEC_PER_MSEC)
#define EPOCH_PACKETS 16
#define FORGET NSEC_PER_SEC /* a share that nobody used for this long is forgotten */
#define RATIO_SHIFT 16

/* How long to measure: some round trips and some packets, for a shorter look would see bursts only. */
static __always_inline __u64 epoch_length(const struct podrate_share *share, const struct podrate_clock *clock, __u64 limit)
{
	__u64 length = EPOCH_PACKETS * (__u64)clock->average * NSEC_PER_SEC / limit;
	__u64 trips = share->rtt_us * 1500ULL;

	if (length < trips)
		length = trips;
	if (length < EPOCH_LEAST)
		return EPOCH_LEAST;
	return length < EPOCH_MOST ? length : EPOCH_MOST;
}

static __always_inline __u64 bounded_share(__u64 rate, __u64 limit)
{
	__u64 least = limit / 4096 + 1;

	return rate < least ? least : rate > limit ? limit : rate;
}

/* A live change scales the share at once instead of waiting for the control to find it. */
static __always_inline void follow_limit(struct podrate_share *share, __u64 limit)
{
	__u64 before = share->limit;

	if (before == limit)
		return;
	/* Rates are below 2^34, so a rate shifted by 20 and divided first stays below 2^64 for ratios up to 2^10. */
	if (before && share->rate)
		share->rate = bounded_share(((limit << 20) / before) * (share->rate >> 4) >> 16, limit);
	share->limit = limit;
}

/*
 * One step of the control. Debt beyond what pacing leaves lowers the target, at most to half; a step doubles or halves
 * the share at most, and goes only half of the way up.
 */
static __always_inline __u64 next_share(__u64 rate, __u64 limit, __u64 arrived, __s64 owed_ns, __u64 length)
{
	__u64 lower = owed_ns > 0 ? (__u64)owed_ns * 1024 / (4 * length) : 0;
	__u64 target = limit - (limit * (lower < 512 ? lower : 512) >> 10);
	__u64 ratio = (target << RATIO_SHIFT) / (arrived ? arrived : 1);

	if (ratio > 3 << RATIO_SHIFT)
		ratio = 3 << RATIO_SHIFT;
	if (ratio > 1 << RATIO_SHIFT)
		ratio = (ratio + (1 << RATIO_SHIFT)) / 2;
	if (ratio < 1 << (RATIO_SHIFT - 1))
		ratio = 1 << (RATIO_SHIFT - 1);
	return bounded_share(rate * ratio >> RATIO_SHIFT, limit);
}

/* Counts an arrived packet, dropped or not, and ends the epoch when it is over; one CPU wins the exchange and does it. */
static __always_inline void share_measure(struct podrate_share *share, struct podrate_clock *clock, __u64 limit,
					  __u32 wire, __u64 now_ns)
{
	__u64 start = *(volatile __u64 *)&share->epoch, length = epoch_length(share, clock, limit);
	__u64 passed = now_ns - start, bytes;

	follow_limit(share, limit);
	__sync_fetch_and_add(&share->bytes, wire);
	if ((__s64)passed < (__s64)length || __sync_val_compare_and_swap(&share->epoch, start, now_ns) != start)
		return;
	bytes = *(volatile __u64 *)&share->bytes;
	__sync_fetch_and_add(&share->bytes, -bytes);
	if (!share->rate || passed > FORGET + 8 * length)
		share->rate = limit;
	else
		share->rate = next_share(share->rate, limit, bytes * NSEC_PER_SEC / passed,
					 debt(&clock->next, now_ns << TICK_SHIFT) >> TICK_SHIFT, length);
}

/*
 * A new connection. The share falls at once to what is left if everybody sends at the old share: the harmonic step
 * R <- C*R/(C+R) makes n connections in a row start at C/2, C/3, ... C/(n+1) instead of n times the limit.
 */
static __always_inline void share_join(struct podrate_share *share, __u64 limit, __u32 srtt_us, __u64 now_ns)
{
	__u64 rate;

	follow_limit(share, limit);
	rate = share->rate && now_ns - share->epoch < FORGET + EPOCH_MOST ? share->rate : limit;
	/* C*R needs up to 68 bits, so both lose 6 when the limit is large. */
	if (limit >> 30)
		rate = ((limit >> 6) * (rate >> 6) / ((limit >> 6) + (rate >> 6))) << 6;
	else
		rate = limit * rate / (limit + rate);
	share->rate = bounded_share(rate, limit);
	share->rtt_us = share->rtt_us ? share->rtt_us - share->rtt_us / 8 + srtt_us / 8 : srtt_us;
}

#endif
