/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* The maps that user space reads or writes, and how a program finds its cgroup's slot in them. */
#ifndef PODRATE_MAPS_H
#define PODRATE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "../abi.h"

/*
 * The slot of the cgroup that the running program is attached to. The kernel makes the entry at the attach and
 * removes it with the cgroup; with a plain cgroup id as key all attach types share it (Linux 5.9). User space fills
 * it in last, so that no packet meets a half-written configuration.
 */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64);
	__type(value, __u32);
} podrate_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PODRATE_SLOTS);
	__type(key, __u32);
	__type(value, struct podrate_config);
} podrate_configs SEC(".maps");

/* Apart from `podrate_configs`, so that a live change never resets a clock. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PODRATE_SLOTS);
	__type(key, __u32);
	__type(value, struct podrate_state);
} podrate_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PODRATE_SLOTS);
	__type(key, __u32);
	__type(value, struct podrate_counters);
} podrate_counts SEC(".maps");

/* Which cgroup holds which slot. Only user space uses it; it lives here so that it is pinned with the rest. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PODRATE_SLOTS);
	__type(key, __u32);
	__type(value, struct podrate_owner);
} podrate_owners SEC(".maps");

/* What a program needs to know about the cgroup it runs for. */
struct limited {
	__u32 slot;
	struct podrate_config *config;
	struct podrate_state *state;
};

/* Finds the cgroup's slot, configuration and state; false when it has no slot yet and nothing is limited. */
static __always_inline int find_limited(struct limited *found)
{
	__u32 *slot = bpf_get_local_storage(&podrate_slots, 0);

	found->slot = *slot;
	if (!found->slot)
		return 0;
	found->config = bpf_map_lookup_elem(&podrate_configs, &found->slot);
	found->state = bpf_map_lookup_elem(&podrate_states, &found->slot);
	return found->config && found->state;
}

#endif
