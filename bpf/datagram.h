/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The rule for everything that is not TCP. Nothing paces a UDP socket, so a flood would hold the debt at its drop
 * threshold and leave paced TCP (which gets packet/debt a flow) the crumbs. Therefore: while there is practically no debt
 * everything passes; with debt, only what fits a second clock does, which runs at half the rate, at a quarter for small
 * packets. TCP takes the rest, because its pacing follows the first clock, on which all is charged.
 */
#ifndef PODRATE_DATAGRAM_H
#define PODRATE_DATAGRAM_H

#include "clock.h"
#include "packet.h"

#define LEAST_DEBT MS(1)

static __always_inline int admit_datagram(struct podrate_state *state, struct podrate_clock *clock,
					  const struct packet *packet, __s64 owed, __u64 price, __u64 now,
					  __u64 burst, __u64 rate)
{
	__s64 free = cost(2 * clock->average, rate);
	__s64 limit = packet->small ? 4 * DROP : DROP;

	if (owed <= (free > LEAST_DEBT ? free : LEAST_DEBT))
		return 1;
	if (owed > at_least(HARD, HARD_PACKETS, rate) || debt(&clock->side, now) > limit)
		return 0;
	charge(state, &clock->side, now, burst, price * (packet->small ? 4 : 2));
	return 1;
}

#endif
