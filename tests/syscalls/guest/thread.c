/* Threads: clone(2) with CLONE_THREAD, futexes, robust lists, rseq. */
#include "guest.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <asm/prctl.h>

static int counter;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static void *worker(void *argument) {
    for (int i = 0; i < 100; i++) {
        int fd = open("/work/file", O_RDONLY | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) || stat("/work/link", &st)) continue;
        close(fd);
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_cond_signal(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

static void many(void) {
    pthread_t threads[16];
    for (int i = 0; i < 16; i++) pthread_create(&threads[i], NULL, worker, NULL);
    pthread_mutex_lock(&mutex);
    while (counter < 1600) pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 16; i++) pthread_join(threads[i], NULL);
    say("futex", "workers", "%d", counter);
}

static void *short_lived(void *argument) { return argument; }

static void churn(void) {
    int bad = 0;
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, short_lived, NULL)) bad++;
        else pthread_join(thread, NULL);
    }
    say("clone", "churn", "bad=%d", bad);
}

static void calls(void) {
    int word = 5;
    struct timespec zero = {0, 0};
    T("wrong_value", futex, &word, FUTEX_WAIT, 6, &zero, NULL, 0);
    T("timeout", futex, &word, FUTEX_WAIT, 5, &zero, NULL, 0);
    T("wake_none", futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
    T("efault", futex, BAD, FUTEX_WAIT, 5, &zero, NULL, 0);
    T("unaligned", futex, (char *)&word + 1, FUTEX_WAIT, 5, &zero, NULL, 0);
    T("unknown", futex, &word, 99, 5, NULL, NULL, 0);
    void *head;
    size_t size;
    T("self", get_robust_list, 0, &head, &size);
    say("get_robust_list", "size", "%zu", size);
    T("size", set_robust_list, head, 5);
    TOK("set", set_tid_address, &word);
    TOK("self", gettid);
    unsigned cpu;
    T("cpu", getcpu, &cpu, NULL, NULL);
    unsigned long base;
    T("get_fs", arch_prctl, ARCH_GET_FS, &base);
    T("query", membarrier, 0, 0, 0);
    struct { uint64_t value, address; uint32_t flags, reserved; } waits = {6, (uint64_t)&word, 2, 0};
    T("mismatch", futex_waitv, &waits, 1, 0, NULL, 1);
    T("bad_flags", futex_waitv, &waits, 1, 9, NULL, 1);
    T("none", futex_wake, &word, ~0UL, 1, 2);
    T("mismatch", futex_wait, &word, 6UL, ~0UL, 2, NULL, 1);
    T("efault", futex_requeue, BAD, 0, 1, 1);
    T("bad", rseq, BAD, 5, 0, 0);
    T("bad_flags", clone3, BAD, 8);
}

static void *reads_own(void *argument) {
    (void)argument;
    char path[64], link[64] = {0};
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", gettid());
    say("open", "task_comm", "%s", get(path));
    if (readlink("/proc/thread-self", link, 63) > 0) say("readlink", "thread_self", "%d", strchr(link, '/') != NULL);
    return NULL;
}

static void in_proc(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, reads_own, NULL);
    pthread_join(thread, NULL);
}

static void *leaves_last(void *argument) {
    (void)argument;
    millis(50);
    say("exit", "leader_gone", "open=%d", open("/work/file", O_RDONLY) >= 0);
    exit(44);
}

static void leader_leaves(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, leaves_last, NULL);
    syscall(SYS_exit, 0);
}

static void leader(void) { say("exit", "group", "%s", ended(in_child(leader_leaves))); }

static void priorities(void) {
    T("self", getpriority, PRIO_PROCESS, 0);
    T("none", getpriority, PRIO_PROCESS, 99999);
    T("bad", getpriority, 9, 0);
    T("nicer", setpriority, PRIO_PROCESS, 0, 5);
    T("seen", getpriority, PRIO_PROCESS, 0);
    T("less_nice", setpriority, PRIO_PROCESS, 0, -5);
    T("back", setpriority, PRIO_PROCESS, 0, 0);
    T("beyond", setpriority, PRIO_PROCESS, 0, 100);
    T("none", setpriority, PRIO_PROCESS, 99999, 5);
    T("get", ioprio_get, 1, 0);
    T("set", ioprio_set, 1, 0, (2 << 13) | 4);
    T("set_rt", ioprio_set, 1, 0, (1 << 13) | 4);
}

