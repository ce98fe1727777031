/* The rules by which ids and capabilities change, over all combinations of few values: setresuid(2) and its
 * kin, securebits, the ambient and the bounding set, and what is left after execve(2). */
#include "guest.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <grp.h>
#include <sys/prctl.h>

static void ids_text(char *text, size_t size) {
    uid_t r, e, s;
    gid_t rg, eg, sg;
    getresuid(&r, &e, &s);
    getresgid(&rg, &eg, &sg);
    snprintf(text, size, "u=%d,%d,%d,%d g=%d,%d,%d,%d", (int)r, (int)e, (int)s, setfsuid((uid_t)-1), (int)rg, (int)eg, (int)sg, setfsgid((gid_t)-1));
}

static void caps_text(char *text, size_t size) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_capget, &header, data);
    unsigned long ambient = 0;
    for (int cap = 0; cap <= 40; cap++)
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1) ambient |= 1UL << cap;
    snprintf(text, size, "eff=%x perm=%x inh=%x amb=%lx bits=%x", data[0].effective, data[0].permitted, data[0].inheritable,
             ambient, prctl(PR_GET_SECUREBITS));
}

/* A child that has become (1,2,3) in uids and gids, without capabilities, tries one call. */
static void tries(const char *call, long number, int count, const int *arguments, int privileged) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (syscall(SYS_setresgid, 11, 12, 13) || (!privileged && syscall(SYS_setresuid, 1, 2, 3))) _exit(1);
        errno = 0;
        long r = syscall(number, arguments[0], arguments[1], arguments[2]);
        int error = r < 0 ? errno : 0;
        char ids[128], tag[64];
        ids_text(ids, sizeof ids);
        int n = snprintf(tag, sizeof tag, "%s", privileged ? "root" : "user");
        for (int i = 0; i < count; i++) n += snprintf(tag + n, sizeof tag - (size_t)n, "_%d", arguments[i]);
        say(call, tag, "ret=%ld errno=%s %s", r, errname(error), ids);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status) say(call, "setup", "%s", ended(status));
}

static void all(const char *call, long number, int count, int base, int privileged) {
    const int values[] = {-1, base + 1, base + 2, base + 3, base + 4};
    for (int a = 0; a < 5; a++)
        for (int b = 0; b < (count > 1 ? 5 : 1); b++)
            for (int c = 0; c < (count > 2 ? 5 : 1); c++) {
                int arguments[3] = {values[a], values[b], values[c]};
                tries(call, number, count, arguments, privileged);
            }
}

/* Ids of an ordinary process; an ordinary container user cannot become these. */
static void user_ids(void) {
    all("setuid", SYS_setuid, 1, 0, 0);
    all("setreuid", SYS_setreuid, 2, 0, 0);
    all("setresuid", SYS_setresuid, 3, 0, 0);
    all("setfsuid", SYS_setfsuid, 1, 0, 0);
}

static void group_ids(void) {
    all("setgid", SYS_setgid, 1, 10, 0);
    all("setregid", SYS_setregid, 2, 10, 0);
    all("setresgid", SYS_setresgid, 3, 10, 0);
    all("setfsgid", SYS_setfsgid, 1, 10, 0);
}

static void root_ids(void) {
    all("setuid", SYS_setuid, 1, 0, 1);
    all("setreuid", SYS_setreuid, 2, 0, 1);
    all("setgid", SYS_setgid, 1, 10, 1);
    all("setregid", SYS_setregid, 2, 10, 1);
    all("setfsuid", SYS_setfsuid, 1, 0, 1);
    all("setfsgid", SYS_setfsgid, 1, 10, 1);
}

