/* Who may do what with files: modes, owners, groups, sticky and set-group-ID directories, links of others, POSIX
 * ACLs, classes of extended attributes. Run by root it becomes several users in turn. */
#include "guest.h"

#include <linux/capability.h>
#include <grp.h>
#include <sys/prctl.h>

struct who { const char *name; unsigned uid, gid, groups[2]; int count; unsigned long drop; };

static const struct who everybody[] = {
    {"root", 0, 0, {0}, 0, 0},
    {"weakroot", 0, 0, {0}, 0, 1UL << CAP_DAC_OVERRIDE | 1UL << CAP_DAC_READ_SEARCH | 1UL << CAP_FOWNER | 1UL << CAP_CHOWN | 1UL << CAP_FSETID},
    {"nofsetid", 0, 0, {0}, 0, 1UL << CAP_FSETID},
    {"owner", 1000, 1000, {0}, 0, 0},
    {"member", 3000, 2000, {0}, 0, 0},
    {"supplementary", 3001, 3001, {5000, 2000}, 2, 0},
    {"other", 4000, 4000, {0}, 0, 0},
};
enum { EVERYBODY = sizeof everybody / sizeof *everybody };

static int become(const struct who *who) {
    if (getuid() != 0) return 0;
    for (int cap = 0; cap < 41; cap++)
        if (who->drop & (1UL << cap)) prctl(PR_CAPBSET_DROP, cap);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_capget, &header, data);
    data[0].effective &= ~(unsigned)who->drop;
    if (setgroups((size_t)who->count, who->groups) || setresgid(who->gid, who->gid, who->gid)) return -1;
    if (who->drop && syscall(SYS_capset, &header, data)) return -1;
    return who->uid ? setresuid(who->uid, who->uid, who->uid) : 0;
}

