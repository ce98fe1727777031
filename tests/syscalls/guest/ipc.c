/* System V and POSIX message queues, semaphores and shared memory. */
#include "guest.h"

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

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

FAMILY(ipc) {
    SECTION(shared_memory);
    SECTION(semaphores);
    SECTION(messages);
    SECTION(posix_queues);
}
