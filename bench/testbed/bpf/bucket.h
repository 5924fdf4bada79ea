/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What the two buckets have in common. RATE, bytes per second, comes from the compiler's command line. */
#ifndef PODRATE_BENCH_BUCKET_H
#define PODRATE_BENCH_BUCKET_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PASS 1
#define DROP 0
#define LOOPBACK 1
#define NSEC_PER_SEC 1000000000LL

char LICENSE[] SEC("license") = "GPL";

#endif
