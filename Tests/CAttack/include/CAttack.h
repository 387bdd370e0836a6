/* What a process tries that wants out. Each returns 0 when it got what it tried, and else the error number. */
#pragma once
#include <sys/types.h>

int attack_open(const char *path);
int attack_list(const char *directory);
int attack_connect_path(const char *path);
int attack_connect_abstract(const char *name);
int attack_connect_tcp(unsigned short port);
int attack_trace(pid_t process);
int attack_kill(pid_t process);
int attack_fork(void);
int attack_execute(void);
int attack_executable_memory(void);
int attack_executable_change(void);
int attack_mount(const char *directory);
int attack_user_namespace(void);
int attack_become_root(void);
int attack_write_clock(void);
/* Opens a file through a ring, past any filter of system calls. */
int attack_ring(const char *path);

/* What there is to be reached: listening sockets, or -1. */
int target_listen_abstract(const char *name);
int target_listen_tcp(unsigned short *port);
