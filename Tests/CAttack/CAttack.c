#define _GNU_SOURCE
#include "CAttack.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int outcome(long result) { return result < 0 ? errno : 0; }

int attack_open(const char *path) { return outcome(open(path, O_RDONLY)); }

int attack_list(const char *directory) {
  DIR *stream = opendir(directory);
  if (!stream) return errno;
  int entries = 0;
  while (readdir(stream)) entries++;
  return entries > 2 ? 0 : ENOENT;
}

static int connect_unix(const char *name, int is_abstract) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  memcpy(address.sun_path + is_abstract, name, length);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return errno;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)is_abstract + length);
  return outcome(connect(fd, (struct sockaddr *)&address, size));
}

int attack_connect_path(const char *path) { return connect_unix(path, 0); }
int attack_connect_abstract(const char *name) { return connect_unix(name, 1); }

int attack_connect_tcp(unsigned short port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return errno;
  return outcome(connect(fd, (struct sockaddr *)&address, sizeof address));
}

int attack_trace(pid_t process) { return outcome(ptrace(PTRACE_SEIZE, process, 0, 0)); }
int attack_kill(pid_t process) { return outcome(kill(process, SIGKILL)); }

int attack_fork(void) {
  pid_t child = (pid_t)syscall(SYS_fork);
  if (child == 0) _exit(0);
  if (child < 0) return errno;
  return outcome(waitpid(child, NULL, 0));
}

int attack_execute(void) {
  char *arguments[] = {"/bin/true", NULL};
  execv(arguments[0], arguments);
  return errno;
}

int attack_executable_memory(void) {
  void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return code == MAP_FAILED ? errno : 0;
}

int attack_executable_change(void) {
  void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return code == MAP_FAILED ? errno : outcome(mprotect(code, 4096, PROT_READ | PROT_EXEC));
}

int attack_mount(const char *directory) {
  if (mount("attack", directory, "tmpfs", 0, NULL) < 0) return errno;
  umount(directory);
  return 0;
}

int attack_user_namespace(void) { return outcome(unshare(CLONE_NEWUSER)); }
int attack_become_root(void) { return outcome(setresuid(0, 0, 0)); }

int attack_write_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return outcome(clock_settime(CLOCK_REALTIME, &now));
}

int attack_ring(const char *path) {
  struct io_uring_params parameters = {0};
  int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);
  if (ring < 0) return errno;
  size_t size = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
  size_t completions = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
  if (completions > size) size = completions;
  char *queues = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  struct io_uring_sqe *entry = mmap(
      NULL, sizeof *entry * parameters.sq_entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
  if (queues == MAP_FAILED || entry == MAP_FAILED) return errno;
  *entry = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (unsigned long)path};
  *(unsigned *)(queues + parameters.sq_off.array) = 0;
  __atomic_store_n((unsigned *)(queues + parameters.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return errno;
  int result = ((struct io_uring_cqe *)(queues + parameters.cq_off.cqes))->res;
  return result < 0 ? -result : 0;
}

int target_listen_abstract(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  memcpy(address.sun_path + 1, name, length);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
  return fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 8) < 0 ? -1 : fd;
}

int target_listen_tcp(unsigned short *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 8) < 0) return -1;
  if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) return -1;
  *port = ntohs(address.sin_port);
  return fd;
}
