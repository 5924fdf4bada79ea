// What flood and drain share: the kinds of sockets.
#include "program.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum { PORT = 5002, EXPERIMENT = 253 };  // RFC 3692's protocol number

static int is(const char *word, const char *other) { return strcmp(word, other) == 0; }

static int is_stream(const char *kind) { return is(kind, "tcp") || is(kind, "mptcp"); }

// Opens a socket of a kind, or ends the program.
static int open_socket(const char *kind, int family) {
  int icmp = family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  int handle = -1;
  if (is(kind, "udp")) handle = socket(family, SOCK_DGRAM, IPPROTO_UDP);
  if (is(kind, "udplite")) handle = socket(family, SOCK_DGRAM, IPPROTO_UDPLITE);
  if (is(kind, "ping")) handle = socket(family, SOCK_DGRAM, icmp);
  if (is(kind, "icmp")) handle = socket(family, SOCK_RAW, icmp);
  if (is(kind, "raw")) handle = socket(family, SOCK_RAW, EXPERIMENT);
  if (is(kind, "own")) handle = socket(family, SOCK_RAW, IPPROTO_RAW);
  if (is(kind, "tcp")) handle = socket(family, SOCK_STREAM, IPPROTO_TCP);
  if (is(kind, "mptcp")) handle = socket(family, SOCK_STREAM, IPPROTO_MPTCP);
  if (handle < 0) die(kind);
  return handle;
}

// The address of a host, with the port that both use; returns its length.
static socklen_t address_of(const char *host, int port, struct sockaddr_storage *address) {
  struct sockaddr_in *v4 = (void *)address;
  struct sockaddr_in6 *v6 = (void *)address;
  memset(address, 0, sizeof *address);
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1) {
    fprintf(stderr, "%s is not an address\n", host);
    exit(2);
  }
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return sizeof *v6;
}
