/* System V and POSIX message queues, semaphores and shared memory. */
#include "guest.h"

#include <linux/netlink.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>

static void shared_memory(void) {
    int id = (int)TOK("create", shmget, 0x1234, 4096, IPC_CREAT | IPC_EXCL | 0600);
    T("exists", shmget, 0x1234, 4096, IPC_CREAT | IPC_EXCL | 0600);
    T("enoent", shmget, 0x9999, 4096, 0);
    T("zero", shmget, 0x7777, 0, IPC_CREAT | 0600);
    long at = TOK("attach", shmat, id, NULL, 0);
    if (at > 0) strcpy((char *)at, "shared");
    T("bad", shmat, 99999, NULL, 0);
    struct shmid_ds ds;
    T("stat", shmctl, id, IPC_STAT, &ds);
    say("shmctl", "stat", "size=%zu uid=%d mode=%o nattch=%lu", ds.shm_segsz, (int)ds.shm_perm.uid, ds.shm_perm.mode & 0777, (unsigned long)ds.shm_nattch);
    T("efault", shmctl, id, IPC_STAT, BAD);
    T("detach", shmdt, at);
    T("again", shmdt, at);
    T("remove", shmctl, id, IPC_RMID, NULL);
    T("removed", shmctl, id, IPC_STAT, &ds);
}

static void semaphores(void) {
    int id = (int)TOK("create", semget, IPC_PRIVATE, 2, IPC_CREAT | 0600);
    T("negative", semget, IPC_PRIVATE, -1, IPC_CREAT | 0600);
    struct sembuf up = {0, 1, 0}, down = {0, -1, IPC_NOWAIT};
    T("up", semop, id, &up, 1);
    T("down", semop, id, &down, 1);
    T("again", semop, id, &down, 1);
    T("efault", semop, id, BAD, 1);
    T("too_many", semop, id, &up, 100000);
    struct timespec zero = {0, 0};
    down.sem_flg = 0;
    T("timeout", semtimedop, id, &down, 1, &zero);
    T("set", semctl, id, 0, SETVAL, 5);
    T("get", semctl, id, 0, GETVAL, 0);
    T("bad_number", semctl, id, 9, GETVAL, 0);
    T("remove", semctl, id, 0, IPC_RMID, 0);
    T("removed", semop, id, &up, 1);
}

static void messages(void) {
    int id = (int)TOK("create", msgget, IPC_PRIVATE, IPC_CREAT | 0600);
    T("enoent", msgget, 0x8888, 0);
    struct { long type; char text[16]; } message = {3, "text"};
    T("send", msgsnd, id, &message, 5, 0);
    T("bad_type", msgsnd, id, BAD, 5, 0);
    memset(&message, 0, sizeof message);
    T("receive", msgrcv, id, &message, 16, 0, 0);
    say("msgrcv", "text", "%ld %s", message.type, message.text);
    T("empty", msgrcv, id, &message, 16, 0, IPC_NOWAIT);
    struct msqid_ds ds;
    T("stat", msgctl, id, IPC_STAT, &ds);
    T("remove", msgctl, id, IPC_RMID, NULL);
}

