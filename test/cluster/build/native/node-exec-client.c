// node-exec-client ADDRESS PORT TOKEN_FILE COMMAND: runs a shell command in a node, with this process's standard input, output,
// error and exit code. Ending this process ends the command.
#include "node-exec.h"
#include <sys/socket.h>

static int connect_to(const char *address, const char *port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) die(address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
  return fd;
}

static void send_command(int server, const char *token_file, const char *command) {
  char token[TOKEN_MAX], line[TOKEN_MAX + 32];
  read_token(token_file, token);
  int length = snprintf(line, sizeof line, "%s %zu\n", token, strlen(command));
  write_all(server, line, length);
  write_all(server, command, strlen(command));
}

static void send_input(int server) {
  static char data[FRAME_MAX];
  ssize_t got;
  close(2);  // what there is to say about a lost connection, the process for the output says
  while ((got = read(0, data, sizeof data)) > 0) send_frame(server, STDIN, data, got);
  send_frame(server, STDIN_END, NULL, 0);
}

static int receive_output(int server) {
  static char data[FRAME_MAX];
  char type;
  uint32_t size, code;
  errno = 0;
  while (receive_frame(server, &type, data, &size)) {
    if (type == STDOUT) write_all(1, data, size);
    if (type == STDERR) write_all(2, data, size);
    if (type == EXIT) {
      memcpy(&code, data, 4);
      return ntohl(code);
    }
  }
  die("the node closed the connection (wrong token, or it went down)");
  return 255;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: node-exec-client ADDRESS PORT TOKEN_FILE COMMAND\n");
    return 255;
  }
  int server = connect_to(argv[1], argv[2]);
  send_command(server, argv[3], argv[4]);
  pid_t input = fork_input();
  if (input == 0) {
    send_input(server);
    return 0;
  }
  int code = receive_output(server);
  kill(input, SIGKILL);
  return code;
}