/* Capabilities over a change of uids, by securebits. */
static void fixup_one(unsigned bits, int real, int effective, int saved) {
    pid_t child = fork();
    if (child == 0) {
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2] = {{0}};
        syscall(SYS_capget, &header, data);
        data[0].inheritable = (1u << CAP_CHOWN) | (1u << CAP_KILL);
        data[0].inheritable &= data[0].permitted;
        syscall(SYS_capset, &header, data);
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0);
        char tag[64], caps[160];
        snprintf(tag, sizeof tag, "bits%x_%d_%d_%d", bits, real, effective, saved);
        T(tag, prctl, PR_SET_SECUREBITS, bits, 0, 0, 0);
        T(tag, setresuid, real, effective, saved);
        caps_text(caps, sizeof caps);
        say("setresuid", tag, "%s", caps);
        T(tag, setresuid, -1, 0, -1);
        caps_text(caps, sizeof caps);
        say("setresuid", tag, "%s", caps);
        T(tag, setfsuid, 1000);
        caps_text(caps, sizeof caps);
        say("setfsuid", tag, "%s", caps);
        T(tag, setfsuid, 0);
        caps_text(caps, sizeof caps);
        say("setfsuid", tag, "%s", caps);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void fixups(void) {
    static const unsigned bits[] = {0, 1 << SECURE_KEEP_CAPS, 1 << SECURE_NO_SETUID_FIXUP, 1 << SECURE_NO_CAP_AMBIENT_RAISE,
                                    (1 << SECURE_NO_SETUID_FIXUP) | (1 << SECURE_NOROOT)};
    static const int ids[][3] = {{1000, 1000, 1000}, {-1, 1000, -1}, {1000, 1000, 0}, {1000, 0, 1000}, {0, 1000, 1000}, {0, 0, 0}};
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++)
        for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) fixup_one(bits[b], ids[i][0], ids[i][1], ids[i][2]);
}

