/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Counting verdicts. Per CPU, and still atomic: the egress hook runs in process context, where a softirq on the same
 * CPU (or, with preemption, another task) can run it again between a load and a store. Uncontended, an atomic add
 * costs little.
 */
#ifndef PODRATE_COUNTERS_H
#define PODRATE_COUNTERS_H

#include "../abi.h"
#include "packet.h"

static __always_inline void count(struct podrate_count *count, const struct packet_size *packet)
{
	__sync_fetch_and_add(&count->packets, packet->segments);
	__sync_fetch_and_add(&count->bytes, packet->wire);
}

static __always_inline void count_passed(struct podrate_verdicts *verdicts, const struct packet_size *packet,
					 __s64 backlog)
{
	count(&verdicts->passed, packet);
	if (backlog > 0)
		count(&verdicts->delayed, packet);
}

#endif
