/* What datagram-source.c and datagram-sink.c send each other, in the byte order of the machine: both ends are on it. */
#ifndef PODRATE_BENCH_DATAGRAM_H
#define PODRATE_BENCH_DATAGRAM_H

#include <stdint.h>

#define DATAGRAM_SIZE 1200

struct datagram {
	uint64_t number;
	int64_t sent_us;
	char rest[DATAGRAM_SIZE - 16];
};

struct feedback {
	uint64_t highest; /* number that has arrived */
	uint64_t received; /* datagrams */
	int64_t sent_us;   /* of the highest */
};

#endif
