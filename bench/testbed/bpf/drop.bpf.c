// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
/*
 * A token bucket as it should be, that only drops: one lock around its state, IP bytes with all headers of a GSO packet, a
 * tenth of a second of burst but room for the largest packet. What shaping by dropping is worth at its best.
 */
#include <linux/in.h>
#include "bucket.h"

#define BURST (RATE / 10 > 131072 ? RATE / 10 : 131072)
#define HEADERS 52 /* IPv4 and TCP with timestamps */

struct bucket {
	struct bpf_spin_lock lock;
	long long tokens;
	unsigned long long last;
};

/* One for each direction. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

static __always_inline int spend(struct __sk_buff *skb, __u32 direction)
{
	long long need = skb->len + (skb->gso_segs > 1 ? (skb->gso_segs - 1) * HEADERS : 0);
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &direction);
	unsigned long long now = bpf_ktime_get_ns(), gone;
	int verdict = PASS;

	if (!bucket || skb->ifindex == LOOPBACK)
		return PASS;
	bpf_spin_lock(&bucket->lock);
	gone = now > bucket->last ? now - bucket->last : 0;
	bucket->tokens += gone > NSEC_PER_SEC ? BURST : gone * RATE / NSEC_PER_SEC;
	if (now > bucket->last)
		bucket->last = now;
	if (bucket->tokens > BURST)
		bucket->tokens = BURST;
	if (bucket->tokens < need)
		verdict = DROP;
	else
		bucket->tokens -= need;
	bpf_spin_unlock(&bucket->lock);
	return verdict;
}

SEC("cgroup_skb/egress")
int drop_egress(struct __sk_buff *skb)
{
	return spend(skb, 0);
}

SEC("cgroup_skb/ingress")
int drop_ingress(struct __sk_buff *skb)
{
	return spend(skb, 1);
}
