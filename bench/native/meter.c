/*
 * meter MAP OCTET: every 20 ms prints `[time in us, TCP, UDP, all]`, IP bytes that meter.bpf.c has counted: from the pod
 * whose address ends in OCTET the first two, from anybody the third. MAP is the pinned map.
 */
#define _GNU_SOURCE
#include "load.h"
#include <linux/bpf.h>
#include <sys/syscall.h>

#define PERIOD_US 20000
#define SOURCES 8

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static unsigned long long read_count(int map, unsigned int key)
{
	unsigned long long value = 0;
	union bpf_attr attr = { 0 };

	attr.map_fd = map;
	attr.key = (unsigned long)&key;
	attr.value = (unsigned long)&value;
	if (bpf(BPF_MAP_LOOKUP_ELEM, &attr))
		die("bpf map lookup");
	return value;
}

int main(int argc, char **argv)
{
	union bpf_attr attr = { 0 };
	unsigned int source;
	long long next;
	int map;

	if (argc != 3)
		return 2;
	source = atoi(argv[2]) % SOURCES;
	attr.pathname = (unsigned long)argv[1];
	map = bpf(BPF_OBJ_GET, &attr);
	if (map < 0)
		die(argv[1]);
	until_asked();
	ready();
	next = now_us();
	while (!ended) {
		unsigned long long all = 0;

		for (unsigned int key = 0; key < 2 * SOURCES; key++)
			all += read_count(map, key);
		printf("[%lld,%llu,%llu,%llu]\n", now_us(), read_count(map, 2 * source), read_count(map, 2 * source + 1), all);
		next += PERIOD_US;
		if (next > now_us())
			usleep(next - now_us());
	}
	return 0;
}
