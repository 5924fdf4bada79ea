/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The rule for packets that nothing slows: datagrams, and TCP packets that open or acknowledge. On one clock with a
 * threshold for each kind, a flood would hold the backlog at its own threshold and starve every kind below it.
 * Therefore each such kind has a second clock at a part of the rate: with practically no backlog everything passes,
 * with backlog only what fits the second clock. All is charged to the first clock too, so TCP's pacing and the other
 * kinds get the rest.
 */
#ifndef PODRATE_UNPACED_H
#define PODRATE_UNPACED_H

#include "clock.h"
#include "packet.h"

#define LEAST_BACKLOG MS(1)

/* What a packet meets and costs, in ticks. */
struct admission {
	__u64 rate;
	__u64 now;
	__u64 burst;
	__u64 cost;
	__s64 backlog;
};

/* Charges `part` times the packet's cost to a second clock, unless that is more than `limit` ahead: then false. */
static __always_inline int fits_second_clock(struct podrate_state *state, __u64 *second,
					     const struct admission *admission, __s64 limit, __u32 part)
{
	if (backlog_of(second, admission->now) > at_least(limit, FEW_PACKETS, admission->rate))
		return 0;
	charge(state, second, admission->now, admission->burst, admission->cost * part);
	return 1;
}

/* Datagrams: half of the rate, small ones a quarter. */
static __always_inline int admit_datagram(struct podrate_state *state, struct podrate_clock *clock,
					  const struct packet_size *packet, const struct admission *admission)
{
	__s64 free = cost_of(2 * clock->average, admission->rate);

	if (admission->backlog <= (free > LEAST_BACKLOG ? free : LEAST_BACKLOG))
		return 1;
	if (admission->backlog > at_least(HARD, HARD_PACKETS, admission->rate))
		return 0;
	if (packet->small)
		return fits_second_clock(state, &clock->datagrams, admission, FIRST, 4);
	return fits_second_clock(state, &clock->datagrams, admission, DROP, 2);
}

#endif
