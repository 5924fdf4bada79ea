/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The classifier of the ingress qdisc: HTB on the host's end of the pod's device, made by nodeagent/queue.ts. Classes:
 *   first  a flow's first kilobyte and flows that stay slow; TCP packets without payload
 *   young  what follows up to 16 KB, an initial window (RFC 6928)
 *   bulk   what follows of a TCP flow
 *   other  what nothing slows: further datagrams, TCP faster than the limit, a source's flood of TCP without payload
 * `first` is served before the others, and a flow does not return to an earlier class before it was idle for longer than
 * any class holds a packet. So no packet overtakes another of its connection.
 */
#ifndef PODRATE_QUEUE_H
#define PODRATE_QUEUE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "../lib/clock.h"
#include "../lib/exempt.h"
#include "../lib/maps.h"
#include "../lib/packet.h"

/* Minor numbers of the classes; nodeagent/queue.ts has the same. */
#define CLASS_DIRECT 0 /* HTB's own: passes at once (net/sched/sch_htb.c, HTB_DIRECT) */
#define CLASS_FIRST 0x10
#define CLASS_YOUNG 0x18
#define CLASS_BULK 0x20
#define CLASS_OTHER 0x30

#define FIRST_BYTES 1024
#define YOUNG_BYTES 16384
#define CONTROL_BYTES 16384
#define SLOW_PART 32	  /* of the rate: a slower flow stays in `first` */
#define CONTROL_PART 16	  /* of the rate, for one source's TCP packets without payload */
#define IDLE MS(1000)	  /* longer than any class holds a packet */
#define FAST_TIME MS(1000) /* for so long a TCP flow may exceed the limit: slow start does */
#define STAMP_NS (100 * NSEC_PER_MSEC)
#define STAMP_TTL NSEC_PER_SEC

/* A flow of a pod by the kernel's own keyed hash, or a source of TCP without payload by its address. */
struct flow_key {
	__u16 slot;
	__u16 is_source;
	__u32 hash;
};

/* Virtual clocks, in ticks. */
struct flow {
	__u64 slow;	/* at a part of the rate */
	__u64 fast;	/* at the rate plus a quarter, which a flow needs to repair losses */
};

/* Of all pods. Entries that are evicted under a flood only make their flow young again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct flow);
} podrate_flows SEC(".maps");

/* Whether packets of this cgroup come through the qdisc: it is configured, and the classifier has seen one lately. */
static __always_inline int is_queued(const struct limited *limited, __u64 now_ns)
{
	return limited->config->flags & PODRATE_QUEUED && now_ns - limited->state->queued_ns < STAMP_TTL;
}

static __always_inline struct flow *flow_of(struct flow_key *key, __u64 now)
{
	struct flow fresh = { .slow = now, .fast = now }, *flow = bpf_map_lookup_elem(&podrate_flows, key);

	if (flow)
		return flow;
	bpf_map_update_elem(&podrate_flows, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&podrate_flows, key);
}

/* Charges a clock, unless that puts it more than `allowance` ahead. Two CPUs may overwrite each other's jump; no harm. */
static __always_inline int fits(__u64 *next, __u64 now, __s64 cost, __s64 allowance)
{
	__s64 backlog = backlog_of(next, now);

	if (backlog < 0)
		backlog = 0;
	if (backlog + cost > allowance)
		return 0;
	if (!backlog)
		*next = now;
	__sync_fetch_and_add(next, cost);
	return 1;
}

/* Whether a TCP segment carries neither data nor FIN, which must not overtake data: a SYN, a pure ACK, a RST. */
static __always_inline int is_control(struct __sk_buff *skb, const struct ip_header *ip, int ipv4)
{
	__u8 offset_flags[2];
	__be16 total;

	if (load_ip(skb, ip->length + 12, offset_flags, 2) || load_ip(skb, ipv4 ? 2 : 4, &total, 2))
		return 0;
	/* A length of 0 is a packet too large for the field (BIG TCP). */
	return total && !(offset_flags[1] & TCP_FIN) &&
	       bpf_ntohs(total) + (ipv4 ? 0 : IPV6_HEADER) <= ip->length + (offset_flags[0] >> 4) * 4;
}