static void secure_bits(void) {
    static const unsigned wanted[] = {0, 1, 2, 3, 4, 0x10, 0x20, 0x40, 0x80, 0xaa, 0x55, 0xff, 0x100, 0xfff};
    for (size_t first = 0; first < sizeof wanted / sizeof *wanted; first++) {
        pid_t child = fork();
        if (child == 0) {
            char tag[32];
            snprintf(tag, sizeof tag, "first%x", wanted[first]);
            T(tag, prctl, PR_SET_SECUREBITS, wanted[first], 0, 0, 0);
            T(tag, prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
            T(tag, prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
            T(tag, prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0);
            T(tag, prctl, PR_SET_SECUREBITS, 0, 0, 0, 0);
            T(tag, prctl, PR_SET_SECUREBITS, 0xef, 0, 0, 0);
            T(tag, prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
            T(tag, prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    T("keepcaps_2", prctl, PR_SET_KEEPCAPS, 2, 0, 0, 0);
    T("get_keepcaps_more", prctl, PR_GET_KEEPCAPS, 1, 2, 3, 4);
    T("get_bits_more", prctl, PR_GET_SECUREBITS, 1, 2, 3, 4);
    T("ambient_arg4", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 1, 0);
    T("ambient_arg5", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 1);
    T("ambient_clear_arg", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0);
    T("ambient_41", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 41, 0, 0);
    T("ambient_lower", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_CHOWN, 0, 0);
    T("no_new_privs_0", prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    T("no_new_privs_more", prctl, PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0);
    T("get_no_new_privs_more", prctl, PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* capset over few bits: CHOWN is held, SYS_ADMIN (of an ordinary container) is not. */
static void sets_one(unsigned effective, unsigned permitted, unsigned inheritable, int weak) {
    pid_t child = fork();
    if (child == 0) {
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2] = {{0}};
        data[0].effective = data[0].permitted = weak ? (1u << CAP_CHOWN) : (1u << CAP_CHOWN) | (1u << CAP_SETPCAP);
        syscall(SYS_capset, &header, data);
        char tag[64], caps[160];
        snprintf(tag, sizeof tag, "%s_%x_%x_%x", weak ? "weak" : "setpcap", effective, permitted, inheritable);
        data[0] = (struct __user_cap_data_struct){effective, permitted, inheritable};
        T(tag, capset, &header, data);
        caps_text(caps, sizeof caps);
        say("capset", tag, "%s", caps);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void sets(void) {
    static const unsigned values[] = {0, 1u << CAP_CHOWN, 1u << CAP_KILL, 1u << CAP_SYS_ADMIN};
    for (int weak = 0; weak < 2; weak++)
        for (int e = 0; e < 4; e++)
            for (int p = 0; p < 3; p++)
                for (int i = 0; i < 4; i++) sets_one(values[e], values[p], values[i], weak);
}

/* In the program that was executed. */
static void after(const char *tag) {
    char ids[128], caps[160];
    ids_text(ids, sizeof ids);
    caps_text(caps, sizeof caps);
    say("execve", tag, "%s %s nnp=%d keep=%d dump=%d", ids, caps, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_KEEPCAPS), prctl(PR_GET_DUMPABLE));
}

int authority_report(const char *tag) {
    extern unsigned long getauxval(unsigned long);
    family = "authority";
    after(tag);
    say("execve", tag, "secure=%lu", getauxval(23));
    return 0;
}

struct start { const char *tag; int uid[3], gid[3]; unsigned bits, inheritable, ambient; int no_new_privs; };

static void executes(const struct start *start, const char *program) {
    pid_t child = fork();
    if (child == 0) {
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2] = {{0}};
        char tag[96];
        const char *name = strrchr(program, '/') + 1;
        snprintf(tag, sizeof tag, "%s_%s", start->tag, name);
        prctl(PR_SET_SECUREBITS, start->bits | (1 << SECURE_KEEP_CAPS));
        setgroups(0, NULL);
        if (setresgid((gid_t)start->gid[0], (gid_t)start->gid[1], (gid_t)start->gid[2]) || setresuid((uid_t)start->uid[0], (uid_t)start->uid[1], (uid_t)start->uid[2]))
            say("setresuid", tag, "%s", errname(errno));
        syscall(SYS_capget, &header, data);
        data[0].inheritable = start->inheritable & data[0].permitted;
        data[0].effective = start->ambient & data[0].permitted;
        if (syscall(SYS_capset, &header, data)) say("capset", tag, "%s", errname(errno));
        for (int cap = 0; cap < 32; cap++)
            if (start->ambient & (1u << cap)) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
        if (start->no_new_privs) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        char *argv[] = {"x", "--authority", tag, NULL}, *envp[] = {NULL};
        execve(program, argv, envp);
        say("execve", tag, "!%s", errname(errno));
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

/* A `security.capability` attribute of revision 2. */
static void grant(const char *path, unsigned permitted, unsigned inheritable, int effective) {
    uint32_t data[5] = {0x02000000u | (effective ? 1u : 0u), permitted, inheritable, 0, 0};
    T("grant", setxattr, path, "security.capability", data, sizeof data, 0);
}

static void copy(const char *path, unsigned mode, int uid, int gid) {
    int from = open("/bin/syscall-guest", O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    char block[65536];
    ssize_t n;
    while ((n = read(from, block, sizeof block)) > 0)
        if (write(to, block, (size_t)n) != n) say("write", "copy", "%s", errname(errno));
    if (fchown(to, (uid_t)uid, (gid_t)gid) || fchmod(to, mode)) say("fchmod", "copy", "%s", errname(errno));
    close(from);
    close(to);
}

static void programs(void) {
    unsigned chown_bit = 1u << CAP_CHOWN, kill_bit = 1u << CAP_KILL, net = 1u << CAP_NET_RAW;
    copy("/work/p-plain", 0755, 0, 0);
    copy("/work/p-suid0", 04755, 0, 0);
    copy("/work/p-suid5", 04755, 5, 5);
    copy("/work/p-sgid5", 02755, 0, 5);
    copy("/work/p-both5", 06755, 5, 5);
    copy("/work/p-sgid-noexec", 02705, 0, 5);
    copy("/work/p-cap", 0755, 0, 0);
    grant("/work/p-cap", net, 0, 1);
    copy("/work/p-cap-noeff", 0755, 0, 0);
    grant("/work/p-cap-noeff", net, 0, 0);
    copy("/work/p-cap-inh", 0755, 0, 0);
    grant("/work/p-cap-inh", 0, chown_bit, 1);
    copy("/work/p-cap-suid", 04755, 0, 0);
    grant("/work/p-cap-suid", net, 0, 1);
    copy("/work/p-cap-empty", 0755, 0, 0);
    grant("/work/p-cap-empty", 0, 0, 0);
    copy("/work/p-cap-toomuch", 0755, 0, 0);
    grant("/work/p-cap-toomuch", 1u << CAP_SYS_ADMIN, 0, 1);
    static const char *const list[] = {"p-plain", "p-suid0", "p-suid5", "p-sgid5", "p-both5", "p-sgid-noexec", "p-cap", "p-cap-noeff", "p-cap-inh", "p-cap-suid", "p-cap-empty", "p-cap-toomuch"};
    const struct start starts[] = {
        {"root", {0, 0, 0}, {0, 0, 0}, 0, 0, 0, 0},
        {"root_noroot", {0, 0, 0}, {0, 0, 0}, 1 << SECURE_NOROOT, 0, 0, 0},
        {"root_inh", {0, 0, 0}, {0, 0, 0}, 0, chown_bit | kill_bit, 0, 0},
        {"root_nnp", {0, 0, 0}, {0, 0, 0}, 0, 0, 0, 1},
        {"user", {7, 7, 7}, {7, 7, 7}, 0, 0, 0, 0},
        {"user_inh", {7, 7, 7}, {7, 7, 7}, 0, chown_bit | kill_bit, 0, 0},
        {"user_amb", {7, 7, 7}, {7, 7, 7}, 0, chown_bit | kill_bit, chown_bit, 0},
        {"user_amb_nnp", {7, 7, 7}, {7, 7, 7}, 0, chown_bit | kill_bit, chown_bit, 1},
        {"user_nnp", {7, 7, 7}, {7, 7, 7}, 0, 0, 0, 1},
        {"user_e0", {7, 0, 7}, {7, 7, 7}, 0, 0, 0, 0},
        {"root_e7", {0, 7, 7}, {7, 7, 7}, 0, 0, 0, 0},
        {"mixed", {7, 8, 9}, {7, 8, 9}, 0, 0, 0, 0},
        {"owner5", {5, 5, 5}, {5, 5, 5}, 0, chown_bit, chown_bit, 0},
    };
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
        for (size_t p = 0; p < sizeof list / sizeof *list; p++) {
            char path[64];
            snprintf(path, sizeof path, "/work/%s", list[p]);
            executes(&starts[s], path);
        }
    /* The attribute does not outlive a write or a change of owner. */
    char value[64];
    int fd = open("/work/p-cap", O_WRONLY);
    if (write(fd, "\177", 1) != 1) say("write", "p-cap", "%s", errname(errno));
    close(fd);
    T("after_write", getxattr, "/work/p-cap", "security.capability", value, sizeof value);
    T("of_another", chown, "/work/p-cap-inh", 3, 3);
    T("after_chown", getxattr, "/work/p-cap-inh", "security.capability", value, sizeof value);
    uint32_t bad[5] = {0x05000000, 0, 0, 0, 0};
    T("bad_revision", setxattr, "/work/p-plain", "security.capability", bad, sizeof bad, 0);
    bad[0] = 0x02000000;
    T("short", setxattr, "/work/p-plain", "security.capability", bad, 12, 0);
    uint32_t third[6] = {0x03000000, net, 0, 0, 0, 0};
    T("revision3", setxattr, "/work/p-plain", "security.capability", third, sizeof third, 0);
    T("revision3", getxattr, "/work/p-plain", "security.capability", value, sizeof value);
    third[5] = 1000;
    T("revision3_other", setxattr, "/work/p-plain", "security.capability", third, sizeof third, 0);
    T("removed", removexattr, "/work/p-plain", "security.capability");
}

static void groups(void) {
    gid_t many[40];
    for (int i = 0; i < 40; i++) many[i] = (gid_t)(5000 - i * 7);
    T("forty", setgroups, 40, many);
    gid_t back[64] = {0};
    T("count", getgroups, 0, NULL);
    T("small", getgroups, 39, back);
    T("negative", getgroups, -1, back);
    T("efault", getgroups, 64, BAD);
    T("all", getgroups, 64, back);
    int sorted = 1;
    for (int i = 1; i < 40; i++) sorted &= back[i - 1] <= back[i];
    say("getgroups", "sorted", "%d first=%d", sorted, (int)back[0]);
    gid_t same[3] = {5, 5, 5};
    T("repeated", setgroups, 3, same);
    T("repeated", getgroups, 64, back);
    gid_t invalid[1] = {(gid_t)-1};
    T("invalid", setgroups, 1, invalid);
}

FAMILY(authority) {
    SECTION(user_ids);
    SECTION(group_ids);
    SECTION(root_ids);
    SECTION(fixups);
    SECTION(secure_bits);
    SECTION(sets);
    SECTION(programs);
    SECTION(groups);
}
