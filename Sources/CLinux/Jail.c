#define _GNU_SOURCE
#include "CLinuxJail.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

int clinux_leave_namespaces(void) {
  return unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP);
}

int clinux_enter_empty_root(void) {
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return -1;
  /* Any directory that is there: nobody else sees this. */
  if (mount("jail", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0,size=4k") < 0) return -1;
  if (chdir("/proc") < 0) return -1;
  /* The old root comes to lie over the new one (pivot_root(2)), from where it is taken with all below it. */
  if (syscall(SYS_pivot_root, ".", ".") < 0) return -1;
  if (umount2(".", MNT_DETACH) < 0) return -1;
  return chdir("/");
}

int clinux_become_nobody(uid_t id) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return -1;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return -1;
  if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0) return -1;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {{0}};
  return (int)syscall(SYS_capset, &header, none);
}

int clinux_seal(void) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int clinux_limit(enum clinux_limit limit, uint64_t value) {
  const int numbers[] = {
      [CLINUX_OPEN_FILES] = RLIMIT_NOFILE, [CLINUX_TASKS] = RLIMIT_NPROC, [CLINUX_CORE] = RLIMIT_CORE,
      [CLINUX_FILE_SIZE] = RLIMIT_FSIZE};
  struct rlimit now;
  if (getrlimit(numbers[limit], &now) < 0) return -1;
  now.rlim_cur = now.rlim_max = value < now.rlim_max ? value : now.rlim_max;
  return setrlimit(numbers[limit], &now);
}

/* linux/landlock.h, which older systems have in part. */
enum { LANDLOCK_CREATE = 444, LANDLOCK_RESTRICT = 446, LANDLOCK_VERSION_FLAG = 1 };
struct ruleset {
  uint64_t files;
  uint64_t network;
  uint64_t scope;
};

int clinux_landlock_version(void) {
  long version = syscall(LANDLOCK_CREATE, NULL, 0, LANDLOCK_VERSION_FLAG);
  if (version >= 0) return (int)version;
  return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
}

int clinux_landlock_restrict(int version, uint64_t files, uint64_t network, uint64_t scope) {
  struct ruleset ruleset = {files, network, scope};
  size_t size = version >= 6 ? sizeof ruleset : version >= 4 ? offsetof(struct ruleset, scope) : sizeof files;
  int fd = (int)syscall(LANDLOCK_CREATE, &ruleset, size, 0);
  if (fd < 0) return -1;
  long result = syscall(LANDLOCK_RESTRICT, fd, 0);
  int error = errno;
  close(fd);
  errno = error;
  return (int)result;
}

int clinux_install_filter(const uint64_t *instructions, size_t count) {
  _Static_assert(sizeof(struct sock_filter) == sizeof *instructions, "an instruction is a word");
  if (count > BPF_MAXINSNS) {
    errno = EINVAL;
    return -1;
  }
  struct sock_filter program[count];
  memcpy(program, instructions, sizeof program);
  struct sock_fprog filter = {.len = (unsigned short)count, .filter = program};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
}

static const char *call_names;
static size_t call_names_length;
static const char *line_prefix;
static int exit_code;

/* Everything below runs in a signal handler. */
struct line {
  char text[256];
  size_t length;
};

static void put(struct line *line, const char *text, size_t length) {
  for (size_t i = 0; i < length && line->length < sizeof line->text; i++) line->text[line->length++] = text[i];
}

static void put_text(struct line *line, const char *text) { put(line, text, strlen(text)); }

static void put_number(struct line *line, unsigned long number, unsigned base) {
  char digits[20];
  size_t first = sizeof digits;
  do digits[--first] = "0123456789abcdef"[number % base];
  while (number /= base);
  put(line, digits + first, sizeof digits - first);
}

static void put_name(struct line *line, unsigned long wanted) {
  unsigned long number = 0;
  for (size_t at = 0; at < call_names_length;) {
    size_t end = at;
    while (end < call_names_length && call_names[end] != ' ') end++;
    if (call_names[at] == '=') {
      number = 0;
      for (size_t i = at + 1; i < end; i++) number = number * 10 + (unsigned long)(call_names[i] - '0');
    } else if (number++ == wanted) {
      put(line, call_names + at, end - at);
      return;
    }
    at = end + 1;
  }
  put_text(line, "system call ");
  put_number(line, wanted, 10);
}

static void on_violation(int number, siginfo_t *info, void *context) {
  (void)number;
  const greg_t *registers = ((const ucontext_t *)context)->uc_mcontext.gregs;
  struct line line = {.length = 0};
  put_text(&line, line_prefix);
  put_text(&line, "it called ");
  put_name(&line, (unsigned int)info->si_syscall);
  put_text(&line, ", which it must not (arguments 0x");
  put_number(&line, (unsigned long)registers[REG_RDI], 16);
  put_text(&line, ", 0x");
  put_number(&line, (unsigned long)registers[REG_RSI], 16);
  put_text(&line, ", 0x");
  put_number(&line, (unsigned long)registers[REG_RDX], 16);
  put_text(&line, ")\r\n");
  ssize_t ignored = write(STDERR_FILENO, line.text, line.length);
  (void)ignored;
  syscall(SYS_exit_group, exit_code);
}

int clinux_end_at_violation(const char *names, size_t length, const char *prefix, int code) {
  call_names = names;
  call_names_length = length;
  line_prefix = prefix;
  exit_code = code;
  struct sigaction action = {.sa_sigaction = on_violation, .sa_flags = SA_SIGINFO};
  sigfillset(&action.sa_mask);
  if (sigaction(SIGSYS, &action, NULL) < 0) return -1;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGSYS);
  int error = pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  if (error) {
    errno = error;
    return -1;
  }
  return 0;
}

int clinux_single_heap(void) { return mallopt(M_ARENA_MAX, 1) ? 0 : -1; }
