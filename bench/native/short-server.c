/* short-server PORT UP DOWN: reads UP bytes of each connection, answers DOWN bytes and closes. For short-client.c. */
#define _GNU_SOURCE
#include "load.h"
#include <sys/epoll.h>

struct request {
	int fd;
	long long got;
};
static char bytes[65536];
static int poll_fd;

static void serve(int port, long long up, long long down)
{
	int listener = bound(SOCK_STREAM | SOCK_NONBLOCK, port);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = 0 };

	epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
	ready();
	while (!ended) {
		struct request *one;
		ssize_t got;

		if (epoll_wait(poll_fd, &event, 1, -1) < 1)
			continue;
		one = event.data.ptr;
		if (!one) {
			int fd = accept4(listener, 0, 0, SOCK_NONBLOCK);

			if (fd < 0)
				continue;
			one = calloc(1, sizeof(*one));
			one->fd = fd;
			event = (struct epoll_event){ .events = EPOLLIN, .data.ptr = one };
			epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
			continue;
		}
		got = recv(one->fd, bytes, sizeof(bytes), 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got > 0 && (one->got += got) < up)
			continue;
		/* An answer fits the send buffer, so one send is enough. */
		if (got > 0)
			send(one->fd, bytes, down, MSG_NOSIGNAL);
		close(one->fd);
		free(one);
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	until_asked();
	poll_fd = epoll_create1(0);
	serve(atoi(argv[1]), atoll(argv[2]), atoll(argv[3]));
	return 0;
}
