#include "CInitStart.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* The Swift runtime reads /proc/self/exe in a static constructor (stdlib/public/runtime/Backtrace.cpp) and aborts
   where it cannot: an init has to mount /proc before that. Constructors with a priority run first; there is no
   console yet to tell of a failure. */
__attribute__((constructor(101))) static void mount_proc(void) {
  if (getpid() != 1 || access("/proc/self/exe", F_OK) == 0) return;
  mkdir("/proc", 0555);
  mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
}
