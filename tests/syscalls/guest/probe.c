/* For the escape tests: tries every number of every entry, and waits to be looked at. */
#include "guest.h"

/* `number outcome` a line: errno name, `ret` or how the process ended. Bad arguments throughout, so
 * that nothing that is served by accident does harm. */
static void try_number(long number) {
    pid_t child = fork();
    if (child == 0) {
        alarm(2);
        errno = 0;
        long r = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
        int error = errno;
        if (r < 0) say("number", "is", "%ld %s", number, errname(error));
        else say("number", "is", "%ld ret", number);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status) say("number", "is", "%ld %s", number, ended(status));
}

static void legacy_entry(void) {
    long result;
    /* int 0x80 with the 32-bit number of getpid. */
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    say("entry", "int80", "returned %ld", result);
}

static void x32_entry(void) { say("entry", "x32", "returned %ld", syscall(0x40000000L | SYS_getpid)); }
static void negative_entry(void) { say("entry", "negative", "returned %ld %s", syscall(-1L), errname(errno)); }

FAMILY(probe) {
    for (long number = 0; number < 1024; number++) try_number(number);
    say("entry", "int80", "%s", ended(in_child(legacy_entry)));
    say("entry", "x32", "%s", ended(in_child(x32_entry)));
    say("entry", "negative", "%s", ended(in_child(negative_entry)));
}
