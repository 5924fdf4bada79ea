/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * How many jiffies a second has. TCP_BPF's timeouts are in jiffies, the kernel's configuration says how long one is, and
 * not every machine lets user space read that. So it is measured once, over the first second or more of use.
 */
#ifndef PODRATE_JIFFIES_H
#define PODRATE_JIFFIES_H

#include "thresholds.h"

#define HZ_USUAL 250
#define HZ_LEAST 24
#define HZ_MOST 1200
#define HZ_FROM NSEC_PER_SEC
#define HZ_UNTIL (3600 * NSEC_PER_SEC) /* so that jiffies times 10^9 fit */

struct jiffies {
	__u64 start; /* in jiffies */
	__u64 start_ns;
	__u64 hz;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct jiffies);
} measured SEC(".maps");

static __always_inline __u64 jiffies_per_second(void)
{
	struct jiffies *jiffies;
	__u64 passed_ns, hz;
	__u32 only = 0;

	jiffies = bpf_map_lookup_elem(&measured, &only);
	if (!jiffies)
		return HZ_USUAL;
	if (jiffies->hz)
		return jiffies->hz;
	passed_ns = bpf_ktime_get_ns() - jiffies->start_ns;
	/* A start of 0 is none: both clocks begin when the machine does, jiffies five minutes below 2^32. */
	if (!jiffies->start_ns || passed_ns > HZ_UNTIL) {
		jiffies->start = bpf_jiffies64();
		jiffies->start_ns = bpf_ktime_get_ns();
		return HZ_USUAL;
	}
	if (passed_ns < HZ_FROM)
		return HZ_USUAL;
	hz = ((bpf_jiffies64() - jiffies->start) * NSEC_PER_SEC + passed_ns / 2) / passed_ns;
	/* Two CPUs that begin at once may mix their two starts; whatever comes of that is no timer. */
	if (hz < HZ_LEAST || hz > HZ_MOST) {
		jiffies->start_ns = 0;
		return HZ_USUAL;
	}
	jiffies->hz = hz;
	return hz;
}

#endif
