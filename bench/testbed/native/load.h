/* What the load programs share: the clock, sockets, a way to end. */
#ifndef PODRATE_BENCH_LOAD_H
#define PODRATE_BENCH_LOAD_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* CLOCK_MONOTONIC, as performance.now() and the kernel's BPF programs have it. */
static inline long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Reads an IPv4 or IPv6 address and a port. */
static inline socklen_t address(struct sockaddr_storage *to, const char *host, int port)
{
	struct sockaddr_in *v4 = (void *)to;
	struct sockaddr_in6 *v6 = (void *)to;

	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1) {
		fprintf(stderr, "%s is no IP address\n", host);
		exit(2);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return sizeof(*v6);
}

/* A bound socket of every address of both families; a listening one if it is TCP. */
static inline int bound(int type, int port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, type, 0), on = 1, off = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (fd < 0 || bind(fd, (void *)&any, sizeof(any)))
		die("bind");
	if ((type & 15) == SOCK_STREAM && listen(fd, 4096))
		die("listen");
	return fd;
}

static volatile sig_atomic_t ended;

static inline void on_end(int signal)
{
	(void)signal;
	ended = 1;
}

/* SIGTERM asks for the last line; without SA_RESTART it interrupts what waits. */
static inline void until_asked(void)
{
	struct sigaction action = { .sa_handler = on_end };

	sigaction(SIGTERM, &action, 0);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, 0, _IOLBF, 1 << 16);
}

static inline void ready(void)
{
	puts("{\"ready\":true}");
}

#endif
