/*
 * sink PORT: receives what source.c sends, and datagrams that nobody reads. Every 20 ms prints `[time in us, bytes of the
 * first connection, of the second, ...]`. At SIGTERM prints `{"stalls": [us, ...]}`, the longest gap of each connection
 * between reads, from its second second on, and waits to be killed: its connections stay open until their source has told.
 */
#define _GNU_SOURCE
#include "load.h"
#include <sys/epoll.h>

#define MOST 4096
#define PERIOD_US 20000
#define SETTLED_US 1000000

static struct {
	int fd;
	long long bytes, first, last, stall;
} flows[MOST];
static int count;

static void note_gap(int i, long long now)
{
	if (flows[i].first && now - flows[i].first > SETTLED_US && now - flows[i].last > flows[i].stall)
		flows[i].stall = now - flows[i].last;
}

static void print_sample(long long now)
{
	if (!count)
		return;
	printf("[%lld", now);
	for (int i = 0; i < count; i++)
		printf(",%lld", flows[i].bytes);
	puts("]");
}

static void print_stalls(long long now)
{
	printf("{\"stalls\":[");
	for (int i = 0; i < count; i++) {
		note_gap(i, now);
		printf("%s%lld", i ? "," : "", flows[i].stall);
	}
	puts("]}");
}

static void receive(int poll, int i)
{
	/* MSG_TRUNC throws the bytes away without copying them (tcp(7)): the program costs next to nothing. */
	ssize_t got = recv(flows[i].fd, 0, 1 << 20, MSG_TRUNC | MSG_DONTWAIT);
	long long now = now_us();

	if (got > 0) {
		note_gap(i, now);
		if (!flows[i].first)
			flows[i].first = now;
		flows[i].last = now;
		flows[i].bytes += got;
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		epoll_ctl(poll, EPOLL_CTL_DEL, flows[i].fd, 0);
	}
}

static void welcome(int poll, int listener)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = count };
	int fd = accept4(listener, 0, 0, SOCK_NONBLOCK);

	if (fd < 0 || count == MOST)
		return;
	flows[count++].fd = fd;
	epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv)
{
	int port = argc == 2 ? atoi(argv[1]) : 5001, poll = epoll_create1(0), listener = bound(SOCK_STREAM, port);
	struct epoll_event events[64], event = { .events = EPOLLIN, .data.u32 = MOST };
	long long next = now_us();

	bound(SOCK_DGRAM, port);
	until_asked();
	epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
	ready();
	while (!ended) {
		long long now = now_us();
		int n;

		if (now >= next) {
			print_sample(now);
			next += PERIOD_US * (1 + (now - next) / PERIOD_US);
		}
		n = epoll_wait(poll, events, 64, (next - now) / 1000 + 1);
		for (int i = 0; i < n; i++)
			if (events[i].data.u32 == MOST)
				welcome(poll, listener);
			else
				receive(poll, events[i].data.u32);
	}
	print_stalls(now_us());
	for (;;)
		pause();
}
