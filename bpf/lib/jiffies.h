/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The number of jiffies in a second (HZ). TCP_BPF's timeouts are in jiffies, and not every machine lets user space read
 * the kernel's configuration. So HZ is measured once, over the first second or more of use.
 */
#ifndef PODRATE_JIFFIES_H
#define PODRATE_JIFFIES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "thresholds.h"

#define HZ_USUAL 250
#define HZ_MIN 24
#define HZ_MAX 1200
#define HZ_FROM NSEC_PER_SEC
#define HZ_UNTIL (3600 * NSEC_PER_SEC) /* so that jiffies times 10^9 fit */

struct jiffy_rate {
	__u64 start; /* in jiffies */
	__u64 start_ns;
	__u64 hz;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct jiffy_rate);
} podrate_jiffies SEC(".maps");

static __always_inline __u64 jiffies_per_second(void)
{
	struct jiffy_rate *estimate;
	__u64 passed_ns, hz;
	__u32 only = 0;

	estimate = bpf_map_lookup_elem(&podrate_jiffies, &only);
	if (!estimate)
		return HZ_USUAL;
	if (estimate->hz)
		return estimate->hz;
	passed_ns = bpf_ktime_get_ns() - estimate->start_ns;
	/* A start of 0 is unset: both clocks begin when the machine does, jiffies five minutes below 2^32. */
	if (!estimate->start_ns || passed_ns > HZ_UNTIL) {
		estimate->start = bpf_jiffies64();
		estimate->start_ns = bpf_ktime_get_ns();
		return HZ_USUAL;
	}
	if (passed_ns < HZ_FROM)
		return HZ_USUAL;
	hz = ((bpf_jiffies64() - estimate->start) * NSEC_PER_SEC + passed_ns / 2) / passed_ns;
	/* Two CPUs that begin at once may mix their two starts; no timer runs at the result. */
	if (hz < HZ_MIN || hz > HZ_MAX) {
		estimate->start_ns = 0;
		return HZ_USUAL;
	}
	estimate->hz = hz;
	return hz;
}

#endif
