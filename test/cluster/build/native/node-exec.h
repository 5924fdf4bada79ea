// The wire format between the two halves of node-exec: one TCP connection is one command.
//
// The client sends a line `TOKEN LENGTH\n` and then LENGTH bytes of shell command. From then on both sides send frames: a
// type byte, a length (4 bytes, big endian) and that many bytes. Closing the connection early kills the command.
#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { STDIN = 'i', STDIN_END = 'z', STDOUT = 'o', STDERR = 'e', EXIT = 'x' };
enum { FRAME_MAX = 64 * 1024, HEADER_SIZE = 5, TOKEN_MAX = 128 };

static inline void die(const char *what) {
  fprintf(stderr, "node-exec: %s: %s\n", what, errno ? strerror(errno) : "protocol error");
  exit(255);
}

static inline void write_all(int fd, const void *data, size_t size) {
  for (const char *at = data; size > 0;) {
    ssize_t written = write(fd, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) die("write");
    at += written;
    size -= written;
  }
}

// Reads exactly `size` bytes; returns 0 if the other side closed before the first, and ends the program if in between.
static inline int read_all(int fd, void *data, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t got = read(fd, (char *)data + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) die("read");
    if (got == 0 && done == 0) return 0;
    if (got == 0) die("connection closed in the middle of a frame");
    done += got;
  }
  return 1;
}

static inline void send_frame(int fd, char type, const void *data, uint32_t size) {
  char header[HEADER_SIZE] = {type};
  uint32_t length = htonl(size);
  memcpy(header + 1, &length, 4);
  write_all(fd, header, HEADER_SIZE);
  write_all(fd, data, size);
}

static inline int receive_frame(int fd, char *type, char *data, uint32_t *size) {
  char header[HEADER_SIZE];
  if (!read_all(fd, header, HEADER_SIZE)) return 0;
  *type = header[0];
  memcpy(size, header + 1, 4);
  *size = ntohl(*size);
  errno = 0;
  if (*size > FRAME_MAX) die("frame too long");
  if (*size > 0 && !read_all(fd, data, *size)) die("connection closed in the middle of a frame");
  return 1;
}

static inline void read_token(const char *path, char *token) {
  FILE *file = fopen(path, "r");
  if (!file || fscanf(file, "%127s", token) != 1) die(path);
  fclose(file);
}

// Each direction has a process of its own: with one, both ends could wait for each other with full buffers. The process for
// the input dies with the one for the output. Returns 0 in the new process.
static inline pid_t fork_input(void) {
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  return pid;
}
