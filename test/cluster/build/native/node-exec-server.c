// node-exec-server PORT TOKEN_FILE: runs the shell commands that node-exec-client sends, one process per connection.
// The answer ends when the shell ends, also if something that it started in the background still holds its output.
#include "node-exec.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char data[FRAME_MAX];

// Checks the token and returns the command, or NULL.
static char *receive_command(int client, const char *token) {
  char line[TOKEN_MAX + 32] = "", given[TOKEN_MAX];
  size_t length;
  for (size_t i = 0; i + 1 < sizeof line; i++) {
    if (!read_all(client, line + i, 1)) return NULL;
    if (line[i] == '\n') break;
  }
  if (sscanf(line, "%127s %zu", given, &length) != 2 || strcmp(given, token) != 0 || length > 1 << 20) return NULL;
  char *command = calloc(1, length + 1);
  return command && (length == 0 || read_all(client, command, length)) ? command : NULL;
}

static pid_t start(const char *command, int pipes[3][2]) {
  for (int i = 0; i < 3; i++)
    if (pipe2(pipes[i], O_CLOEXEC) < 0) die("pipe");
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) {
    setsid();
    dup2(pipes[0][0], 0);
    dup2(pipes[1][1], 1);
    dup2(pipes[2][1], 2);
    signal(SIGPIPE, SIG_DFL);
    execl("/bin/bash", "bash", "-c", command, NULL);
    _exit(127);
  }
  close(pipes[0][0]);
  close(pipes[1][1]);
  close(pipes[2][1]);
  return pid;
}

// Sends what the pipe holds; returns 0 at its end.
static int forward(int from, int client, char type) {
  ssize_t got = read(from, data, sizeof data);
  if (got > 0) send_frame(client, type, data, got);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

// What the ended shell left in a pipe. Bounded, as a background process may go on writing for ever.
static void drain(int from, int client, char type) {
  if (from < 0) return;
  fcntl(from, F_SETFL, O_NONBLOCK);
  for (int i = 0; i < 64; i++) {
    ssize_t got = read(from, data, sizeof data);
    if (got <= 0) return;
    send_frame(client, type, data, got);
  }
}

// Hands the client's input to the shell, and kills the shell and its children when the client goes away.
static void receive_input(int client, int input, pid_t shell) {
  char type;
  uint32_t size;
  while (receive_frame(client, &type, data, &size)) {
    if (type == STDIN_END) close(input);
    for (uint32_t done = 0; type == STDIN && done < size;) {
      ssize_t written = write(input, data + done, size - done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) break;  // a command that does not read its input is no error
      done += written;
    }
  }
  kill(-shell, SIGKILL);
}

static void serve(int client, const char *token) {
  char *command = receive_command(client, token);
  if (!command) exit(1);
  int pipes[3][2], status;
  pid_t shell = start(command, pipes);
  int ended = syscall(SYS_pidfd_open, shell, 0);
  if (ended < 0) die("pidfd_open");
  pid_t input = fork_input();
  if (input == 0) {
    receive_input(client, pipes[0][1], shell);
    exit(0);
  }
  close(pipes[0][1]);
  struct pollfd fds[] = {{.fd = pipes[1][0], .events = POLLIN},
                         {.fd = pipes[2][0], .events = POLLIN},
                         {.fd = ended, .events = POLLIN}};
  while (!fds[2].revents) {
    if (poll(fds, 3, -1) < 0 && errno != EINTR) die("poll");
    if (fds[0].revents && !forward(fds[0].fd, client, STDOUT)) fds[0].fd = -1;
    if (fds[1].revents && !forward(fds[1].fd, client, STDERR)) fds[1].fd = -1;
  }
  drain(fds[0].fd, client, STDOUT);
  drain(fds[1].fd, client, STDERR);
  waitpid(shell, &status, 0);
  kill(input, SIGKILL);
  uint32_t code = htonl(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  send_frame(client, EXIT, &code, 4);
  exit(0);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: node-exec-server PORT TOKEN_FILE\n");
    return 255;
  }
  char token[TOKEN_MAX];
  read_token(argv[2], token);
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 64) < 0) die("listen");
  for (;;) {
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    if (fork() == 0) {
      signal(SIGCHLD, SIG_DFL);
      serve(client, token);
    }
    close(client);
  }
}
