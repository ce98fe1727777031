/* System V IPC between users: who may get, look at, change, use and remove an object, as sysvipc(7) has it. */
#include "guest.h"

#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>

union argument {
    int value;
    void *buffer;
    unsigned short *array;
};

/* Until it waits; the call that it is in may have to be served first. */
static void asleep(pid_t child) {
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    for (int i = 0; i < 500; i++) {
        millis(10);
        int fd = open(path, O_RDONLY);
        ssize_t length = read(fd, text, sizeof text - 1);
        close(fd);
        text[length < 0 ? 0 : length] = 0;
        const char *name = strrchr(text, ')');
        if (name && name[1] && name[2] == 'S') break;
    }
    millis(50);
}

static void become(uid_t uid, gid_t gid) {
    syscall(SYS_setgroups, 0, NULL);
    syscall(SYS_setresgid, gid, gid, gid);
    syscall(SYS_setresuid, uid, uid, uid);
}

static void show(const char *call, const char *tag, const struct ipc_perm *perm) {
    say(call, tag, "uid=%d gid=%d cuid=%d cgid=%d mode=%o", (int)perm->uid, (int)perm->gid, (int)perm->cuid, (int)perm->cgid, perm->mode);
}

static int shm, sem, msg;

/* Everything that can be asked of the three objects. */
static void try_all(const char *tag) {
    struct shmid_ds shm_state;
    struct semid_ds sem_state;
    struct msqid_ds msg_state;
    unsigned short values[4] = {0};
    struct { long type; char text[8]; } message = {1, "x"};
    struct sembuf up = {0, 1, IPC_NOWAIT}, zero = {1, 0, IPC_NOWAIT};
    struct timespec none = {0, 0};
    TOK(tag, shmget, 0x51, 4096, 0);
    TOK(tag, shmget, 0x51, 4096, 0400);
    TOK(tag, shmget, 0x51, 4096, 0600);
    TOK(tag, shmget, 0x51, 4096, 0666);
    T(tag, shmctl, shm, IPC_STAT, &shm_state);
    long at = TOK(tag, shmat, shm, NULL, SHM_RDONLY);
    if (at > 0) syscall(SYS_shmdt, at);
    at = TOK(tag, shmat, shm, NULL, 0);
    if (at > 0) syscall(SYS_shmdt, at);
    at = TOK(tag, shmat, shm, NULL, SHM_RDONLY | SHM_EXEC);
    if (at > 0) syscall(SYS_shmdt, at);
    TOK(tag, semget, 0x52, 2, 0400);
    TOK(tag, semget, 0x52, 2, 0600);
    T(tag, semctl, sem, 0, IPC_STAT, (union argument){.buffer = &sem_state});
    T(tag, semctl, sem, 0, GETVAL, 0);
    T(tag, semctl, sem, 0, GETALL, (union argument){.array = values});
    T(tag, semctl, sem, 0, GETNCNT, 0);
    T(tag, semctl, sem, 0, GETZCNT, 0);
    TOK(tag, semctl, sem, 0, GETPID, 0);
    T(tag, semctl, sem, 0, SETVAL, (union argument){.value = 1});
    T(tag, semctl, sem, 0, SETALL, (union argument){.array = values});
    T(tag, semop, sem, &up, 1);
    T(tag, semop, sem, &zero, 1);
    T(tag, semtimedop, sem, &up, 1, &none);
    TOK(tag, msgget, 0x53, 0400);
    TOK(tag, msgget, 0x53, 0600);
    T(tag, msgctl, msg, IPC_STAT, &msg_state);
    T(tag, msgsnd, msg, &message, 2, IPC_NOWAIT);
    T(tag, msgrcv, msg, &message, 8, 0, IPC_NOWAIT);
    T(tag, msgrcv, msg, &message, 8, 0, IPC_NOWAIT);
    memset(&shm_state, 0, sizeof shm_state);
    T(tag, shmctl, shm, SHM_LOCK, NULL);
    T(tag, shmctl, shm, SHM_UNLOCK, NULL);
    shm_state.shm_perm.uid = 4100;
    shm_state.shm_perm.gid = 4200;
    shm_state.shm_perm.mode = 0600;
    T("set", shmctl, shm, IPC_SET, &shm_state);
    memset(&sem_state, 0, sizeof sem_state);
    sem_state.sem_perm.uid = 4100;
    sem_state.sem_perm.gid = 4200;
    sem_state.sem_perm.mode = 0600;
    T("set", semctl, sem, 0, IPC_SET, (union argument){.buffer = &sem_state});
    T(tag, shmctl, shm, 99, &shm_state);
    T(tag, semctl, sem, 0, 99, 0);
    T(tag, msgctl, msg, 99, &msg_state);
}

