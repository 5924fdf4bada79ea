// source HOST PORT tcp CONNECTIONS | source HOST PORT udp SIZE RATE: sends as fast as it may on so many connections, or RATE
// bytes a second in datagrams of SIZE. Runs until it is killed; exits with 1 when a connection breaks.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 128 * 1024, EVENTS = 16 };
static char chunk[CHUNK];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int connected(const struct sockaddr_in *to, int type) {
  int fd = socket(AF_INET, type, 0);
  // What is in the buffer at the end is thrown away: it would be sent, under the limit, while the next flow is measured.
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to)) die("connect");
  return fd;
}

static void stream(const struct sockaddr_in *to, int count) {
  int poll = epoll_create1(0);
  struct epoll_event events[EVENTS];
  for (int i = 0; i < count; i++) {
    int fd = connected(to, SOCK_STREAM);
    struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  }
  for (;;) {
    int ready = epoll_wait(poll, events, EVENTS, -1);
    for (int i = 0; i < ready; i++)
      if (send(events[i].data.fd, chunk, CHUNK, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN) die("send");
  }
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

// Every 2 ms as many as are due. What the kernel refuses counts as sent: the limit drops it.
static void flood(const struct sockaddr_in *to, int size, double rate) {
  int fd = connected(to, SOCK_DGRAM);
  double start = seconds();
  for (long long sent = 0;; usleep(2000)) {
    long long due = (seconds() - start) * rate / size;
    for (; sent < due; sent++) send(fd, chunk, size, MSG_DONTWAIT);
  }
}

int main(int count, char **arguments) {
  if (count < 5) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))};
  if (inet_pton(AF_INET, arguments[1], &to.sin_addr) != 1) return 2;
  if (!strcmp(arguments[3], "tcp")) stream(&to, atoi(arguments[4]));
  if (count < 6 || atoi(arguments[4]) > CHUNK) return 2;
  flood(&to, atoi(arguments[4]), atof(arguments[5]));
}