static void posix_queues(void) {
    struct mq_attr attributes = {0, 4, 64, 0, {0}};
    int queue = (int)T("create", mq_open, "caisson", O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    T("exists", mq_open, "caisson", O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    T("enoent", mq_open, "none", O_RDWR, 0, NULL);
    T("efault", mq_open, BAD, O_RDWR, 0, NULL);
    T("slash", mq_open, "a/b", O_RDWR | O_CREAT, 0600, NULL);
    T("send", mq_timedsend, queue, "hi", 2, 1, NULL);
    char buffer[64] = {0};
    T("small", mq_timedreceive, queue, buffer, 2, NULL, NULL);
    T("receive", mq_timedreceive, queue, buffer, 64, NULL, NULL);
    say("mq_timedreceive", "text", "%s", buffer);
    T("attributes", mq_getsetattr, queue, NULL, &attributes);
    say("mq_getsetattr", "attributes", "max=%ld size=%ld cur=%ld", attributes.mq_maxmsg, attributes.mq_msgsize, attributes.mq_curmsgs);
    T("none", mq_notify, queue, NULL);
    T("ebadf", mq_timedsend, 99, "hi", 2, 1, NULL);
    T("remove", mq_unlink, "caisson");
    T("again", mq_unlink, "caisson");
    T("efault", mq_unlink, BAD);
}

/* What a netlink socket gets for a queue: the code at the end of the cookie. */
static void told(const char *tag, int fd) {
    char cookie[64] = {0};
    struct pollfd ready = {fd, POLLIN, 0};
    poll(&ready, 1, 2000);
    long n = recv(fd, cookie, sizeof cookie, MSG_DONTWAIT);
    say("mq_notify", tag, "n=%ld text=%.8s code=%d", n, cookie, cookie[31]);
}

static void state(const char *tag, const char *path) {
    char text[200] = {0};
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    int size = 0, notify = -1, signal = -1, pid = -1;
    if (n > 0) sscanf(text, "QSIZE:%d NOTIFY:%d SIGNO:%d NOTIFY_PID:%d", &size, &notify, &signal, &pid);
    say("mq_notify", tag, "size=%d notify=%d signo=%d own=%d", size, notify, signal, pid == getpid());
    if (fd >= 0) close(fd);
}

static void notices(void) {
    struct mq_attr attributes = {0, 4, 64, 0, {0}};
    int queue = (int)syscall(SYS_mq_open, "caisson-notice", O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), unix_socket = socket(AF_UNIX, SOCK_STREAM, 0);
    char cookie[32] = "cookie", buffer[64];
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_signo = netlink, .sigev_value.sival_ptr = cookie};
    struct sigevent bad = event;
    T("efault", mq_notify, queue, BAD);
    T("ebadf", mq_notify, 99, &event);
    T("no_queue", mq_notify, netlink, &event);
    bad.sigev_signo = 99;
    T("no_socket", mq_notify, queue, &bad);
    bad.sigev_signo = queue;
    T("notsock", mq_notify, queue, &bad);
    bad.sigev_signo = unix_socket;
    T("unix", mq_notify, queue, &bad);
    bad.sigev_value.sival_ptr = BAD;
    T("no_cookie", mq_notify, queue, &bad);
    bad.sigev_notify = 77;
    T("kind", mq_notify, queue, &bad);
    int before = dup(0);
    close(before);
    T("thread", mq_notify, queue, &event);
    int after = dup(0);
    close(after);
    say("mq_notify", "descriptors", "%d", after - before);
    T("busy", mq_notify, queue, &event);
    T("wakes", mq_timedsend, queue, "hi", 2, 1, NULL);
    told("woken", netlink);
    state("state_behind", "/dev/mqueue/caisson-notice");
    T("empty", mq_timedreceive, queue, buffer, 64, NULL, NULL);
    T("more", mq_timedsend, queue, "hi", 2, 1, NULL);
    T("again", mq_notify, queue, &event);
    T("not_empty", mq_timedsend, queue, "hi", 2, 1, NULL);
    T("nothing", recvfrom, netlink, buffer, 64, MSG_DONTWAIT, NULL, NULL);
    T("end", mq_notify, queue, NULL);
    told("removed", netlink);
    T("third", mq_notify, queue, &event);
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(syscall(SYS_mq_notify, queue, &event) == 0 ? 0 : errno);
    waitpid(child, &status, 0);
    say("mq_notify", "child", "%d", WEXITSTATUS(status));
    close(dup(queue));
    told("closed", netlink);
    T("fourth", mq_notify, queue, &event);
    /* To close it is to close the queue. */
    state("state", "/dev/mqueue/caisson-notice");
    told("shown", netlink);
    event = (struct sigevent){.sigev_notify = SIGEV_NONE};
    T("none", mq_notify, queue, &event);
    state("state_none", "/dev/mqueue/caisson-notice");
    T("none_end", mq_notify, queue, NULL);
    event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    T("signal", mq_notify, queue, &event);
    state("state_signal", "/dev/mqueue/caisson-notice");
    syscall(SYS_mq_unlink, "caisson-notice");
    close(queue);
    close(netlink);
    close(unix_socket);
}

static sem_t woken;
static void wake(union sigval value) {
    (void)value;
    sem_post(&woken);
}

static void notice_threads(void) {
    sem_init(&woken, 0, 0);
    struct mq_attr attributes = {0, 4, 64, 0, {0}};
    int queue = mq_open("/caisson-thread", O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = wake};
    char buffer[64];
    for (int round = 0; round < 3; round++) {
        say("mq_notify", "libc", "%d", mq_notify(queue, &event));
        mq_send(queue, "hi", 2, 0);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 5;
        say("mq_notify", "libc_woken", "%d", sem_timedwait(&woken, &until));
        mq_receive(queue, buffer, sizeof buffer, NULL);
    }
    say("mq_notify", "libc_again", "%d", mq_notify(queue, &event));
    say("mq_notify", "libc_end", "%d", mq_notify(queue, NULL));
    mq_close(queue);
    mq_unlink("/caisson-thread");
}

FAMILY(ipc) {
    SECTION(shared_memory);
    SECTION(semaphores);
    SECTION(messages);
    SECTION(posix_queues);
    SECTION(notices);
    SECTION(notice_threads);
}
