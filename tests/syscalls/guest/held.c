/* Tracees that nobody lets go on: whatever their tracers leave them in, they end when they are killed, and the container
 * ends when its first process does. Nothing here is compared with another runtime: see tests/held.rs. */
#include "guest.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

enum { ALL = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC };

static void makes_children(void) {
    for (unsigned i = 0;; i++) {
        pid_t child = i % 2 ? vfork() : fork();
        if (child == 0) _exit(0);
        if (child > 0) waitpid(child, NULL, 0);
    }
}

/* All go on at once, but those that are about to end if `holds`. */
static void traces(int holds) {
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        makes_children();
    }
    waitpid(child, NULL, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, ALL);
    ptrace(PTRACE_CONT, child, 0, 0);
    int status;
    for (pid_t found; (found = waitpid(-1, &status, __WALL)) > 0;) {
        if (!WIFSTOPPED(status)) continue;
        if (holds && status >> 16 == PTRACE_EVENT_EXIT && found == child) continue;
        ptrace(PTRACE_CONT, found, 0, 0);
    }
    _exit(0);
}

/* Whether all children end within ten seconds. */
static int all_end(void) {
    for (int i = 0; i < 1000; i++) {
        pid_t found;
        while ((found = waitpid(-1, NULL, WNOHANG)) > 0) {}
        if (found < 0) return 1;
        millis(10);
    }
    return 0;
}

/* Tracers that are killed while their tracees make children, and with them, or a moment after them. */
static void killed_tracers(void) {
    enum { ROUNDS = 150 };
    int round = 0, good = 1;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (; round < ROUNDS && good; round++) {
        pid_t tracer = fork();
        if (tracer == 0) {
            setpgid(0, 0);
            traces(round % 4 > 1);
        }
        setpgid(tracer, tracer);
        millis(5 + round % 7);
        if (round % 2) kill(tracer, SIGKILL);
        if (round % 2) millis(round % 5);
        kill(-tracer, SIGKILL);
        good = all_end();
    }
    say("killed", "tracers", "%s", good ? "all gone" : "some left");
}

static void *nothing(void *argument) { return argument; }

/* What brings a tracee to a stop of the kind. */
static void comes_to(int kind) {
    pthread_t thread;
    char *const argv[] = {"true", NULL};
    switch (kind) {
    case PTRACE_EVENT_FORK: _exit(fork() == 0);
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_VFORK_DONE:
        if (vfork() == 0) _exit(0);
        break;
    case PTRACE_EVENT_CLONE: pthread_create(&thread, NULL, nothing, NULL); break;
    case PTRACE_EVENT_EXEC: execv("/bin/true", argv); break;
    case 0: raise(SIGUSR1); break;
    default: break;
    }
    _exit(0);
}

/* Never returns: the tracee has come to its stop and stays there. */
static void holds(int kind, int ready) {
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        comes_to(kind);
    }
    int status;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, ALL);
    ptrace(PTRACE_CONT, child, 0, 0);
    for (pid_t found; (found = waitpid(-1, &status, __WALL)) > 0;) {
        if (!WIFSTOPPED(status) && found == child) break;
        if (!WIFSTOPPED(status)) continue;
        if (found == child && status >> 16 == kind && write(ready, "r", 1) == 1) for (;;) pause();
        ptrace(PTRACE_CONT, found, 0, 0);
    }
    _exit(1);
}

/* Two that trace each other and hold each other's end. */
static void holds_each_other(int ready) {
    pid_t first = getpid();
    pid_t second = fork();
    if (second == 0) {
        if (ptrace(PTRACE_SEIZE, first, 0, PTRACE_O_TRACEEXIT)) _exit(1);
        for (;;) pause();
    }
    millis(50);
    if (ptrace(PTRACE_SEIZE, second, 0, PTRACE_O_TRACEEXIT) || write(ready, "r", 1) != 1) _exit(1);
    for (;;) pause();
}

static void held_tracees(void) {
    static const int kinds[] = {0, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_VFORK_DONE, PTRACE_EVENT_CLONE, PTRACE_EVENT_EXEC,
                                PTRACE_EVENT_EXIT};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    int ready[2], count = 0;
    char byte;
    if (pipe(ready)) return;
    for (int i = 0; i <= KINDS; i++) {
        if (fork() == 0) {
            close(ready[0]);
            if (i < KINDS) holds(kinds[i], ready[1]);
            holds_each_other(ready[1]);
        }
    }
    close(ready[1]);
    while (count <= KINDS && read(ready[0], &byte, 1) == 1) count++;
    say("held", "tracees", "%d of %d", count, KINDS + 1);
}

FAMILY(held) {
    killed_tracers();
    held_tracees();
}

/* The end of the container's first process is held, which goes on until /work/stays is gone. */
FAMILY(held_first) {
    int ready[2];
    char byte;
    if (pipe(ready)) return;
    if (fork() == 0) {
        long seized = ptrace(PTRACE_SEIZE, 1, 0, PTRACE_O_TRACEEXIT);
        if (seized || write(ready[1], "r", 1) != 1) _exit(1);
        for (int status; waitpid(1, &status, __WALL) == 1 && status >> 16 != PTRACE_EVENT_EXIT;)
            ptrace(PTRACE_CONT, 1, 0, WSTOPSIG(status));
        for (;;) pause();
    }
    close(ready[1]);
    put("/work/seized", read(ready[0], &byte, 1) == 1 ? "yes" : "no");
    while (access("/work/stays", F_OK) == 0) millis(20);
}