/* Of another user's process: a child with other ids for root, the first process for others. */
static void priorities_of_others(void) {
    pid_t other = 1;
    if (getuid() == 0) {
        other = fork();
        if (other == 0) {
            if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) _exit(1);
            for (;;) pause();
        }
        millis(50);
    }
    pid_t own = fork();
    if (own == 0)
        for (;;) pause();
    struct sched_param param = {0};
    unsigned long mask[16];
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t times[3]; } attr = {48, 0, 0, 7, 0, {0}};
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    if (bytes < 0) return;
    for (int i = 0; i < 2; i++) {
        pid_t pid = i ? other : own;
        const char *tag = i ? "others" : "own";
        T(tag, setpriority, PRIO_PROCESS, pid, 6);
        T(tag, ioprio_set, 1, pid, (2 << 13) | 5);
        T(tag, sched_setscheduler, pid, SCHED_BATCH, &param);
        T(tag, sched_setparam, pid, &param);
        T(tag, sched_setattr, pid, &attr, 0);
        T(tag, sched_setaffinity, pid, bytes, mask);
        T(tag, getpriority, PRIO_PROCESS, pid);
    }
    if (other != 1) setpgid(other, other);
    setpgid(own, own);
    if (other != 1) T("others_group", setpriority, PRIO_PGRP, other, 9);
    T("own_group", setpriority, PRIO_PGRP, own, 9);
    T("no_group", setpriority, PRIO_PGRP, 99999, 9);
    T("none", ioprio_set, 1, 99999, (2 << 13) | 5);
    T("none", sched_setscheduler, 99999, SCHED_BATCH, &param);
    T("none", sched_setaffinity, 99999, bytes, mask);
    T("negative", sched_setparam, -1, &param);
    if (other != 1) kill(other, SIGKILL);
    kill(own, SIGKILL);
}

static void scheduling(void) {
    struct sched_param param = {0};
    T("self", sched_getscheduler, 0);
    T("none", sched_getscheduler, 99999);
    T("self", sched_getparam, 0, &param);
    T("efault", sched_getparam, 0, BAD);
    T("batch", sched_setscheduler, 0, SCHED_BATCH, &param);
    T("idle", sched_setscheduler, 0, SCHED_IDLE, &param);
    param.sched_priority = 10;
    T("fifo", sched_setscheduler, 0, SCHED_FIFO, &param);
    T("efault", sched_setscheduler, 0, SCHED_BATCH, BAD);
    T("other", sched_setparam, 0, &param);
    T("max", sched_get_priority_max, SCHED_FIFO);
    T("min", sched_get_priority_min, SCHED_FIFO);
    T("bad", sched_get_priority_min, 99);
    struct timespec slice;
    T("self", sched_rr_get_interval, 0, &slice);
    unsigned long mask[16] = {0};
    TOK("self", sched_getaffinity, 0, sizeof mask, mask);
    T("small", sched_getaffinity, 0, 1, mask);
    T("efault", sched_getaffinity, 0, sizeof mask, BAD);
    T("same", sched_setaffinity, 0, sizeof mask, mask);
    unsigned long none = 0;
    T("empty", sched_setaffinity, 0, sizeof none, &none);
    T("efault", sched_setaffinity, 0, sizeof none, BAD);
    T("yield", sched_yield);
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t prio; uint64_t a, b, c; } attr = {0};
    T("self", sched_getattr, 0, &attr, sizeof attr, 0);
    say("sched_getattr", "self", "policy=%u nice=%d size=%u", attr.policy, attr.nice, attr.size);
    T("efault", sched_getattr, 0, BAD, sizeof attr, 0);
    attr.size = 48;
    attr.policy = 0;
    attr.nice = 10;
    T("nice", sched_setattr, 0, &attr, 0);
    attr.policy = SCHED_RR;
    attr.prio = 3;
    T("rr", sched_setattr, 0, &attr, 0);
}

/* Opening a file must not leave the caller, or a thread that it makes, on fewer processors. */
static void *own_mask(void *argument) {
    CPU_ZERO((cpu_set_t *)argument);
    sched_getaffinity(0, sizeof(cpu_set_t), argument);
    return NULL;
}

static void affinity_after_open(void) {
    cpu_set_t before, after, inherited;
    own_mask(&before);
    int changed = 0, narrow_threads = 0;
    for (int i = 0; i < 2000; i++) {
        int fd = open("/work/file", O_RDONLY | O_CLOEXEC);
        own_mask(&after);
        changed += !CPU_EQUAL(&before, &after);
        close(fd);
        pthread_t thread;
        if (i % 20) continue;
        fd = open("/work/file", O_RDONLY | O_CLOEXEC);
        if (pthread_create(&thread, NULL, own_mask, &inherited)) continue;
        pthread_join(thread, NULL);
        narrow_threads += !CPU_EQUAL(&before, &inherited);
        close(fd);
    }
    say("sched_getaffinity", "after_open", "changed=%d threads=%d", changed, narrow_threads);
}

FAMILY(thread) {
    SECTION(many);
    SECTION(churn);
    SECTION(calls);
    SECTION(in_proc);
    SECTION(leader);
    SECTION(priorities);
    SECTION(priorities_of_others);
    SECTION(scheduling);
    SECTION(affinity_after_open);
}
