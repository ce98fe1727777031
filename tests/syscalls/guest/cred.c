/* User and group ids. */
#include "guest.h"

#include <grp.h>
#include <sys/fsuid.h>

static void ids(const char *tag) {
    uid_t r, e, s;
    gid_t rg, eg, sg;
    syscall(SYS_getresuid, &r, &e, &s);
    syscall(SYS_getresgid, &rg, &eg, &sg);
    say("getresuid", tag, "uid=%d,%d,%d gid=%d,%d,%d fs=%d,%d", (int)r, (int)e, (int)s, (int)rg, (int)eg, (int)sg,
        setfsuid((uid_t)-1), setfsgid((gid_t)-1));
}

static void getters(void) {
    T("get", getuid);
    T("get", geteuid);
    T("get", getgid);
    T("get", getegid);
    uid_t a, b, c;
    T("get", getresuid, &a, &b, &c);
    T("efault", getresuid, BAD, &b, &c);
    T("efault_last", getresuid, &a, &b, BAD);
    T("get", getresgid, &a, &b, &c);
    T("efault", getresgid, &a, BAD, &c);
    ids("start");
    gid_t groups[64] = {0};
    long n = T("get", getgroups, 64, groups);
    for (long i = 0; i < n; i++) say("getgroups", "entry", "%d", (int)groups[i]);
    T("size", getgroups, 0, NULL);
    T("small", getgroups, 1, groups);
    T("negative", getgroups, -1, groups);
    T("efault", getgroups, 64, BAD);
}

static void drop_setuid(void) {
    T("back_to_self", setuid, getuid());
    T("other", setuid, 1234);
    ids("setuid");
    T("root", setuid, 0);
    T("invalid", setuid, -1);
    ids("setuid_root");
    T("secret", openat, AT_FDCWD, "/work/secret", O_RDONLY);
    T("create", openat, AT_FDCWD, "/work/by1234", O_RDWR | O_CREAT, 0644);
    struct stat st;
    if (!stat("/work/by1234", &st)) say("setuid", "owner", "uid=%d gid=%d", (int)st.st_uid, (int)st.st_gid);
}

static void drop_resuid(void) {
    T("saved", setresuid, 1001, 1002, 1003);
    ids("saved");
    T("swap", setresuid, -1, 1003, -1);
    ids("swap");
    T("back", setresuid, -1, 0, -1);
    T("real", setresuid, 1003, -1, -1);
    ids("real");
    T("all_one", setresuid, -1, -1, -1);
}

static void drop_reuid(void) {
    T("effective", setreuid, -1, 1005);
    ids("effective");
    T("return", setreuid, -1, 0);
    ids("return");
    T("both", setreuid, 1006, 1006);
    ids("both");
    T("root", setreuid, 0, 0);
}

static void drop_groups(void) {
    gid_t list[3] = {30, 20, 10};
    T("set", setgroups, 3, list);
    gid_t seen[8] = {0};
    long n = T("get", getgroups, 8, seen);
    for (long i = 0; i < n; i++) say("setgroups", "entry", "%d", (int)seen[i]);
    T("efault", setgroups, 3, BAD);
    T("huge", setgroups, 70000, list);
    T("negative", setgroups, -1, list);
    T("empty", setgroups, 0, NULL);
    T("set", setgid, 77);
    T("invalid", setgid, -1);
    ids("setgid");
    T("set", setregid, 78, 79);
    ids("setregid");
    T("set", setresgid, 80, 81, 82);
    ids("setresgid");
    T("set", setfsgid, 83);
    T("seen", setfsgid, -1);
    T("set", setfsuid, 84);
    T("seen", setfsuid, -1);
    ids("fs");
}

static void fs_ids(void) {
    T("user", setfsuid, 1000);
    T("secret", openat, AT_FDCWD, "/work/secret", O_RDONLY);
    T("mine", openat, AT_FDCWD, "/work/mine", O_RDONLY);
    T("create", openat, AT_FDCWD, "/work/byfs", O_RDWR | O_CREAT, 0644);
    struct stat st;
    if (!stat("/work/byfs", &st)) say("setfsuid", "owner", "uid=%d gid=%d", (int)st.st_uid, (int)st.st_gid);
    T("back", setfsuid, 0);
    T("secret_again", openat, AT_FDCWD, "/work/secret", O_RDONLY);
}

static void child_ids(void) { ids("child"); }

static void group_access(void) {
    gid_t list[1] = {4242};
    syscall(SYS_setgroups, 1, list);
    syscall(SYS_setresuid, 2000, 2000, 2000);
    in_child(child_ids);
    T("grouped", openat, AT_FDCWD, "/work/grouped", O_RDONLY);
    T("secret", openat, AT_FDCWD, "/work/secret", O_RDONLY);
}

static void kill_permission(void) {
    pid_t victim = fork();
    if (victim == 0) {
        for (;;) pause();
    }
    if (setresuid(3000, 3000, 3000) == 0) say("kill", "others", "%d %s", kill(victim, 0), errname(errno));
    else say("kill", "own", "%d %s", kill(victim, 0), errname(errno));
    say("kill", "init", "%d %s", kill(1, 0), errname(errno));
    kill(victim, SIGKILL);
}

FAMILY(cred) {
    SECTION(getters);
    SECTION(drop_setuid);
    SECTION(drop_resuid);
    SECTION(drop_reuid);
    SECTION(drop_groups);
    SECTION(fs_ids);
    SECTION(group_access);
    SECTION(kill_permission);
}