/* The class of TCP without payload: no window slows a flood of SYN or ACK, so each source has a part of the rate. */
static __always_inline __u32 class_of_control(__u32 slot, const struct ip_address *source, __u32 bytes, __u64 rate,
					      __u64 now)
{
	struct flow_key key = { .slot = slot, .is_source = 1 };
	__s64 allowance = cost_of(CONTROL_PART * CONTROL_BYTES, rate);
	struct flow *flow;

	key.hash = source->words[0] ^ source->words[1] ^ source->words[2] ^ source->words[3];
	flow = flow_of(&key, now);
	if (flow && !fits(&flow->slow, now, cost_of(CONTROL_PART * bytes, rate), allowance))
		return CLASS_OTHER;
	return CLASS_FIRST;
}

/*
 * The class of a packet with payload, by the backlog of its flow's slow clock:
 *   0 .. first		first
 *   IDLE .. IDLE+young	young
 *   2 IDLE + young	bulk or other
 * A flow that leaves a class is put ahead so far that it is back only after IDLE without packets.
 */
static __always_inline __u32 class_of_flow(struct __sk_buff *skb, __u32 slot, int tcp, __u64 rate, __u64 now)
{
	__s64 first = cost_of(SLOW_PART * FIRST_BYTES, rate), young = IDLE + cost_of(SLOW_PART * YOUNG_BYTES, rate);
	struct flow_key key = { .slot = slot, .hash = bpf_get_hash_recalc(skb) };
	__s64 cost = cost_of(SLOW_PART * skb->len, rate);
	struct flow *flow = flow_of(&key, now);
	__s64 backlog;

	if (!flow || fits(&flow->slow, now, cost, first))
		return CLASS_FIRST;
	backlog = backlog_of(&flow->slow, now);
	if (backlog < IDLE + first)
		flow->slow = now + IDLE + first;
	if (fits(&flow->slow, now, cost, young))
		return CLASS_YOUNG;
	flow->slow = now + young + IDLE;
	if (tcp && fits(&flow->fast, now, cost_of(skb->len, rate + rate / 4), FAST_TIME))
		return CLASS_BULK;
	flow->fast = now + FAST_TIME + IDLE;
	return CLASS_OTHER;
}

/* The minor number of the packet's class. */
static __always_inline __u32 class_of(struct __sk_buff *skb, __u32 slot, __u64 rate, __u64 now)
{
	int ipv4 = skb->protocol == bpf_htons(ETH_P_IP), tcp;
	struct ip_header ip;

	if ((!ipv4 && skb->protocol != bpf_htons(ETH_P_IPV6)) || !parse_ip(skb, &ip))
		return CLASS_FIRST;
	if (is_exempt(&ip.source))
		return CLASS_DIRECT;
	tcp = ip.protocol == IPPROTO_TCP;
	if (tcp && is_control(skb, &ip, ipv4))
		return class_of_control(slot, &ip.source, skb->len, rate, now);
	return class_of_flow(skb, slot, tcp, rate, now);
}

/*
 * Classifies a packet. The filter's class id holds the pod's slot as its minor number: cls_bpf passes it in
 * tc_classid, and takes from there the class, under HTB's own major number (net/sched/cls_bpf.c).
 */
static __always_inline void classify(struct __sk_buff *skb)
{
	__u32 slot = skb->tc_classid & 0xffff;
	struct podrate_config *config = bpf_map_lookup_elem(&podrate_configs, &slot);
	struct podrate_state *state = bpf_map_lookup_elem(&podrate_states, &slot);
	__u64 now_ns = bpf_ktime_get_ns();

	skb->tc_classid = CLASS_DIRECT;
	if (!config || !state || !config->ingress.rate)
		return;
	/* Seldom, so that CPUs do not fight for the line. */
	if (now_ns - state->queued_ns > STAMP_NS)
		state->queued_ns = now_ns;
	skb->tc_classid = class_of(skb, slot, config->ingress.rate, now_ns << TICK_SHIFT);
}

#endif
