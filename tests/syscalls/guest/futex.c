/* futex(2) operations, robust lists, membarrier(2) and rseq(2). */
#include "guest.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

static uint32_t *word(void) {
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void *waiter(void *argument) {
    long r = syscall(SYS_futex, argument, FUTEX_WAIT, 0, NULL, NULL, 0);
    return (void *)(r < 0 ? (long)errno : 0);
}

static void basics(void) {
    uint32_t *at = word();
    struct timespec soon = {0, 1000000}, bad = {0, 1000000000}, negative = {-1, 0};
    T("changed", futex, at, FUTEX_WAIT, 1, NULL, NULL, 0);
    T("timeout", futex, at, FUTEX_WAIT, 0, &soon, NULL, 0);
    T("timeout_private", futex, at, FUTEX_WAIT_PRIVATE, 0, &soon, NULL, 0);
    T("bad_time", futex, at, FUTEX_WAIT, 0, &bad, NULL, 0);
    T("negative_time", futex, at, FUTEX_WAIT, 0, &negative, NULL, 0);
    T("efault_time", futex, at, FUTEX_WAIT, 0, BAD, NULL, 0);
    T("efault", futex, BAD, FUTEX_WAIT, 0, &soon, NULL, 0);
    T("unaligned", futex, (char *)at + 1, FUTEX_WAIT, 0, &soon, NULL, 0);
    T("wake_none", futex, at, FUTEX_WAKE, 1, NULL, NULL, 0);
    T("wake_unaligned", futex, (char *)at + 1, FUTEX_WAKE, 1, NULL, NULL, 0);
    T("wake_efault", futex, KERNEL_POINTER, FUTEX_WAKE, 1, NULL, NULL, 0);
    T("unknown", futex, at, 99, 0, NULL, NULL, 0);
    T("fd", futex, at, FUTEX_FD, 0, NULL, NULL, 0);
    T("realtime_wake", futex, at, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0);
    T("bitset_zero", futex, at, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0);
    T("bitset_past", futex, at, FUTEX_WAIT_BITSET, 0, &(struct timespec){1, 0}, NULL, 1);
    T("bitset_past_real", futex, at, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &(struct timespec){1, 0}, NULL, 1);
    T("wake_bitset_zero", futex, at, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0);
    T("requeue_none", futex, at, FUTEX_REQUEUE, 1, 1, at + 1, 0);
    T("cmp_requeue_changed", futex, at, FUTEX_CMP_REQUEUE, 1, 1, at + 1, 5);
    T("requeue_negative", futex, at, FUTEX_REQUEUE, -1, 1, at + 1, 0);
    T("wake_op", futex, at, FUTEX_WAKE_OP, 1, 1, at + 1, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 0));
    say("futex", "wake_op", "%u", at[1]);
    T("wake_op_bad", futex, at, FUTEX_WAKE_OP, 1, 1, at + 1, FUTEX_OP(7, 3, 9, 0));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, waiter, at);
    millis(60);
    T("wake_one", futex, at, FUTEX_WAKE, 1, NULL, NULL, 0);
    T("move", futex, at, FUTEX_CMP_REQUEUE, 0, 5, at + 2, 0);
    T("wake_moved", futex, at + 2, FUTEX_WAKE, 9, NULL, NULL, 0);
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(threads[i], &result);
        say("futex", "woken", "%s", errname((int)(long)result));
    }
    pid_t child = fork();
    if (child == 0) {
        T("across", futex, at, FUTEX_WAIT, 0, &(struct timespec){5, 0}, NULL, 0);
        _exit(0);
    }
    millis(60);
    T("wake_across", futex, at, FUTEX_WAKE, 1, NULL, NULL, 0);
    waitpid(child, NULL, 0);
}

