/*
 * source HOST PORT CONNECTIONS CONGESTION [ON_MS OFF_MS]: sends as fast as it may, or by turns. At SIGTERM prints
 * `{"sent": payload bytes, "resent": of those, "broken": connections}` and ends.
 */
#define _GNU_SOURCE
#include "load.h"
#include <linux/tcp.h>
#include <sys/epoll.h>

#define MOST 4096
#define CHUNK (256 * 1024)

static char chunk[CHUNK];
static int fds[MOST], broken[MOST], idle;

static int begin(const char *host, int port, const char *congestion, int paused)
{
	struct sockaddr_storage to;
	socklen_t size = address(&to, host, port);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), low = 16384;

	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, strlen(congestion)))
		die(congestion);
	/* A pause is one only if the kernel does not hold seconds of data. */
	if (paused)
		setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof(low));
	if (connect(fd, (void *)&to, size) && errno != EINPROGRESS)
		die("connect");
	return fd;
}

static void fill(int i)
{
	ssize_t sent;

	while (!idle && !broken[i] && !ended) {
		sent = send(fds[i], chunk, CHUNK, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN && errno != ENOTCONN)
			broken[i] = 1;
		if (sent < CHUNK)
			return;
	}
}

static void tell(int count)
{
	unsigned long long sent = 0, resent = 0;
	int lost = 0;

	for (int i = 0; i < count; i++) {
		struct tcp_info info = { 0 };
		socklen_t size = sizeof(info);

		getsockopt(fds[i], IPPROTO_TCP, TCP_INFO, &info, &size);
		sent += info.tcpi_bytes_sent;
		resent += info.tcpi_bytes_retrans;
		lost += broken[i];
	}
	printf("{\"sent\":%llu,\"resent\":%llu,\"broken\":%d}\n", sent, resent, lost);
}

int main(int argc, char **argv)
{
	int count = argc > 4 ? atoi(argv[3]) : -1, poll = epoll_create1(0);
	long long on = argc > 6 ? atoll(argv[5]) * 1000 : 0, off = argc > 6 ? atoll(argv[6]) * 1000 : 0, start;
	struct epoll_event events[64];

	if (count < 0 || count > MOST)
		return 2;
	until_asked();
	ready();
	start = now_us();
	for (int i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLOUT | EPOLLET, .data.u32 = i };

		fds[i] = begin(argv[1], atoi(argv[2]), argv[4], on > 0);
		epoll_ctl(poll, EPOLL_CTL_ADD, fds[i], &event);
	}
	while (!ended) {
		long long phase = on ? (now_us() - start) % (on + off) : 0;
		int was = idle, n;

		idle = on && phase >= on;
		for (int i = 0; was && !idle && i < count; i++)
			fill(i);
		n = epoll_wait(poll, events, 64, on ? ((idle ? on + off : on) - phase) / 1000 + 1 : -1);
		for (int i = 0; i < n; i++) {
			if (events[i].events & (EPOLLERR | EPOLLHUP))
				broken[events[i].data.u32] = 1;
			fill(events[i].data.u32);
		}
	}
	tell(count);
	return 0;
}
