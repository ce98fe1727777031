/* Mounting, as a container without CAP_SYS_ADMIN meets it. */
#include "guest.h"

#include <sys/mount.h>
#include <sys/stat.h>

static void calls(void) {
    T("tmpfs", mount, "none", "/work/dir", "tmpfs", 0, NULL);
    T("bind", mount, "/work", "/mnt", NULL, MS_BIND, NULL);
    T("remount", mount, NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    T("private", mount, NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL);
    T("efault", mount, BAD, BAD, BAD, 0, BAD);
    T("efault_target", mount, "none", BAD, "tmpfs", 0, NULL);
    T("enoent", mount, "none", "/work/none", "tmpfs", 0, NULL);
    T("tmp", umount2, "/tmp", 0);
    T("detach", umount2, "/proc", MNT_DETACH);
    T("efault", umount2, BAD, 0);
    T("flags", umount2, "/tmp", 0x100);
    T("enoent", umount2, "/work/none", 0);
    T("not_mounted", umount2, "/work", 0);
    T("here", pivot_root, ".", ".");
    T("dirs", pivot_root, "/work", "/work/dir");
    T("off", swapoff, "/work/file");
    T("on", swapon, "/work/file", 0);
}

#ifndef SYS_statmount
#define SYS_statmount 457
#define SYS_listmount 458
#endif
#define ROOT_OF_CALLER (~0ULL)
#define UNIQUE_OFFSET (1ULL << 31)

/* struct mnt_id_req, with room for more than Linux knows. */
struct id_request {
    uint32_t size, spare;
    uint64_t mount, param, namespace, more[700];
};

/* struct statmount */
struct told {
    uint32_t size, options;
    uint64_t mask;
    uint32_t major, minor;
    uint64_t magic;
    uint32_t flags, type;
    uint64_t id, parent;
    uint32_t id_old, parent_old;
    uint64_t attributes, propagation, peers, master, from;
    uint32_t root, point;
    uint64_t namespace;
    uint32_t subtype, source, option_count, option_array, security_count, security_array;
    uint64_t supported, spare[45];
    char text[4096];
};

static struct id_request request_for(uint64_t mount, uint64_t param) {
    return (struct id_request){.size = 32, .mount = mount, .param = param};
}

static uint64_t listed[4096];

/* /proc/self/mountinfo. */
static const char *table(void) {
    static char text[1 << 18];
    int fd = open("/proc/self/mountinfo", O_RDONLY);
    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, text + length, sizeof text - 1 - length)) > 0) length += got;
    text[length] = 0;
    close(fd);
    return text;
}

static void list_calls(void) {
    struct id_request all = request_for(ROOT_OF_CALLER, 0), one;
    long count = syscall(SYS_listmount, &all, listed, 4096, 0);
    uint64_t first = listed[0], last = count > 0 ? listed[count - 1] : 0;
    int lines = 0, rising = 1;
    for (const char *at = table(); (at = strchr(at, '\n')); at++) lines++;
    for (long i = 1; i < count; i++) rising &= listed[i] > listed[i - 1];
    say("listmount", "all", "%s rising=%d unique=%d", count == lines ? "as mountinfo" : "other", rising, first > UNIQUE_OFFSET);
    say("listmount", "reverse", "%d %d", syscall(SYS_listmount, &all, listed, 4096, 1) == count, listed[0] == last);
    one = request_for(ROOT_OF_CALLER, first);
    say("listmount", "after", "%d", syscall(SYS_listmount, &one, listed, 4096, 0) == count - 1);
    one = request_for(first, 0);
    say("listmount", "below_root", "%d", syscall(SYS_listmount, &one, listed, 4096, 0) == count - 1);
    one = request_for(last, 0);
    T("below_last", listmount, &one, listed, 4096, 0);
    T("two", listmount, &all, listed, 2, 0);
    T("nothing", listmount, &all, listed, 0, 0);
    T("flags", listmount, &all, listed, 2, 2);
    T("too_many", listmount, &all, listed, 1000001, 0);
    T("efault", listmount, BAD, listed, 2, 0);
    T("efault_ids", listmount, &all, BAD, 2, 0);
    one = request_for(ROOT_OF_CALLER, 7);
    T("after_small", listmount, &one, listed, 2, 0);
    one = request_for(5, 0);
    T("small", listmount, &one, listed, 2, 0);
    one = request_for(1ULL << 62, 0);
    T("none", listmount, &one, listed, 2, 0);
    one = all;
    one.namespace = 77;
    T("other_namespace", listmount, &one, listed, 2, 0);
    one = all;
    one.spare = 1000;
    T("spare", listmount, &one, listed, 2, 0);
    static const uint32_t sizes[] = {0, 16, 23, 24, 25, 32, 40, 4096, 4097, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        one = all;
        one.size = sizes[i];
        T("size", listmount, &one, listed, 2, 0);
        one.more[0] = 1;
        T("size_and_more", listmount, &one, listed, 2, 0);
    }
}

