/* What request-client.c and request-server.c share. */
#ifndef PODRATE_BENCH_REQUEST_H
#define PODRATE_BENCH_REQUEST_H

#include <stdint.h>
#include <sys/resource.h>

/* How a request begins, in the byte order of the machine: both ends are on it. */
struct request_header {
	uint32_t up, down, keep;
};

/* A connection that waits for ten seconds is one open file of many: allows as many as the process may have. */
static inline void allow_many_files(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files))
		die("RLIMIT_NOFILE");
}

#endif
