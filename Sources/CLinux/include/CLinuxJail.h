/* What a process does to itself before it runs what may turn against it. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* unshare(2) of the calling thread: mounts, IPC, host name, network and control groups. */
int clinux_leave_namespaces(void);

/* Makes a file system in memory, empty, read-only and closed to everybody, the only one of the caller's mount
   namespace, which must be its own. */
int clinux_enter_empty_root(void);

/* Gives up all capabilities for good, the bounding set included, and all groups, and becomes user and group `id`. */
int clinux_become_nobody(uid_t id);

/* No new privileges by execve(2), and nobody without privileges looks into this process. */
int clinux_seal(void);

/* Soft and hard limit at once, at most the hard limit that there is (RLIMIT_*). */
enum clinux_limit { CLINUX_OPEN_FILES, CLINUX_TASKS, CLINUX_CORE, CLINUX_FILE_SIZE };
int clinux_limit(enum clinux_limit limit, uint64_t value);

/* Landlock's version (landlock(7)); 0 where the kernel has none. */
int clinux_landlock_version(void);
/* Forbids what the masks name, without exception, to this thread and those that it starts. `version` is the kernel's. */
int clinux_landlock_restrict(int version, uint64_t files, uint64_t network, uint64_t scope);

/* Installs a seccomp filter: `count` instructions as struct sock_filter has them, each in a word. */
int clinux_install_filter(const uint64_t *instructions, size_t count);

/* From now on a system call that a filter traps (SECCOMP_RET_TRAP) ends the process with `code`, after a line on
   standard error with `prefix` and the call's name. `names` has them in the order of their numbers, a blank between;
   `=N` goes on at N. Both texts are kept, not copied: they must live for ever. */
int clinux_end_at_violation(const char *names, size_t length, const char *prefix, int code);

/* All threads allocate from one heap: glibc reads a file of /proc to shrink others. */
int clinux_single_heap(void);
