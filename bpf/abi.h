/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What the shaper's programs and user space agree on: map values, byte for byte. The other side is
 * nodeagent/shaper/layout.ts; a test compares the two through the object's BTF. All fields are native endian and
 * naturally aligned.
 */
#ifndef PODRATE_ABI_H
#define PODRATE_ABI_H

#include <linux/bpf.h>

#define PODRATE_SLOTS 1024 /* limited cgroups of one node; slot 0 means "not assigned yet" and limits nothing */
#define PODRATE_OWNER_NAME 64
#define PODRATE_EXEMPT 1024 /* address blocks to which no limit applies */

/* One direction of a limit. */
struct podrate_direction {
	__u64 rate;	/* bytes per second of IP packets; 0 = no limit */
	__u64 burst_ns; /* time of rate that may pass at once after idle, in ns; 0 = the default */
};

/*
 * Map `podrate_configs`, index = slot. Written only by user space, in one update, so that a live change never touches
 * state.
 */
struct podrate_config {
	struct podrate_direction egress;
	struct podrate_direction ingress;
	__u64 flags;
};

/* flags: lift pacing and window clamps from every socket of the cgroup, in preparation of a detach */
#define PODRATE_RELEASE 1
/* flags: an ingress qdisc of the ingress rate is in front of the cgroup's device: bpf/ingress/queue.h */
#define PODRATE_QUEUED 2

struct podrate_count {
	__u64 packets; /* on the wire, GSO packets count their segments */
	__u64 bytes;   /* IP bytes, headers of every segment included */
};

/* One direction's verdicts. passed includes delayed and marked. */
struct podrate_verdicts {
	struct podrate_count passed;
	struct podrate_count delayed; /* passed while the clock had backlog: paced, not dropped */
	struct podrate_count dropped;
	struct podrate_count marked; /* ECN CE set by us */
};

/* Map `podrate_counts` (per CPU), index = slot. */
struct podrate_counters {
	struct podrate_verdicts egress;
	struct podrate_verdicts ingress;
};

/*
 * Map `podrate_states`, index = slot. The programs' own; user space writes zero bytes when it claims a slot and never
 * otherwise. One cache line for each part, so that the CPUs that send do not share a line with the CPUs that
 * receive; the hot fields fill only the first 48 bytes, because array values start 16 bytes into a line.
 */
#define PODRATE_LINE 64

/* One direction's virtual clocks: bpf/lib/clock.h. Times in ticks of 1/256 ns. */
struct podrate_clock {
	__u64 next;	/* when the link of the configured rate would have sent everything charged so far */
	__u64 datagrams; /* the second clock, of everything that is not TCP: bpf/lib/unpaced.h */
	__u64 first;	/* the second clock of TCP without payload and of young connections (ingress) */
	__u32 average;	/* moving average of payload bytes of packets that are not small */
} __attribute__((aligned(PODRATE_LINE)));

/* What the SYN gate remembers: bpf/egress/gate.h. */
struct podrate_gate {
	__u64 base;	/* moving average of the backlog that paced data meets, in ticks */
	__u64 base_ns;	/* when it was last moved */
	__u64 accepted; /* the clock when the last connection was let through */
	__u64 mean;	/* moving average of what one connection moves the clock, in ticks */
	__u64 queue_ns; /* when the last refused connection is to come back */
};

struct podrate_state {
	struct podrate_clock egress;
	struct podrate_clock ingress;
	struct podrate_gate gate;
	__u64 queued_ns; /* when the classifier last saw a packet for the cgroup; 0 = never */
	struct bpf_spin_lock lock; /* for what happens once after idle; packets take no lock */
};

/* Map `podrate_owners`, key = slot (__u32). Written only by user space; an update with BPF_NOEXIST claims the slot. */
struct podrate_owner {
	__u64 cgroup_id;		/* inode number of the cgroup's directory */
	char name[PODRATE_OWNER_NAME];	/* "pod/<uid>" or "manual/<cgroup id>", NUL padded */
};

#endif
