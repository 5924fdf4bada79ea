/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * What the shaper's programs and user space agree on: map values, byte for byte. nodeagent/layout.ts is the other side;
 * a test compares the two through the object's BTF. All fields are native endian and naturally aligned.
 */
#ifndef PODRATE_SHAPER_H
#define PODRATE_SHAPER_H

#define PODRATE_SLOTS 1024 /* limited cgroups of one node; slot 0 means "not assigned yet" and limits nothing */
#define PODRATE_OWNER_NAME 64

/* One direction of a limit. */
struct podrate_direction {
	__u64 rate;	/* bytes per second of IP packets; 0 = no limit */
	__u64 burst_ns; /* time of rate that may pass at once after idle, in ns; 0 = the default */
};

/* Map `configs`, index = slot. Written only by user space, in one update, so that a live change never touches state. */
struct podrate_config {
	struct podrate_direction egress;
	struct podrate_direction ingress;
	__u64 flags;
};

/* flags: lift pacing and window clamps from every socket of the cgroup, in preparation of a detach */
#define PODRATE_RELEASE 1

struct podrate_count {
	__u64 packets; /* on the wire, GSO packets count their segments */
	__u64 bytes;   /* IP bytes, headers of every segment included */
};

/* One direction's verdicts. passed includes delayed and marked. */
struct podrate_verdicts {
	struct podrate_count passed;
	struct podrate_count delayed; /* passed while the clock was in debt: paced, not dropped */
	struct podrate_count dropped;
	struct podrate_count marked; /* ECN CE set by us */
};

/* Map `counters` (per CPU), index = slot. */
struct podrate_counters {
	struct podrate_verdicts egress;
	struct podrate_verdicts ingress;
};

/* Map `owners`, key = slot (__u32). Written only by user space; an update with BPF_NOEXIST claims the slot. */
struct podrate_owner {
	__u64 cgroup_id;		/* inode number of the cgroup's directory */
	char name[PODRATE_OWNER_NAME];	/* "pod/<uid>" or "manual/<cgroup id>", NUL padded */
};

#endif
