/* What an init needs of the kernel. */
#pragma once
#include <stddef.h>

/* reboot(2): one of LINUX_REBOOT_CMD_*. */
int clinux_reboot(unsigned int command);

/* Removes everything below the open directory that lies on its own file system, which must be a ramfs or tmpfs
   (anything else is left alone, EINVAL). Closes the descriptor. */
int clinux_remove_memory_tree(int directory);

/* A non-blocking NETLINK_KOBJECT_UEVENT socket that hears the kernel's own messages. */
int clinux_uevent_socket(void);
/* One message, or -1; messages that do not come from the kernel are dropped (0 bytes). */
long clinux_uevent_receive(int socket, void *buffer, size_t size);

/* Sets IFF_UP of a network interface. */
int clinux_raise_interface(const char *name);

/* execv(2); returns only on failure. */
int clinux_execute(const char *path, char *const *argv);

/* From now on a fatal fault or trap of this process executes `path` with `argv` and, after these, the signal's
   number, in this same process. Strings are kept, not copied: they must live for ever. At most 7 arguments. */
int clinux_execute_on_fault(const char *path, char *const *argv);

/* uname(2)'s release; static storage. */
const char *clinux_kernel_release(void);
