/* Asynchronous input and output of the kernel: io_setup(2) and what works on its contexts. */
#include "guest.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>

static aio_context_t context(unsigned events) {
    aio_context_t made = 0;
    if (syscall(SYS_io_setup, events, &made)) say("io_setup", "context", "%s", errname(errno));
    return made;
}

static struct iocb operation(unsigned opcode, int fd, const void *buffer, size_t length, long offset) {
    struct iocb block = {0};
    block.aio_lio_opcode = (uint16_t)opcode;
    block.aio_fildes = (uint32_t)fd;
    block.aio_buf = (uint64_t)(uintptr_t)buffer;
    block.aio_nbytes = length;
    block.aio_offset = offset;
    block.aio_data = 42;
    return block;
}

/* Submits one operation and prints what becomes of it. */
static void run(aio_context_t made, const char *tag, struct iocb block) {
    struct iocb *list[1] = {&block};
    struct io_event event = {0};
    struct timespec limit = {5, 0};
    if (T(tag, io_submit, made, 1L, list) != 1) return;
    T(tag, io_getevents, made, 1L, 1L, &event, &limit);
    say("io_getevents", tag, "data=%llu res=%lld same=%d", (unsigned long long)event.data, (long long)event.res,
        event.obj == (uint64_t)(uintptr_t)&block);
}

static void setup(void) {
    aio_context_t made = 0;
    T("none", io_setup, 0, &made);
    T("efault", io_setup, 1, BAD);
    T("null", io_setup, 1, NULL);
    T("huge", io_setup, -1, &made);
    made = 1;
    T("used", io_setup, 1, &made);
    made = 0;
    T("one", io_setup, 1, &made);
    say("io_setup", "one_context", "%d", made != 0);
    T("one", io_destroy, made);
    T("again", io_destroy, made);
    T("bad", io_destroy, 8L);
    T("zero", io_destroy, 0L);
}

static void transfer(void) {
    aio_context_t made = context(8);
    char buffer[64] = {0}, other[8] = {0};
    int fd = open("/work/aio", O_RDWR | O_CREAT | O_TRUNC, 0644);
    run(made, "pwrite", operation(IOCB_CMD_PWRITE, fd, "asynchronous", 12, 0));
    run(made, "fsync", operation(IOCB_CMD_FSYNC, fd, NULL, 0, 0));
    run(made, "fdsync", operation(IOCB_CMD_FDSYNC, fd, NULL, 0, 0));
    run(made, "pread", operation(IOCB_CMD_PREAD, fd, buffer, sizeof buffer, 1));
    say("io_submit", "read", "%s", buffer);
    struct iovec parts[2] = {{buffer, 4}, {other, 4}};
    run(made, "preadv", operation(IOCB_CMD_PREADV, fd, parts, 2, 0));
    say("io_submit", "parts", "%.4s %.4s", buffer, other);
    run(made, "pwritev", operation(IOCB_CMD_PWRITEV, fd, parts, 2, 12));
    struct iocb append = operation(IOCB_CMD_PWRITE, fd, "!", 1, 0);
    append.aio_rw_flags = RWF_APPEND;
    run(made, "append", append);
    say("io_submit", "content", "%s", get("/work/aio"));
    int eventfd_ = eventfd(0, 0);
    struct iocb told = operation(IOCB_CMD_PREAD, fd, buffer, 4, 0);
    told.aio_flags = IOCB_FLAG_RESFD;
    told.aio_resfd = (uint32_t)eventfd_;
    run(made, "resfd", told);
    uint64_t count = 0;
    if (read(eventfd_, &count, sizeof count) < 0) say("read", "resfd", "%s", errname(errno));
    say("io_submit", "resfd_count", "%d", (int)count);
    run(made, "proc", operation(IOCB_CMD_PREAD, open("/proc/sys/kernel/ostype", O_RDONLY), buffer, 8, 0));
    T("end", io_destroy, made);
}