/* `body` once as each of them. */
static const struct who *now;
static void as_each(void (*body)(void)) {
    for (size_t i = 0; i < EVERYBODY; i++) {
        now = &everybody[i];
        pid_t child = fork();
        if (child == 0) {
            if (become(now)) say("setresuid", now->name, "%s", errname(errno));
            body();
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        if (status) say("wait4", now->name, "%s", ended(status));
    }
}

static const char *tagged(const char *text) {
    static char tag[160];
    snprintf(tag, sizeof tag, "%s_%s", now->name, text);
    return tag;
}

static int opens(const char *path, int flags) {
    int fd = open(path, flags);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static void look_at_modes(void) {
    for (unsigned mode = 0; mode < 8; mode++)
        for (int class = 0; class < 3; class++) {
            char path[64], tag[64];
            unsigned bits = mode << (3 * class);
            snprintf(path, sizeof path, "/work/pm/f%03o", bits);
            snprintf(tag, sizeof tag, "f%03o", bits);
            int chdirs;
            char directory[64], inside[80];
            snprintf(directory, sizeof directory, "/work/pm/d%03o", bits);
            snprintf(inside, sizeof inside, "%s/inside", directory);
            struct stat st;
            chdirs = chdir(directory) == 0;
            if (chdir("/")) _exit(1);
            say("access", tagged(tag), "r%d w%d x%d rw%d open=%d%d%d dir: r%d w%d x%d list=%d enter=%d stat=%d make=%d", access(path, R_OK) == 0, access(path, W_OK) == 0,
                access(path, X_OK) == 0, access(path, R_OK | W_OK) == 0, opens(path, O_RDONLY), opens(path, O_WRONLY), opens(path, O_RDWR), access(directory, R_OK) == 0,
                access(directory, W_OK) == 0, access(directory, X_OK) == 0, opens(directory, O_RDONLY | O_DIRECTORY), chdirs, stat(inside, &st) == 0, ({
                    char made[96];
                    snprintf(made, sizeof made, "%s/made", directory);
                    int ok = mkdir(made, 0700) == 0;
                    if (ok) rmdir(made);
                    ok;
                }));
        }
}

static void modes(void) {
    mkdir("/work/pm", 0755);
    for (unsigned mode = 0; mode < 8; mode++)
        for (int class = 0; class < 3; class++) {
            char path[64];
            unsigned bits = mode << (3 * class);
            snprintf(path, sizeof path, "/work/pm/f%03o", bits);
            put(path, "x");
            chown(path, 1000, 2000);
            chmod(path, bits);
            snprintf(path, sizeof path, "/work/pm/d%03o", bits);
            mkdir(path, 0755);
            char inside[80];
            snprintf(inside, sizeof inside, "%s/inside", path);
            put(inside, "x");
            chown(path, 1000, 2000);
            chmod(path, bits);
        }
    as_each(look_at_modes);
}

static void show(const char *call, const char *tag, const char *path) {
    struct stat st;
    if (lstat(path, &st)) say(call, tag, "!%s", errname(errno));
    else say(call, tag, "mode=%o uid=%u gid=%u", st.st_mode, st.st_uid, st.st_gid);
}

static void reset(unsigned mode) {
    unlink("/work/pc/target");
    put("/work/pc/target", "content");
    chown("/work/pc/target", 1000, 2000);
    chmod("/work/pc/target", mode);
}

static void one_change(void) {
    static const unsigned wanted[] = {0644, 0777, 04755, 02755, 06755, 01644, 02644};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        char tag[64];
        snprintf(tag, sizeof tag, "to%o", wanted[i]);
        T(tagged(tag), chmod, "/work/pc/target", wanted[i]);
        show("chmod", tagged(tag), "/work/pc/target");
    }
}

static void one_owner(void) {
    static const int ids[][2] = {{-1, -1}, {1000, -1}, {-1, 2000}, {-1, 1000}, {-1, 5000}, {-1, 3001}, {4000, -1}, {1000, 2000}, {0, 0}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char tag[64];
        snprintf(tag, sizeof tag, "to_%d_%d", ids[i][0], ids[i][1]);
        T(tagged(tag), chown, "/work/pc/target", ids[i][0], ids[i][1]);
        show("chown", tagged(tag), "/work/pc/target");
    }
}

static void one_write(void) {
    int fd = open("/work/pc/target", O_WRONLY);
    if (fd < 0) {
        say("open", tagged("target"), "%s", errname(errno));
        return;
    }
    T(tagged("suid"), write, fd, "y", 1);
    show("write", tagged("suid"), "/work/pc/target");
}

static void one_truncate(void) {
    T(tagged("suid"), truncate, "/work/pc/target", 1L);
    show("truncate", tagged("suid"), "/work/pc/target");
}

static void one_open_trunc(void) {
    int fd = (int)TOK(tagged("suid_trunc"), open, "/work/pc/target", O_WRONLY | O_TRUNC);
    close(fd);
    show("open", tagged("suid_trunc"), "/work/pc/target");
}

static void one_allocate(void) {
    int fd = open("/work/pc/target", O_RDWR);
    T(tagged("suid"), fallocate, fd, 0, 0L, 100L);
    show("fallocate", tagged("suid"), "/work/pc/target");
    T(tagged("suid"), ftruncate, fd, 5L);
    show("ftruncate", tagged("suid"), "/work/pc/target");
}

static void one_times(void) {
    struct timespec set[2] = {{100, 0}, {200, 0}}, now_both[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, mixed[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    T(tagged("set"), utimensat, AT_FDCWD, "/work/pc/target", set, 0);
    T(tagged("now"), utimensat, AT_FDCWD, "/work/pc/target", NULL, 0);
    T(tagged("now_both"), utimensat, AT_FDCWD, "/work/pc/target", now_both, 0);
    T(tagged("mixed"), utimensat, AT_FDCWD, "/work/pc/target", mixed, 0);
    TOK(tagged("noatime"), open, "/work/pc/target", O_RDONLY | O_NOATIME);
    int fd = open("/work/pc/target", O_RDONLY);
    if (fd >= 0) T(tagged("setfl_noatime"), fcntl, fd, F_SETFL, O_NOATIME);
}

static void each_changed(unsigned mode, void (*body)(void)) {
    for (size_t i = 0; i < EVERYBODY; i++) {
        reset(mode);
        now = &everybody[i];
        pid_t child = fork();
        if (child == 0) {
            if (become(now)) say("setresuid", now->name, "%s", errname(errno));
            body();
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
}

static void changes(void) {
    mkdir("/work/pc", 0777);
    chmod("/work/pc", 0777);
    each_changed(0666, one_change);
    each_changed(06777, one_owner);
    each_changed(02767, one_owner);
    each_changed(06777, one_write);
    each_changed(02767, one_write);
    each_changed(06777, one_truncate);
    each_changed(06777, one_open_trunc);
    each_changed(06777, one_allocate);
    each_changed(0666, one_times);
    each_changed(0600, one_times);
}

static void make_in(void) {
    static const char *const places[] = {"sgid", "plain", "sticky", "sgidsticky"};
    for (size_t i = 0; i < 4; i++) {
        char path[96];
        snprintf(path, sizeof path, "/work/pd/%s/%s-file", places[i], now->name);
        int fd = open(path, O_CREAT | O_RDWR | O_EXCL, 02775);
        close(fd);
        show("open", tagged(places[i]), path);
        snprintf(path, sizeof path, "/work/pd/%s/%s-dir", places[i], now->name);
        mkdir(path, 0775);
        show("mkdir", tagged(places[i]), path);
        snprintf(path, sizeof path, "/work/pd/%s/%s-fifo", places[i], now->name);
        mknod(path, S_IFIFO | 02664, 0);
        show("mknod", tagged(places[i]), path);
        snprintf(path, sizeof path, "/work/pd/%s/%s-link", places[i], now->name);
        symlink("x", path);
        show("symlink", tagged(places[i]), path);
        snprintf(path, sizeof path, "/work/pd/%s", places[i]);
        fd = open(path, O_TMPFILE | O_RDWR, 02775);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0) say("open", tagged("tmpfile"), "%s mode=%o gid=%u", places[i], st.st_mode, st.st_gid);
    }
}

static void remove_in(void) {
    T(tagged("sticky"), unlink, "/work/pd/sticky/victim");
    T(tagged("sticky_rename"), rename, "/work/pd/sticky/victim2", "/work/pd/sticky/moved");
    T(tagged("sticky_rename_back"), rename, "/work/pd/sticky/moved", "/work/pd/sticky/victim2");
    T(tagged("sticky_over"), rename, "/work/pd/plain/mover", "/work/pd/sticky/victim3");
    T(tagged("sticky"), rmdir, "/work/pd/sticky/subdir");
    T(tagged("plain"), unlink, "/work/pd/plain/victim");
    T(tagged("hard"), link, "/work/pd/plain/secret", "/work/pd/plain/hard");
    unlink("/work/pd/plain/hard");
    T(tagged("hard_suid"), link, "/work/pd/plain/suid", "/work/pd/plain/hard");
    unlink("/work/pd/plain/hard");
    T(tagged("hard_readable"), link, "/work/pd/plain/readable", "/work/pd/plain/hard");
    unlink("/work/pd/plain/hard");
    T(tagged("fifo_in_sticky"), open, "/work/pd/sticky/fifo", O_RDWR | O_CREAT | O_NONBLOCK, 0600);
    T(tagged("file_in_sticky"), open, "/work/pd/sticky/wfile", O_RDWR | O_CREAT, 0600);
    struct stat st;
    T(tagged("link_in_sticky"), stat, "/work/pd/sticky/alink", &st);
}

static void victims(void) {
    static const char *const files[] = {"sticky/victim", "sticky/victim2", "sticky/victim3", "plain/victim", "plain/mover", "plain/secret", "plain/suid", "plain/readable", "sticky/wfile"};
    static const unsigned file_modes[] = {0666, 0666, 0666, 0600, 0666, 0600, 04777, 0644, 0666};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[96];
        snprintf(path, sizeof path, "/work/pd/%s", files[i]);
        unlink(path);
        put(path, "x");
        chown(path, 1000, 2000);
        chmod(path, file_modes[i]);
    }
    mkdir("/work/pd/sticky/subdir", 0755);
    chown("/work/pd/sticky/subdir", 1000, 2000);
    mkfifo("/work/pd/sticky/fifo", 0666);
    chown("/work/pd/sticky/fifo", 1000, 2000);
    chmod("/work/pd/sticky/fifo", 0666);
    symlink("../plain/readable", "/work/pd/sticky/alink");
    lchown("/work/pd/sticky/alink", 1000, 2000);
}

static void directories(void) {
    umask(0);
    mkdir("/work/pd", 0755);
    static const struct { const char *path; unsigned mode; } places[] = {{"/work/pd/sgid", 02777}, {"/work/pd/plain", 0777}, {"/work/pd/sticky", 01777}, {"/work/pd/sgidsticky", 03777}};
    for (size_t i = 0; i < 4; i++) {
        mkdir(places[i].path, 0777);
        chown(places[i].path, 9, 2000);
        chmod(places[i].path, places[i].mode);
    }
    as_each(make_in);
    for (size_t i = 0; i < EVERYBODY; i++) {
        victims();
        now = &everybody[i];
        pid_t child = fork();
        if (child == 0) {
            become(now);
            remove_in();
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
}

/* A POSIX ACL as the attribute holds it. */
struct entry { uint16_t tag, perm; uint32_t id; };
struct acl { uint32_t version; struct entry entries[6]; };

static void acl_used(void) {
    int fd = open("/work/pa/file", O_RDONLY);
    say("open", tagged("acl"), "read=%d write=%d access=%d", fd >= 0, opens("/work/pa/file", O_WRONLY), access("/work/pa/file", R_OK | W_OK) == 0);
    char buffer[256];
    T(tagged("acl"), getxattr, "/work/pa/file", "system.posix_acl_access", buffer, sizeof buffer);
    T(tagged("acl"), removexattr, "/work/pa/file2", "system.posix_acl_access");
}

static void acls(void) {
    umask(022);
    mkdir("/work/pa", 0755);
    put("/work/pa/file", "x");
    put("/work/pa/file2", "x");
    chown("/work/pa/file", 1000, 2000);
    chown("/work/pa/file2", 1000, 2000);
    chmod("/work/pa/file", 0600);
    struct acl acl = {2, {{1, 6, ~0u}, {2, 6, 4000}, {4, 0, ~0u}, {8, 4, 5000}, {16, 4, ~0u}, {32, 0, ~0u}}};
    T("acl", setxattr, "/work/pa/file", "system.posix_acl_access", &acl, sizeof acl, 0);
    T("acl2", setxattr, "/work/pa/file2", "system.posix_acl_access", &acl, sizeof acl, 0);
    show("setxattr", "acl_mode", "/work/pa/file");
    T("acl_size", getxattr, "/work/pa/file", "system.posix_acl_access", NULL, 0);
    as_each(acl_used);
    T("acl_mask", chmod, "/work/pa/file", 0660);
    struct acl back;
    T("acl_masked", getxattr, "/work/pa/file", "system.posix_acl_access", &back, sizeof back);
    say("chmod", "acl_mask", "perm=%d", back.entries[4].perm);
    T("acl_bad", setxattr, "/work/pa/file", "system.posix_acl_access", "junk", 4, 0);
    acl.version = 1;
    T("acl_version", setxattr, "/work/pa/file", "system.posix_acl_access", &acl, sizeof acl, 0);
    acl.version = 2;
    acl.entries[0].tag = 99;
    T("acl_tag", setxattr, "/work/pa/file", "system.posix_acl_access", &acl, sizeof acl, 0);
    acl.entries[0].tag = 1;
    T("acl_default_file", setxattr, "/work/pa/file", "system.posix_acl_default", &acl, sizeof acl, 0);
    T("acl_default", setxattr, "/work/pa", "system.posix_acl_default", &acl, sizeof acl, 0);
    umask(0);
    int fd = open("/work/pa/inherits", O_CREAT | O_RDWR, 0666);
    close(fd);
    show("open", "acl_inherited", "/work/pa/inherits");
    umask(077);
    fd = open("/work/pa/inherits2", O_CREAT | O_RDWR, 0666);
    close(fd);
    show("open", "acl_inherited_umask", "/work/pa/inherits2");
    mkdir("/work/pa/dir", 0777);
    show("mkdir", "acl_inherited_umask", "/work/pa/dir");
    mknod("/work/pa/fifo", S_IFIFO | 0666, 0);
    show("mknod", "acl_inherited_umask", "/work/pa/fifo");
    fd = open("/work/pa", O_TMPFILE | O_RDWR, 0666);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0) say("open", "acl_tmpfile_umask", "mode=%o", st.st_mode);
    char buffer[256];
    T("acl_inherited", getxattr, "/work/pa/inherits2", "system.posix_acl_access", buffer, sizeof buffer);
    T("acl_dir_default", getxattr, "/work/pa/dir", "system.posix_acl_default", buffer, sizeof buffer);
    T("acl_list", listxattr, "/work/pa/dir", buffer, sizeof buffer);
    T("acl_link", lsetxattr, "/work/link", "system.posix_acl_access", &acl, sizeof acl, 0);
    T("acl_remove", removexattr, "/work/pa", "system.posix_acl_default");
    T("acl_remove_again", removexattr, "/work/pa", "system.posix_acl_default");
}

static void classes_of(void) {
    char buffer[256];
    static const char *const names[] = {"user.a", "trusted.a", "security.capability", "security.other", "security.selinux", "system.other", "nonsense.a"};
    static const char *const paths[] = {"/work/px/file", "/work/px/sticky", "/work/px/link", "/work/px/fifo"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
            if (!strncmp(names[n], "security.", 9) && strcmp(names[n], "security.capability")) continue; /* The table's limit. */
            char tag[96];
            snprintf(tag, sizeof tag, "%s_%zu", names[n], p);
            T(tagged(tag), lgetxattr, paths[p], names[n], buffer, sizeof buffer);
            T(tagged(tag), lsetxattr, paths[p], names[n], "v", 1, 0);
            T(tagged(tag), llistxattr, paths[p], buffer, sizeof buffer);
            T(tagged(tag), lremovexattr, paths[p], names[n]);
        }
}

static void classes(void) {
    mkdir("/work/px", 0755);
    put("/work/px/file", "x");
    chown("/work/px/file", 1000, 2000);
    chmod("/work/px/file", 0664);
    mkdir("/work/px/sticky", 0777);
    chown("/work/px/sticky", 1000, 2000);
    chmod("/work/px/sticky", 01777);
    symlink("file", "/work/px/link");
    mkfifo("/work/px/fifo", 0666);
    as_each(classes_of);
}

FAMILY(permission) {
    SECTION(modes);
    SECTION(changes);
    SECTION(directories);
    SECTION(acls);
    SECTION(classes);
}