static void as(const char *tag, uid_t uid, gid_t gid) {
    pid_t child = fork();
    if (child == 0) {
        become(uid, gid);
        try_all(tag);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void make(int mode) {
    shm = (int)syscall(SYS_shmget, 0x51, 4096, IPC_CREAT | IPC_EXCL | mode);
    sem = (int)syscall(SYS_semget, 0x52, 2, IPC_CREAT | IPC_EXCL | mode);
    msg = (int)syscall(SYS_msgget, 0x53, IPC_CREAT | IPC_EXCL | mode);
    if (shm < 0 || sem < 0 || msg < 0) say("make", "objects", "%s", errname(errno));
}

static void drop(const char *tag) {
    T(tag, shmctl, shm, IPC_RMID, NULL);
    T(tag, semctl, sem, 0, IPC_RMID, 0);
    T(tag, msgctl, msg, IPC_RMID, NULL);
}

static void owner(void) {
    struct shmid_ds state;
    struct semid_ds sem_state;
    struct msqid_ds msg_state;
    make(0640);
    T("own", shmctl, shm, IPC_STAT, &state);
    show("shmctl", "own", &state.shm_perm);
    say("shmctl", "own", "size=%zu attached=%lu creator=%d last=%d key=%#x atime=%d ctime=%d", state.shm_segsz, (unsigned long)state.shm_nattch, state.shm_cpid == getpid(), (int)state.shm_lpid, (unsigned)state.shm_perm.__key, state.shm_atime != 0, state.shm_ctime != 0);
    void *at = shmat(shm, NULL, 0);
    shmctl(shm, IPC_STAT, &state);
    say("shmctl", "attached", "attached=%lu last=%d atime=%d", (unsigned long)state.shm_nattch, state.shm_lpid == getpid(), state.shm_atime != 0);
    T("own", semctl, sem, 0, IPC_STAT, (union argument){.buffer = &sem_state});
    show("semctl", "own", &sem_state.sem_perm);
    say("semctl", "own", "count=%lu otime=%d", (unsigned long)sem_state.sem_nsems, sem_state.sem_otime != 0);
    T("own", msgctl, msg, IPC_STAT, &msg_state);
    show("msgctl", "own", &msg_state.msg_perm);
    say("msgctl", "own", "count=%lu bytes=%lu sender=%d receiver=%d", (unsigned long)msg_state.msg_qnum, (unsigned long)msg_state.msg_qbytes, (int)msg_state.msg_lspid, (int)msg_state.msg_lrpid);
    struct { long type; char text[8]; } message = {7, "hello"};
    T("own", msgsnd, msg, &message, 6, 0);
    msgctl(msg, IPC_STAT, &msg_state);
    say("msgctl", "sent", "count=%lu bytes=%lu sender=%d", (unsigned long)msg_state.msg_qnum, (unsigned long)msg_state.__msg_cbytes, msg_state.msg_lspid == getpid());
    state.shm_perm.mode = 0777 | 07000;
    state.shm_perm.uid = 12;
    state.shm_perm.gid = 13;
    T("own_set", shmctl, shm, IPC_SET, &state);
    shmctl(shm, IPC_STAT, &state);
    show("shmctl", "own_set", &state.shm_perm);
    sem_state.sem_perm.mode = 0;
    sem_state.sem_perm.uid = 12;
    T("own_set", semctl, sem, 0, IPC_SET, (union argument){.buffer = &sem_state});
    T("creator_stat", semctl, sem, 0, IPC_STAT, (union argument){.buffer = &sem_state});
    T("creator_value", semctl, sem, 0, GETVAL, 0);
    msg_state.msg_qbytes = 100;
    msg_state.msg_perm.uid = 12;
    T("own_set", msgctl, msg, IPC_SET, &msg_state);
    msgctl(msg, IPC_STAT, &msg_state);
    show("msgctl", "own_set", &msg_state.msg_perm);
    say("msgctl", "own_set", "bytes=%lu", (unsigned long)msg_state.msg_qbytes);
    msg_state.msg_qbytes = 1 << 30;
    T("more_bytes", msgctl, msg, IPC_SET, &msg_state);
    state.shm_perm.uid = (uid_t)-1;
    T("bad_uid", shmctl, shm, IPC_SET, &state);
    T("efault_set", shmctl, shm, IPC_SET, BAD);
    T("efault_stat", shmctl, shm, IPC_STAT, BAD);
    T("efault_set", semctl, sem, 0, IPC_SET, BAD);
    T("efault_stat", semctl, sem, 0, IPC_STAT, BAD);
    T("efault_set", msgctl, msg, IPC_SET, BAD);
    T("efault_stat", msgctl, msg, IPC_STAT, BAD);
    drop("creator_remove");
    T("destroyed", shmctl, shm, IPC_STAT, &state);
    say("shmctl", "destroyed", "mode=%o attached=%lu", state.shm_perm.mode, (unsigned long)state.shm_nattch);
    T("key_free", shmget, 0x51, 4096, 0);
    shmdt(at);
    T("gone", shmctl, shm, IPC_STAT, &state);
}

static void users(void) {
    static const int modes[] = {0, 0600, 0640, 0644, 0660, 0666, 0222, 0606, 0444};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char tag[3][32];
        snprintf(tag[0], sizeof tag[0], "stranger_%o", modes[i]);
        snprintf(tag[1], sizeof tag[1], "group_%o", modes[i]);
        snprintf(tag[2], sizeof tag[2], "same_%o", modes[i]);
        make(modes[i]);
        as(tag[0], 4001, 4002);
        as(tag[1], 4001, getgid());
        as(tag[2], getuid(), 4002);
        drop(tag[2]);
    }
    /* An object of another, as the one who made the container. */
    if (geteuid()) return;
    int ids[2];
    if (pipe(ids)) return;
    if (fork() == 0) {
        become(4005, 4006);
        make(0600);
        int made[3] = {shm, sem, msg};
        if (write(ids[1], made, sizeof made) < 0) _exit(1);
        _exit(0);
    }
    wait(NULL);
    int made[3] = {0};
    if (read(ids[0], made, sizeof made) < 0) return;
    shm = made[0], sem = made[1], msg = made[2];
    try_all("root");
    drop("root");
    if (fork() == 0) {
        become(4005, 4006);
        drop("true_owner");
        _exit(0);
    }
    wait(NULL);
}

static void getting(void) {
    int unnamed = (int)TOK("private", shmget, IPC_PRIVATE, 1, 0);
    T("private", shmctl, unnamed, IPC_RMID, NULL);
    T("no_size", shmget, IPC_PRIVATE, 0, 0600);
    T("huge", shmget, IPC_PRIVATE, (size_t)-1, 0600);
    make(0600);
    T("exclusive", shmget, 0x51, 4096, IPC_CREAT | IPC_EXCL);
    T("exclusive_larger", shmget, 0x51, 40960, IPC_CREAT | IPC_EXCL);
    T("larger", shmget, 0x51, 40960, 0);
    TOK("smaller", shmget, 0x51, 1, 0);
    T("absent", shmget, 0x5151, 4096, 0);
    T("exclusive", semget, 0x52, 2, IPC_CREAT | IPC_EXCL);
    T("more", semget, 0x52, 3, 0);
    TOK("fewer", semget, 0x52, 1, 0);
    TOK("zero", semget, 0x52, 0, 0);
    T("negative", semget, 0x52, -1, 0);
    T("none", semget, IPC_PRIVATE, 0, 0600);
    T("too_many", semget, IPC_PRIVATE, 32001, 0600);
    T("absent", semget, 0x5252, 1, 0);
    T("exclusive", msgget, 0x53, IPC_CREAT | IPC_EXCL);
    T("absent", msgget, 0x5353, 0);
    drop("getting");
    T("removed", shmctl, shm, IPC_RMID, NULL);
    T("removed", semctl, sem, 0, IPC_RMID, 0);
    T("removed", msgctl, msg, IPC_RMID, NULL);
    T("removed", shmat, shm, NULL, 0);
    T("removed", semop, sem, &(struct sembuf){0, 1, 0}, 1);
    T("removed", msgsnd, msg, &(struct { long type; char text; }){1, 0}, 0, 0);
    T("removed", msgrcv, msg, BAD, 0, 0, IPC_NOWAIT);
    T("negative_id", shmctl, -1, IPC_STAT, NULL);
    T("negative_id", shmat, -1, NULL, 0);
    T("negative_id", semctl, -1, 0, IPC_STAT, 0);
    T("negative_id", semop, -1, &(struct sembuf){0, 1, 0}, 1);
    T("negative_id", msgctl, -1, IPC_STAT, NULL);
    T("negative_id", msgsnd, -1, &(long){1}, 0, 0);
    T("negative_cmd", shmctl, 0, -1, NULL);
}

static void using(void) {
    make(0600);
    char *at = (char *)syscall(SYS_shmat, shm, NULL, 0);
    T("unaligned", shmat, shm, at + 1, 0);
    T("taken", shmat, shm, at, 0);
    T("remap_null", shmat, shm, NULL, SHM_REMAP);
    T("not_attached", shmdt, at + 4096);
    if (fork() == 0) {
        strcpy(at, "child");
        _exit(0);
    }
    wait(NULL);
    say("shmat", "shared", "%s", at);
    struct shmid_ds state;
    struct shminfo information;
    struct shm_info used;
    int ok = shmctl(0, IPC_INFO, (void *)&information) >= 0;
    say("shmctl", "info", "ok=%d min=%lu", ok, (unsigned long)information.shmmin);
    ok = shmctl(0, SHM_INFO, (void *)&used) >= 0;
    say("shmctl", "used", "ok=%d some=%d", ok, used.used_ids > 0);
    int index = shmctl(0, IPC_INFO, (void *)&information), found = 0;
    for (int i = 0; i <= index; i++)
        if (shmctl(i, SHM_STAT, &state) == shm) {
            found++;
            show("shmctl", "by_index", &state.shm_perm);
        }
    say("shmctl", "by_index", "%d", found);
    found = 0;
    for (int i = 0; i <= index; i++) found += shmctl(i, 15, &state) == shm;
    say("shmctl", "any_index", "%d", found);
    struct seminfo limits;
    index = semctl(0, 0, IPC_INFO, (union argument){.buffer = &limits});
    struct semid_ds sem_state;
    found = 0;
    for (int i = 0; i <= index; i++) found += semctl(i, 0, SEM_STAT, (union argument){.buffer = &sem_state}) == sem;
    say("semctl", "by_index", "%d", found);
    struct msginfo queue_limits;
    index = msgctl(0, IPC_INFO, (void *)&queue_limits);
    struct msqid_ds msg_state;
    found = 0;
    for (int i = 0; i <= index; i++) found += msgctl(i, MSG_STAT, &msg_state) == msg;
    say("msgctl", "by_index", "%d", found);
    T("bad_index", shmctl, 30000, SHM_STAT, &state);
    struct sembuf many[3] = {{0, 1, 0}, {1, 2, 0}, {0, -1, 0}};
    T("three", semop, sem, many, 3);
    T("none", semop, sem, many, 0);
    many[1].sem_num = 9;
    T("number", semop, sem, many, 3);
    T("range", semop, sem, &(struct sembuf){0, 32767, 0}, 1);
    T("range_more", semop, sem, &(struct sembuf){0, 32767, 0}, 1);
    T("value_range", semctl, sem, 0, SETVAL, (union argument){.value = 40000});
    T("value_number", semctl, sem, 9, SETVAL, (union argument){.value = 1});
    T("timeout_bad", semtimedop, sem, &(struct sembuf){1, 0, 0}, 1, &(struct timespec){0, -1});
    T("timeout", semtimedop, sem, &(struct sembuf){1, 0, 0}, 1, &(struct timespec){0, 1000000});
    T("timeout_efault", semtimedop, sem, &(struct sembuf){1, 0, 0}, 1, BAD);
    /* Undone when the process ends. */
    T("set", semctl, sem, 0, SETVAL, (union argument){.value = 5});
    if (fork() == 0) {
        syscall(SYS_semop, sem, &(struct sembuf){0, -3, SEM_UNDO}, 1);
        _exit(0);
    }
    wait(NULL);
    T("undone", semctl, sem, 0, GETVAL, 0);
    /* Waiting, woken by a change, by removal and by a signal. */
    T("empty", semctl, sem, 0, SETVAL, (union argument){.value = 0});
    pid_t child = fork();
    if (child == 0) {
        T("woken", semop, sem, &(struct sembuf){0, -1, 0}, 1);
        T("removed_under", semop, sem, &(struct sembuf){0, -1, 0}, 1);
        _exit(0);
    }
    asleep(child);
    T("waiting", semctl, sem, 0, GETNCNT, 0);
    T("wake", semop, sem, &(struct sembuf){0, 1, 0}, 1);
    asleep(child);
    T("remove", semctl, sem, 0, IPC_RMID, 0);
    waitpid(child, NULL, 0);
    struct { long type; char text[100]; } message = {3, "three"};
    T("type_zero", msgsnd, msg, &(struct { long type; char text; }){0, 0}, 1, 0);
    T("negative_size", msgsnd, msg, &message, -1L, 0);
    T("too_long", msgsnd, msg, &message, 9000, 0);
    for (long type = 5; type > 2; type--) {
        message.type = type;
        T("send", msgsnd, msg, &message, 10, 0);
    }
    T("by_type", msgrcv, msg, &message, 100, 4L, 0);
    T("at_most", msgrcv, msg, &message, 100, -4L, 0);
    say("msgrcv", "at_most", "%ld", message.type);
    T("short", msgrcv, msg, &message, 2, 0, 0);
    T("cut", msgrcv, msg, &message, 2, 0, MSG_NOERROR);
    T("none", msgrcv, msg, &message, 2, 0, IPC_NOWAIT);
    T("negative_size", msgrcv, msg, &message, -1L, 0, 0);
    child = fork();
    if (child == 0) {
        T("removed_under", msgrcv, msg, &message, 100, 0, 0);
        _exit(0);
    }
    asleep(child);
    T("remove", msgctl, msg, IPC_RMID, NULL);
    waitpid(child, NULL, 0);
    T("remove", shmctl, shm, IPC_RMID, NULL);
    char *line = strdup(get("/proc/sysvipc/sem"));
    say("read", "sysvipc", "%.30s", line);
}

static void listed(void) {
    make(0640);
    /* What ipcs(1) reads. */
    FILE *file = fopen("/proc/sysvipc/shm", "r");
    char line[512];
    while (file && fgets(line, sizeof line, file)) {
        int key, id, mode, uid, gid, cuid, cgid, maker, last;
        unsigned long size, attached;
        if (sscanf(line, "%d %d %o %lu %d %d %lu %d %d %d %d", &key, &id, (unsigned *)&mode, &size, &maker, &last, &attached, &uid, &gid, &cuid, &cgid) == 11 && key == 0x51)
            say("read", "shm", "mode=%o size=%lu maker=%d uid=%d gid=%d cuid=%d cgid=%d", mode, size, maker == getpid(), uid, gid, cuid, cgid);
    }
    if (file) fclose(file);
    file = fopen("/proc/sysvipc/sem", "r");
    while (file && fgets(line, sizeof line, file)) {
        int key, id, mode, uid, gid, cuid, cgid;
        unsigned long count;
        if (sscanf(line, "%d %d %o %lu %d %d %d %d", &key, &id, (unsigned *)&mode, &count, &uid, &gid, &cuid, &cgid) == 8 && key == 0x52)
            say("read", "sem", "mode=%o count=%lu uid=%d gid=%d cuid=%d cgid=%d", mode, count, uid, gid, cuid, cgid);
    }
    if (file) fclose(file);
    file = fopen("/proc/sysvipc/msg", "r");
    while (file && fgets(line, sizeof line, file)) {
        int key, id, mode, uid, gid, cuid, cgid, sender, receiver;
        unsigned long bytes, count;
        if (sscanf(line, "%d %d %o %lu %lu %d %d %d %d %d %d", &key, &id, (unsigned *)&mode, &bytes, &count, &sender, &receiver, &uid, &gid, &cuid, &cgid) == 11 && key == 0x53)
            say("read", "msg", "mode=%o bytes=%lu uid=%d gid=%d cuid=%d cgid=%d", mode, bytes, uid, gid, cuid, cgid);
    }
    if (file) fclose(file);
    drop("listed");
}

FAMILY(sysv) {
    SECTION(owner);
    SECTION(users);
    SECTION(getting);
    SECTION(using);
    SECTION(listed);
}
