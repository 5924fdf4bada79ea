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
#define EPOCH_PACKETS_EACH 2
#define FORGET NSEC_PER_SEC /* a share that nobody used for this long is forgotten */
#define RATIO_SHIFT 16
#define FULL_EPOCHS 2

/*
 * How long to measure: some round trips, and some packets, of the whole limit and of each sender. A shorter look would see
 * bursts only, or act again before the senders could follow.
 */
static __always_inline __u64 epoch_length(const struct podrate_share *share, const struct podrate_clock *clock, __u64 limit)
{
	__u64 packet = (__u64)clock->average * NSEC_PER_SEC, rate = share->rate;
	__u64 length = EPOCH_PACKETS * packet / limit;
	__u64 trips = share->rtt_us * 1500ULL;

	if (rate && length < EPOCH_PACKETS_EACH * packet / rate)
		length = EPOCH_PACKETS_EACH * packet / rate;
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

/*
 * What those who follow the share should send together. Behind a queue that is a little less than the limit: the queue lets
 * no more than the limit through, so what is too much would stand in the queue and never show.
 */
static __always_inline __u64 shared_limit(const struct podrate_config *config)
{
	__u64 rate = config->ingress.rate;

	return config->flags & PODRATE_QUEUED ? rate - rate / 64 : rate;
}

/* A live change scales the share at once instead of waiting for the control to find it; true if there was one. */
static __always_inline int follow_limit(struct podrate_share *share, __u64 limit)
{
	__u64 before = share->limit;

	if (before == limit)
		return 0;
	/* Rates are below 2^34, so a rate shifted by 20 and divided first stays below 2^64 for ratios up to 2^10. */
	if (before && share->rate)
		share->rate = bounded_share(((limit << 20) / before) * (share->rate >> 4) >> 16, limit);
	share->limit = limit;
	return 1;
}

/*
 * What those who follow the share should send together: what the others leave, less when there is debt beyond what pacing
 * leaves, and never less than half, so that a flood that follows nothing does not take all.
 */
static __always_inline __u64 share_target(__u64 limit, __u64 other, __s64 owed_ns, __u64 length)
{
	__u64 lower = owed_ns > 0 ? (__u64)owed_ns * 1024 / (4 * length) : 0;
	__u64 target = other < limit ? limit - other : 0;

	target -= target * (lower < 512 ? lower : 512) >> 10;
	return target > limit / 2 ? target : limit / 2;
}

/* One step of the control: it doubles or halves the share at most, and goes only half of the way up. */
static __always_inline __u64 next_share(__u64 rate, __u64 limit, __u64 target, __u64 arrived)
{
	__u64 ratio = (target << RATIO_SHIFT) / (arrived ? arrived : 1);

	if (ratio > 3 << RATIO_SHIFT)
		ratio = 3 << RATIO_SHIFT;
	if (ratio > 1 << RATIO_SHIFT)
		ratio = (ratio + (1 << RATIO_SHIFT)) / 2;
	if (ratio < 1 << (RATIO_SHIFT - 1))
		ratio = 1 << (RATIO_SHIFT - 1);
	return bounded_share(rate * ratio >> RATIO_SHIFT, limit);
}

/* Reads a sum and takes it off, losing nothing that another CPU adds meanwhile. */
static __always_inline __u64 take(__u64 *sum)
{
	__u64 taken = *(volatile __u64 *)sum;

	__sync_fetch_and_add(sum, -taken);
	return taken;
}

/* Ends the epoch that began at `start`; true on one of several CPUs that notice. */
static __always_inline int end_epoch(struct podrate_state *state, __u64 start, __u64 now_ns)
{
	int won = 0;

	bpf_spin_lock(&state->lock);
	if (state->share.epoch == start) {
		state->share.epoch = now_ns;
		won = 1;
	}
	bpf_spin_unlock(&state->lock);
	return won;
}

/*
 * Whether those who follow the share keep the queue in front filled: how much too much they send cannot be seen then. One epoch
 * that is full may be chance. Beside others who fill the queue they keep half.
 */
static __always_inline int fill_queue(struct podrate_share *share, const struct podrate_config *config, __u64 arrived,
				      __u64 other)
{
	__u64 rate = config->ingress.rate;

	if (!(config->flags & PODRATE_QUEUED) || arrived <= rate / 2 || arrived + other <= rate - rate / 128)
		share->full = 0;
	else
		share->full++;
	return share->full > FULL_EPOCHS;
}

static __always_inline void share_step(struct podrate_state *state, const struct podrate_config *config, __u64 now_ns)
{
	__u64 start = *(volatile __u64 *)&state->share.epoch, length, passed = now_ns - start, arrived, other;
	__u64 limit = shared_limit(config);
	struct podrate_share *share = &state->share;
	__s64 owed_ns = debt(&state->ingress.next, now_ns << TICK_SHIFT) >> TICK_SHIFT;

	/* What arrived before a change says nothing about the share after it. */
	if (follow_limit(share, limit) && end_epoch(state, start, now_ns)) {
		take(&share->bytes);
		take(&share->other);
		return;
	}
	length = epoch_length(share, &state->ingress, limit);
	if ((__s64)passed < (__s64)length || !end_epoch(state, start, now_ns))
		return;
	arrived = take(&share->bytes);
	other = take(&share->other);
	if (!share->rate || passed > FORGET + 8 * length) {
		share->rate = limit;
		return;
	}
	arrived = arrived * NSEC_PER_SEC / passed;
	other = other * NSEC_PER_SEC / passed;
	if (fill_queue(share, config, arrived, other))
		share->rate = bounded_share(share->rate - share->rate / 8, limit);
	else
		share->rate = next_share(share->rate, limit, share_target(limit, other, owed_ns, length), arrived);
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
