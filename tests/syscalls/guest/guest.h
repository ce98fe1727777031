/* What every family shares: one line of output per system call, made of names and numbers only, so
 * that two runs under two runtimes can be compared line by line. Nothing printed here may depend on
 * time, addresses, host pids or inode numbers. */
#ifndef CAISSON_GUEST_H
#define CAISSON_GUEST_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#include "numbers.h"

extern const char *family;

/* Prints `family::call.tag ret=R errno=E`. `plain` zero hides a successful value (prints ret=ok). */
long report(const char *call, const char *tag, long ret, int error, int plain);
/* Prints `family::call.tag <details>`. */
void say(const char *call, const char *tag, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Runs `body` in a child of its own with a deadline and prints how that ended: a hang or a crash of
 * one group of checks hides nothing behind it. */
void section(const char *name, void (*body)(void));
/* A new child running `body`; its wait status is returned. */
int in_child(void (*body)(void));
/* The status of wait4(2) in words. */
const char *ended(int status);
const char *errname(int error);
/* Creates `path` with `content`; quiet. */
void put(const char *path, const char *content);
/* The content of `path` (at most 4095 bytes, newlines shown as `\n`), or `!ERRNO`. */
const char *get(const char *path);
void millis(int ms);

/* T: make the call, print result and errno. TOK: hide the value when it succeeds. */
#define CALL_(plain, tag, call, ...)                                   \
    ({                                                                 \
        errno = 0;                                                     \
        long r_ = syscall(SYS_##call, ##__VA_ARGS__);                  \
        int e_ = errno;                                                \
        report(#call, tag, r_, e_, plain);                             \
        errno = e_;                                                    \
        r_;                                                            \
    })
#define T(tag, call, ...) CALL_(1, tag, call, ##__VA_ARGS__)
#define TOK(tag, call, ...) CALL_(0, tag, call, ##__VA_ARGS__)
#define SECTION(name) section(#name, name)

/* Pointers that no process can use: the unmapped first page, and kernel space. */
#define BAD ((void *)8)
#define KERNEL_POINTER ((void *)0xffff888000000000UL)
#define LONG_NAME \
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
/* A path longer than PATH_MAX. */
const char *endless_path(void);
/* A string that runs into an unmapped page without a terminating NUL. */
const char *unterminated(void);

#define FAMILY(name) void family_##name(void)
#endif
