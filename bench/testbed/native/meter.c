/*
 * meter MAP OCTET: every 20 ms prints `[time in us, TCP, UDP, all]`, IP bytes that meter.bpf.c has counted: from the pod
 * whose address ends in OCTET the first two, from anybody the third. MAP is the pinned map.
 * meter MAP: prints `[time in us, bytes of service 0, of service 1, ...]`, from anybody.
 */
#define _GNU_SOURCE
#include "load.h"
#include <linux/bpf.h>
#include <sys/syscall.h>

#define PERIOD_US 20000
#define SOURCES 8
#define SERVICES 16

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

static unsigned long long counts[SOURCES][SERVICES];

static void print_source(long long now, unsigned int source)
{
	unsigned long long tcp = 0, all = 0;

	for (int service = 1; service < SERVICES; service++)
		tcp += counts[source][service];
	for (int i = 0; i < SOURCES * SERVICES; i++)
		all += counts[i / SERVICES][i % SERVICES];
	printf("[%lld,%llu,%llu,%llu]\n", now, tcp, counts[source][0], all);
}

static void print_services(long long now)
{
	printf("[%lld", now);
	for (int service = 0; service < SERVICES; service++) {
		unsigned long long sum = 0;

		for (int source = 0; source < SOURCES; source++)
			sum += counts[source][service];
		printf(",%llu", sum);
	}
	puts("]");
}

int main(int argc, char **argv)
{
	union bpf_attr attr = { 0 };
	long long next;
	int map;

	if (argc != 2 && argc != 3)
		return 2;
	attr.pathname = (unsigned long)argv[1];
	map = bpf(BPF_OBJ_GET, &attr);
	if (map < 0)
		die(argv[1]);
	until_asked();
	ready();
	next = now_us();
	while (!ended) {
		for (unsigned int key = 0; key < SOURCES * SERVICES; key++)
			counts[key / SERVICES][key % SERVICES] = read_count(map, key);
		if (argc == 3)
			print_source(now_us(), atoi(argv[2]) % SOURCES);
		else
			print_services(now_us());
		next += PERIOD_US;
		if (next > now_us())
			usleep(next - now_us());
	}
	return 0;
}
