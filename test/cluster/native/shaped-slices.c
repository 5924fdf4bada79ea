// shaped-slices DIRECTORY COUNT SECONDS: waits for pods' slices below DIRECTORY (kubepods.slice) that appear from now
// on. As soon as a program of podrate is attached to one at all three hooks of a limit, prints the seconds since the
// node's boot and its path. Ends after COUNT of them, or SECONDS. Asking the kernel takes microseconds here; bpftool,
// which reads the kernel's type information first, would take the processor from the very pods that are started.
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PATH = 512, MANY = 512 };
static char seen[MANY][PATH];
static int known;

static int is_seen(const char *path) {
  for (int i = 0; i < known; i++)
    if (!strcmp(seen[i], path)) return 1;
  return 0;
}

static void remember(const char *path) {
  if (known < MANY) snprintf(seen[known++], PATH, "%s", path);
}

static long bpf(int command, union bpf_attr *attributes) {
  return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static int is_podrates(unsigned int id) {
  struct bpf_prog_info info;
  union bpf_attr attributes;
  memset(&info, 0, sizeof info);
  memset(&attributes, 0, sizeof attributes);
  attributes.prog_id = id;
  int program = bpf(BPF_PROG_GET_FD_BY_ID, &attributes);
  if (program < 0) return 0;
  memset(&attributes, 0, sizeof attributes);
  attributes.info.bpf_fd = program;
  attributes.info.info_len = sizeof info;
  attributes.info.info = (unsigned long)&info;
  long failed = bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes);
  close(program);
  return !failed && !strncmp(info.name, "podrate_", 8);
}

static int has_podrates(int directory, int type) {
  unsigned int ids[16];
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.query.target_fd = directory;
  attributes.query.attach_type = type;
  attributes.query.prog_ids = (unsigned long)ids;
  attributes.query.prog_cnt = sizeof ids / sizeof *ids;
  if (bpf(BPF_PROG_QUERY, &attributes)) return 0;
  for (unsigned int i = 0; i < attributes.query.prog_cnt; i++)
    if (is_podrates(ids[i])) return 1;
  return 0;
}

static double since_boot(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static int is_shaped(const char *path) {
  int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return 0;
  int shaped = has_podrates(directory, BPF_CGROUP_INET_EGRESS) &&
               has_podrates(directory, BPF_CGROUP_INET_INGRESS) && has_podrates(directory, BPF_CGROUP_SOCK_OPS);
  close(directory);
  return shaped;
}

// Goes through DIRECTORY and its quality-of-service slices. Returns how many it printed.
static int look(const char *path, int depth, int print) {
  int printed = 0;
  DIR *directory = opendir(path);
  if (!directory) return 0;
  for (struct dirent *entry; (entry = readdir(directory));) {
    char child[PATH];
    if (entry->d_type != DT_DIR || !strstr(entry->d_name, ".slice")) continue;
    snprintf(child, sizeof child, "%.200s/%.255s", path, entry->d_name);
    if (!strstr(entry->d_name, "-pod")) {
      if (depth > 0) printed += look(child, depth - 1, print);
    } else if (!is_seen(child) && (!print || is_shaped(child))) {
      remember(child);
      if (print) {
        printf("%.2f %s\n", since_boot(), child);
        fflush(stdout);
        printed++;
      }
    }
  }
  closedir(directory);
  return printed;
}

int main(int count, char **arguments) {
  if (count != 4) {
    fputs("usage: shaped-slices DIRECTORY COUNT SECONDS\n", stderr);
    return 2;
  }
  int wanted = atoi(arguments[2]);
  time_t end = time(NULL) + atoi(arguments[3]);
  look(arguments[1], 1, 0);
  while (wanted > 0 && time(NULL) < end) {
    wanted -= look(arguments[1], 1, 1);
    usleep(100000);
  }
  return 0;
}
