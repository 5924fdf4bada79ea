/*
 * ping server PORT answers; ping client HOST PORT PERIOD_MS asks with 100 bytes on one TCP connection, one question at a
 * time, and prints `[time asked in us, us until answered]` for each. At SIGTERM it prints the open question's age as well.
 */
#define _GNU_SOURCE
#include "load.h"
#include <linux/tcp.h>
#include <sys/epoll.h>

#define SIZE 100

static void serve(int port)
{
	int listener = bound(SOCK_STREAM, port), poll = epoll_create1(0), on = 1;
	struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };
	char buffer[4096];

	epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
	ready();
	while (!ended) {
		if (epoll_wait(poll, &event, 1, -1) < 1)
			continue;
		if (event.data.fd == listener) {
			event.data.fd = accept(listener, 0, 0);
			event.events = EPOLLIN;
			setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event);
			continue;
		}
		ssize_t got = recv(event.data.fd, buffer, sizeof(buffer), 0);
		if (got <= 0)
			close(event.data.fd);
		else
			send(event.data.fd, buffer, got, MSG_NOSIGNAL);
	}
}

static void ask(const char *host, int port, long long period)
{
	struct sockaddr_storage to;
	socklen_t size = address(&to, host, port);
	int fd = socket(to.ss_family, SOCK_STREAM, 0), on = 1;
	char buffer[SIZE] = { 0 };
	long long next;

	if (connect(fd, (void *)&to, size))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ready();
	next = now_us();
	while (!ended) {
		long long asked = now_us();
		int got = 0;

		if (send(fd, buffer, SIZE, MSG_NOSIGNAL) != SIZE)
			break;
		while (got < SIZE && !ended) {
			ssize_t part = recv(fd, buffer, SIZE - got, 0);

			if (part > 0)
				got += part;
			else if (part == 0 || errno != EINTR)
				exit(1);
		}
		printf("[%lld,%lld]\n", asked, now_us() - asked);
		next += period;
		if (next < now_us())
			next = now_us();
		else
			usleep(next - now_us());
	}
}

int main(int argc, char **argv)
{
	until_asked();
	if (argc == 3 && !strcmp(argv[1], "server"))
		serve(atoi(argv[2]));
	else if (argc == 5 && !strcmp(argv[1], "client"))
		ask(argv[2], atoi(argv[3]), atoll(argv[4]) * 1000);
	else
		return 2;
	return 0;
}