/* Whether a line of mountinfo says the same. */
static int is_line(const struct told *told) {
    char wanted[8192];
    snprintf(wanted, sizeof wanted, "%u %u %u:%u %s %s ", told->id_old, told->parent_old, told->major, told->minor, told->text + told->root, told->text + told->point);
    const char *all = table();
    const char *line = strstr(all, wanted);
    if (!line || (line != all && line[-1] != '\n')) return 0;
    const char *end = strstr(line, " - ");
    snprintf(wanted, sizeof wanted, " - %s %s ", told->text + told->type, told->text + told->source);
    return end && !strncmp(end, wanted, strlen(wanted));
}

static void stat_calls(void) {
    static struct told told;
    struct id_request all = request_for(ROOT_OF_CALLER, 0), one;
    long count = syscall(SYS_listmount, &all, listed, 4096, 0), agreeing = 0;
    for (long i = 0; i < count; i++) {
        one = request_for(listed[i], 0x3f | 0x200);
        memset(&told, 0xee, sizeof told);
        long failed = syscall(SYS_statmount, &one, &told, sizeof told, 0);
        agreeing += !failed && (told.mask & 0x3b) == 0x3b && told.id == listed[i] && is_line(&told);
    }
    say("statmount", "agree", "%d", agreeing == count);
    /* The container's /proc, by its place. */
    struct statx place;
    syscall(SYS_statx, AT_FDCWD, "/proc", 0, 0x4000, &place);
    uint64_t proc = place.stx_mnt_id;
    for (int bit = 0; bit < 16; bit++) {
        one = request_for(proc, 1ULL << bit);
        memset(&told, 0xee, sizeof told);
        long failed = syscall(SYS_statmount, &one, &told, sizeof told, 0);
        /* The namespace's number, and what the sandbox does not tell. */
        say("statmount", "bit", "%d %s mask=%lx", bit, errname(failed ? errno : 0), told.mask);
        if (bit == 0) say("statmount", "basic", "%lx", told.magic);
        if (bit == 1) say("statmount", "own", "%d", told.id == proc);
        if (bit == 4) say("statmount", "point", "%u %s", told.size, told.text + told.point);
        if (bit == 5) say("statmount", "type", "%u %s", told.size, told.text + told.type);
    }
    one = request_for(proc, 0x20);
    static const size_t sizes[] = {0, 8, 511, 512, 513, 516, 517, 518, 519, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        one = request_for(proc, 0x20);
        T("room", statmount, &one, &told, sizes[i], 0);
        one = request_for(proc, 3);
        memset(&told, 0xee, sizeof told);
        T("room_plain", statmount, &one, &told, sizes[i], 0);
        say("statmount", "size", "%x %lx", told.size, told.mask);
    }
    T("nothing", statmount, &one, BAD, 0, 0);
    T("efault_buffer", statmount, &one, BAD, 512, 0);
    T("efault", statmount, BAD, &told, sizeof told, 0);
    T("flags", statmount, &one, &told, sizeof told, 1);
    one = request_for(1ULL << 62, 1);
    T("none", statmount, &one, &told, sizeof told, 0);
    one = request_for(ROOT_OF_CALLER, 1);
    T("root", statmount, &one, &told, sizeof told, 0);
    one = request_for(proc & 0x7fffffff, 1);
    T("small", statmount, &one, &told, sizeof told, 0);
    one = request_for(proc, 0x40);
    if (!syscall(SYS_statmount, &one, &told, sizeof told, 0)) {
        one.namespace = told.namespace;
        T("own_namespace", statmount, &one, &told, sizeof told, 0);
        one.namespace++;
        T("other_namespace", statmount, &one, &told, sizeof told, 0);
    }
    if (getuid() != 0 || chroot("/work")) return;
    one = request_for(proc, 1);
    T("unreachable", statmount, &one, &told, sizeof told, 0);
    one = request_for(proc, 0);
    T("unreachable", listmount, &one, listed, 4096, 0);
    T("in_chroot", listmount, &all, listed, 4096, 0);
}

FAMILY(mount) {
    SECTION(calls);
    SECTION(list_calls);
    SECTION(stat_calls);
}
