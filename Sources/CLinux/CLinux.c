#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int clinux_ioctl_none(int fd, unsigned long request) { return ioctl(fd, request, 0); }
int clinux_ioctl_value(int fd, unsigned long request, unsigned long value) { return ioctl(fd, request, value); }
int clinux_ioctl_pointer(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
int clinux_open(const char *path, int flags, mode_t mode) { return open(path, flags | O_CLOEXEC, mode); }
int clinux_fcntl(int fd, int command, long argument) { return fcntl(fd, command, argument); }

static int close_from(unsigned int first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return 0;
#endif
  long limit = sysconf(_SC_OPEN_MAX);
  for (long fd = first; fd < limit; fd++) close((int)fd);
  return 0;
}

static void report(int pipe_fd) {
  int error = errno;
  ssize_t ignored = write(pipe_fd, &error, sizeof error);
  (void)ignored;
  _exit(127);
}

static void child(const struct clinux_child *r, int pipe_fd) {
  size_t n = r->descriptor_count;
  sigset_t none;
  sigemptyset(&none);
  for (int s = 1; s < NSIG; s++) signal(s, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (r->new_session) {
    if (setsid() < 0) report(pipe_fd);
  } else if (r->new_process_group) {
    if (setpgid(0, 0) < 0) report(pipe_fd);
  }
  /* "0" is whoever writes it. */
  if (r->group >= 0 && write(r->group, "0", 1) != 1) report(pipe_fd);
  if (r->parent_death_signal) prctl(PR_SET_PDEATHSIG, r->parent_death_signal);

  /* Move everything out of the way first: sources may overlap targets. */
  int moved[n ? n : 1];
  for (size_t i = 0; i < n; i++) {
    moved[i] = -1;
    if (r->descriptors[i] < 0) continue;
    moved[i] = fcntl(r->descriptors[i], F_DUPFD, (int)n + 1);
    if (moved[i] < 0) report(pipe_fd);
  }
  int report_fd = fcntl(pipe_fd, F_DUPFD, (int)n + 1);
  if (report_fd < 0) report(pipe_fd);
  for (size_t i = 0; i < n; i++) {
    if (moved[i] < 0) close((int)i);
    else if (dup2(moved[i], (int)i) < 0) report(report_fd);
  }
  /* The report pipe sits at descriptor n until exec closes it. */
  if (dup2(report_fd, (int)n) < 0) report(report_fd);
  fcntl((int)n, F_SETFD, FD_CLOEXEC);
  close_from((unsigned int)n + 1);

  if (r->controlling_terminal && n > 0 && ioctl(0, TIOCSCTTY, 0) < 0) report((int)n);
  if (r->cwd && chdir(r->cwd) < 0) report((int)n);
  if (r->envp) environ = (char **)r->envp;
  execvp(r->path, r->argv);
  report((int)n);
}

pid_t clinux_spawn(const struct clinux_child *request) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  /* No handler of the parent's may run in the child before it resets them. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  /* glibc's fork knows no namespaces; what the raw call leaves out, the child does not need before it executes. */
  pid_t pid = request->new_process_namespace
                  ? (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL)
                  : fork();
  int fork_error = errno;
  if (pid == 0) child(request, ends[1]);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    errno = fork_error;
    return -1;
  }
  int error = 0;
  ssize_t got;
  do got = read(ends[0], &error, sizeof error);
  while (got < 0 && errno == EINTR);
  close(ends[0]);
  if (got == (ssize_t)sizeof error) {
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    errno = error;
    return -1;
  }
  return pid;
}

pid_t clinux_wait(pid_t pid, int no_hang, int *code) {
  int status = 0;
  pid_t result = waitpid(pid, &status, no_hang ? WNOHANG : 0);
  if (result > 0) *code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return result;
}

int clinux_memfd_create(const char *name) { return memfd_create(name, MFD_CLOEXEC); }
int clinux_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }

ssize_t clinux_send(int fd, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int) * CLINUX_DESCRIPTOR_ROOM)];
  } control = {{0}};
  if (descriptor_count > CLINUX_DESCRIPTOR_ROOM) {
    errno = EINVAL;
    return -1;
  }
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  size_t size = sizeof(int) * descriptor_count;
  if (size) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(size);
    control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)};
    memcpy(CMSG_DATA(&control.header), descriptors, size);
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

ssize_t clinux_receive(int fd, void *bytes, size_t count, int *descriptors, size_t *descriptor_count) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int) * CLINUX_DESCRIPTOR_ROOM)];
  } control;
  struct iovec part = {.iov_base = bytes, .iov_len = count};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  *descriptor_count = 0;
  ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (got < 0) return got;
  for (struct cmsghdr *entry = CMSG_FIRSTHDR(&message); entry; entry = CMSG_NXTHDR(&message, entry)) {
    if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
    size_t number = (entry->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < number; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(entry) + i * sizeof descriptor, sizeof descriptor);
      if (*descriptor_count < CLINUX_DESCRIPTOR_ROOM) descriptors[(*descriptor_count)++] = descriptor;
      else close(descriptor);
    }
  }
  return got;
}

int clinux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }
int clinux_eventfd(int non_blocking) { return eventfd(0, EFD_CLOEXEC | (non_blocking ? EFD_NONBLOCK : 0)); }
int clinux_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK); }

int clinux_timerfd_set(int fd, uint64_t after_ns, uint64_t every_ns) {
  const uint64_t second = 1000000000;
  struct itimerspec value = {
      .it_interval = {.tv_sec = (time_t)(every_ns / second), .tv_nsec = (long)(every_ns % second)},
      .it_value = {.tv_sec = (time_t)(after_ns / second), .tv_nsec = (long)(after_ns % second)},
  };
  return timerfd_settime(fd, 0, &value, NULL);
}

int clinux_signalfd(const int *signals, size_t count) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < count; i++) sigaddset(&set, signals[i]);
  int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
  if (error) {
    errno = error;
    return -1;
  }
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int clinux_signalfd_take(int fd) {
  struct signalfd_siginfo info;
  ssize_t got = read(fd, &info, sizeof info);
  return got == (ssize_t)sizeof info ? (int)info.ssi_signo : -1;
}

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
  struct epoll_event event = {.events = events, .data = {.u64 = token}};
  return epoll_ctl(epoll, operation, fd, &event);
}

int clinux_epoll_wait(int epoll, uint64_t *tokens, uint32_t *events, int timeout_ms) {
  struct epoll_event ready[32];
  int count = epoll_wait(epoll, ready, 32, timeout_ms);
  for (int i = 0; i < count; i++) {
    tokens[i] = ready[i].data.u64;
    events[i] = ready[i].events;
  }
  return count;
}

int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); } /* close-on-exec always */
const char *clinux_error_text(int error) { return strerrordesc_np(error); }
void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int clinux_keep_off_processor(int number) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return -1;
  CPU_CLR(number, &allowed);
  if (CPU_COUNT(&allowed) == 0) return 0;
  return sched_setaffinity(0, sizeof allowed, &allowed) == 0 ? 1 : -1;
}

ssize_t clinux_copy_file_range(int source, int64_t offset, int target, size_t count) {
  off64_t position = offset;
  return copy_file_range(source, &position, target, NULL, count, 0);
}