static void inheritance(void) {
    uint32_t *at = word();
    T("lock", futex, at, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
    say("futex", "lock", "own=%d", (pid_t)(*at & FUTEX_TID_MASK) == gettid());
    T("deadlock", futex, at, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
    T("try_own", futex, at, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0);
    pid_t child = fork();
    if (child == 0) {
        T("try", futex, at, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0);
        T("timeout", futex, at, FUTEX_LOCK_PI, 0, &(struct timespec){1, 0}, NULL, 0);
        T("not_owner", futex, at, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    T("unlock", futex, at, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
    say("futex", "unlock", "%u", *at);
    T("unlock_again", futex, at, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
    *at = 999999;
    T("dead_owner", futex, at, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
    T("same_words", futex, at, FUTEX_WAIT_REQUEUE_PI, 999999, NULL, at, 0);
}

static void *die_locked(void *argument) {
    pthread_mutex_lock(argument);
    return NULL;
}

static void robust(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_t *mutex = (void *)word();
    pthread_mutex_init(mutex, &attributes);
    pthread_t thread;
    pthread_create(&thread, NULL, die_locked, mutex);
    pthread_join(thread, NULL);
    say("set_robust_list", "thread", "%s", errname(pthread_mutex_lock(mutex)));
    say("set_robust_list", "consistent", "%d", pthread_mutex_consistent(mutex));
    pthread_mutex_unlock(mutex);
    if (fork() == 0) {
        pthread_mutex_lock(mutex);
        kill(getpid(), SIGKILL);
    }
    wait(NULL);
    say("set_robust_list", "killed", "%s", errname(pthread_mutex_lock(mutex)));
    pthread_mutex_unlock(mutex);
    say("set_robust_list", "lost", "%s", errname(pthread_mutex_lock(mutex)));
    T("size", set_robust_list, mutex, 1);
    void *head;
    size_t size;
    T("own", get_robust_list, 0, &head, &size);
    say("get_robust_list", "own", "%zu", size);
    T("efault", get_robust_list, 0, BAD, &size);
}

static void newer(void) {
    uint32_t *at = word();
    struct futex_waitv waits[2] = {{0, (uintptr_t)at, FUTEX_32, 0}, {0, (uintptr_t)(at + 1), FUTEX_32, 0}};
    struct timespec past = {1, 0};
    T("past", futex_waitv, waits, 2, 0, &past, CLOCK_MONOTONIC);
    T("none", futex_waitv, waits, 0, 0, NULL, 0);
    T("many", futex_waitv, waits, 200, 0, NULL, 0);
    T("flags", futex_waitv, waits, 2, 1, NULL, 0);
    T("efault", futex_waitv, BAD, 2, 0, NULL, 0);
    T("clock", futex_waitv, waits, 2, 0, &past, 99);
    waits[1].val = 1;
    T("changed", futex_waitv, waits, 2, 0, NULL, 0);
    waits[1].flags = 0;
    T("size", futex_waitv, waits, 2, 0, NULL, 0);
    waits[1].flags = FUTEX_32;
    waits[1].__reserved = 1;
    T("reserved", futex_waitv, waits, 2, 0, NULL, 0);
    T("wake", futex_wake, at, ~0UL, 1, FUTEX_32);
    T("wake_bits", futex_wake, at, 0, 1, FUTEX_32);
    T("wait_changed", futex_wait, at, 5, ~0UL, FUTEX_32, NULL, 0);
    T("wait_past", futex_wait, at, 0, ~0UL, FUTEX_32, &past, CLOCK_MONOTONIC);
    T("requeue", futex_requeue, waits, 0, 0, 0);
}

static void barriers(void) {
    T("query", membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    T("global", membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
    T("unregistered", membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    T("register", membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    T("private", membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    T("global_register", membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
    T("global_expedited", membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
    T("flags", membarrier, MEMBARRIER_CMD_QUERY, 1, 0);
    T("unknown", membarrier, 1 << 20, 0, 0);
    T("registrations", membarrier, 512, 0, 0);
    static char area[64] __attribute__((aligned(32)));
    T("again", rseq, area, 32, 0, 0x53053053);
    T("unregister_other", rseq, area, 32, 1, 0x53053053);
    T("flags", rseq, area, 32, 8, 0x53053053);
    T("size", rseq, area, 8, 0, 1);
}

FAMILY(futex) {
    SECTION(basics);
    SECTION(inheritance);
    SECTION(robust);
    SECTION(newer);
    SECTION(barriers);
}