static void errors(void) {
    aio_context_t made = context(2);
    char buffer[8];
    int reading = open("/work/file", O_RDONLY), place = open("/work/file", O_PATH);
    run(made, "closed", operation(IOCB_CMD_PREAD, 900, buffer, 8, 0));
    run(made, "path", operation(IOCB_CMD_PREAD, place, buffer, 8, 0));
    run(made, "read_only", operation(IOCB_CMD_PWRITE, reading, buffer, 8, 0));
    run(made, "efault", operation(IOCB_CMD_PREAD, reading, BAD, 8, 0));
    run(made, "noop", operation(IOCB_CMD_NOOP, reading, buffer, 8, 0));
    run(made, "unknown", operation(99, reading, buffer, 8, 0));
    run(made, "offset", operation(IOCB_CMD_PREAD, reading, buffer, 8, -1));
    struct iocb reserved = operation(IOCB_CMD_PREAD, reading, buffer, 8, 0);
    reserved.aio_reserved2 = 1;
    run(made, "reserved", reserved);
    struct iocb realtime = operation(IOCB_CMD_PREAD, reading, buffer, 8, 0);
    realtime.aio_flags = IOCB_FLAG_IOPRIO;
    realtime.aio_reqprio = 9 << 13;
    run(made, "priority", realtime);
    struct iocb *list[1] = {BAD};
    T("bad_block", io_submit, made, 1L, list);
    T("bad_list", io_submit, made, 1L, BAD);
    T("negative", io_submit, made, -1L, list);
    T("nothing", io_submit, made, 0L, NULL);
    T("no_context", io_submit, 8L, 1L, list);
    struct io_event events[2];
    /* Linux does not judge the nanoseconds: with a negative number of them it waits for ever. */
    struct timespec now = {0, 0};
    T("empty", io_getevents, made, 0L, 1L, events, &now);
    T("timeout", io_getevents, made, 1L, 1L, events, &now);
    T("min_above", io_getevents, made, 3L, 2L, events, &now);
    T("negative", io_getevents, made, -1L, 2L, events, &now);
    T("no_context", io_getevents, 8L, 1L, 1L, events, &now);
    T("end", io_destroy, made);
}

static void handler(int signal) { (void)signal; }

static void waiting(void) {
    aio_context_t made = context(4);
    int ends[2];
    if (pipe(ends)) say("pipe", "ends", "%s", errname(errno));
    struct iocb wait_for = operation(IOCB_CMD_POLL, ends[0], (void *)POLLIN, 0, 0);
    struct iocb *list[1] = {&wait_for};
    struct io_event event = {0};
    struct timespec soon = {0, 20000000}, later = {5, 0};
    T("poll", io_submit, made, 1L, list);
    T("poll_not_yet", io_getevents, made, 1L, 1L, &event, &soon);
    if (write(ends[1], "x", 1) != 1) say("write", "pipe", "%s", errname(errno));
    T("poll_ready", io_getevents, made, 1L, 1L, &event, &later);
    say("io_getevents", "poll_result", "%#llx", (unsigned long long)event.res);
    char byte;
    if (read(ends[0], &byte, 1) != 1) say("read", "pipe", "%s", errname(errno));
    T("poll_again", io_submit, made, 1L, list);
    T("poll", io_cancel, made, &wait_for, &event);
    T("twice", io_cancel, made, &wait_for, &event);
    T("bad", io_cancel, made, BAD, &event);
    T("no_context", io_cancel, 8L, &wait_for, &event);
    T("cancelled", io_getevents, made, 1L, 1L, &event, &soon);

    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    sigset_t none;
    sigemptyset(&none);
    struct {
        const sigset_t *mask;
        size_t size;
    } during = {&none, 8};
    T("signal", io_pgetevents, made, 1L, 1L, &event, &later, &during);
    T("timeout", io_pgetevents, made, 1L, 1L, &event, &soon, NULL);
    during.size = 7;
    T("size", io_pgetevents, made, 1L, 1L, &event, &soon, &during);
    T("end", io_destroy, made);
}

static aio_context_t inherited;

static void in_the_child(void) {
    struct io_event event;
    struct timespec now = {0, 0};
    T("child", io_getevents, inherited, 0L, 1L, &event, &now);
    T("child", io_destroy, inherited);
}

/* Contexts are the memory's: a child has none of them, threads share them. */
static void belonging(void) {
    inherited = context(1);
    in_child(in_the_child);
    T("parent", io_destroy, inherited);
}

FAMILY(aio) {
    SECTION(setup);
    SECTION(transfer);
    SECTION(errors);
    SECTION(waiting);
    SECTION(belonging);
}
