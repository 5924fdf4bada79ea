// tcp-counters PORT SECONDS INTERVAL: prints what the kernel's TCP counted (tcp_info) of every established connection with this
// local or remote port, again and again, until the connections that it saw have ended, or for SECONDS. One process for all readings: on a slow machine starting ss each time would take the
// time that the traffic needs. Each reading is lines of
//   LOCAL REMOTE bytes_sent segs_out bytes_received segs_in
// and ends with a line "@ SECONDS", the time of day.
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ESTABLISHED = 1 };  // TCP_ESTABLISHED of the kernel

static void die(const char *what) {
  perror(what);
  exit(1);
}

static const char *address_of(int family, const void *raw, int port, char *text) {
  char name[INET6_ADDRSTRLEN];
  inet_ntop(family, raw, name, sizeof name);
  snprintf(text, INET6_ADDRSTRLEN + 10, family == AF_INET6 ? "[%s]:%d" : "%s:%d", name, port);
  return text;
}

static int print_socket(const struct inet_diag_msg *message, int length, int port) {
  int from = ntohs(message->id.idiag_sport), to = ntohs(message->id.idiag_dport);
  if (from != port && to != port) return 0;
  int left = length - NLMSG_ALIGN(sizeof *message);
  struct rtattr *attribute = (void *)((char *)message + NLMSG_ALIGN(sizeof *message));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type != INET_DIAG_INFO) continue;
    struct tcp_info info = {0};
    size_t size = RTA_PAYLOAD(attribute);
    memcpy(&info, RTA_DATA(attribute), size < sizeof info ? size : sizeof info);
    char local[INET6_ADDRSTRLEN + 10], remote[INET6_ADDRSTRLEN + 10];
    printf("%s %s %llu %u %llu %u\n", address_of(message->idiag_family, message->id.idiag_src, from, local),
           address_of(message->idiag_family, message->id.idiag_dst, to, remote), info.tcpi_bytes_sent,
           info.tcpi_segs_out, info.tcpi_bytes_received, info.tcpi_segs_in);
    return 1;
  }
  return 0;
}

// Returns how many connections it printed.
static int read_sockets(int netlink, int family, int port) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
  } request = {
      .header = {.nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
      .body = {.sdiag_family = family,
               .sdiag_protocol = IPPROTO_TCP,
               .idiag_ext = 1 << (INET_DIAG_INFO - 1),
               .idiag_states = 1 << ESTABLISHED},
  };
  if (send(netlink, &request, sizeof request, 0) < 0) die("send");
  static char buffer[1 << 16];
  int found = 0;
  for (;;) {
    int length = recv(netlink, buffer, sizeof buffer, 0);
    if (length < 0) die("recv");
    for (struct nlmsghdr *header = (void *)buffer; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
      if (header->nlmsg_type == NLMSG_DONE) return found;
      if (header->nlmsg_type == NLMSG_ERROR) {
        fputs("the kernel refused to list the sockets\n", stderr);
        exit(1);
      }
      found += print_socket(NLMSG_DATA(header), NLMSG_PAYLOAD(header, 0), port);
    }
  }
}

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **arguments) {
  if (count != 4) {
    fputs("usage: tcp-counters PORT SECONDS INTERVAL\n", stderr);
    return 2;
  }
  int port = atoi(arguments[1]);
  double end = now(CLOCK_MONOTONIC) + atof(arguments[2]), interval = atof(arguments[3]);
  int netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (netlink < 0) die("socket");
  int seen = 0, without = 0;
  while (now(CLOCK_MONOTONIC) < end && without < 3) {
    int found = read_sockets(netlink, AF_INET, port) + read_sockets(netlink, AF_INET6, port);
    seen |= found > 0;
    without = seen && found == 0 ? without + 1 : 0;
    printf("@ %.6f\n", now(CLOCK_REALTIME));
    fflush(stdout);
    usleep(interval * 1e6);
  }
  return 0;
}
