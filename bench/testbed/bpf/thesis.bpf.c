// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/*
 * The token bucket of the work that podrate continues (2020): no lock on its state, RATE/512 tokens for each packet on top
 * of what time brings, one second of burst, silent drops. Compiled for each pod, as it was. Loopback is exempt here.
 */
#include "bucket.h"

static long long tokens = 1250000;
static long long last;

SEC("cgroup_skb/egress")
int thesis_egress(struct __sk_buff *skb)
{
	long long now = bpf_ktime_get_ns(), have = tokens;

	if (skb->ifindex == LOOPBACK)
		return PASS;
	/* After a second the bucket is full anyway, and the product of a day and a rate would not fit. */
	have += now - last > NSEC_PER_SEC ? RATE : (unsigned long long)(now - last) * RATE / NSEC_PER_SEC;
	have += RATE / 512;
	have -= skb->len;
	last = now;
	if (have > RATE)
		have = RATE;
	tokens = have < 0 ? 0 : have;
	return have < 0 ? DROP : PASS;
}
