/* Calls that the sandbox refuses with a fixed errno by design. The harness writes one line
 * `number name` a call into /work/refused; the errno is compared with the table, not with runc. */
#include "guest.h"

FAMILY(refused) {
    FILE *list = fopen("/work/refused", "r");
    if (!list) {
        say("open", "list", "%s", errname(errno));
        return;
    }
    long number;
    char name[64];
    while (fscanf(list, "%ld %63s", &number, name) == 2) {
        pid_t child = fork();
        if (child == 0) {
            errno = 0;
            long r = syscall(number, 0L, 0L, 0L, 0L, 0L, 0L);
            report(name, "zeroes", r, errno, 1);
            errno = 0;
            r = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
            report(name, "ones", r, errno, 1);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        if (status) say(name, "ended", "%s", ended(status));
    }
}
