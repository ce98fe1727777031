/* Path walks in random trees: directories, files, symbolic links of all kinds (relative, absolute, dangling, loops, through
 * magic links of /proc), bind mounts, roots in the middle, working directories outside of them. What each walk reaches is
 * printed, so that the host kernel's own walk under the reference runtime is the model. CAISSON_WALK_SEED=N of the tests,
 * which comes here as /work/walk-seed, is the number of the first tree. */
#include "guest.h"

#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#define TREES 40
#define WALKS 60
#define NODES 28
/* A descriptor of a directory of the tree. */
#define HELD 50

static uint64_t state;
static unsigned tree;
static char base[64];

static unsigned below(unsigned limit) {
    /* splitmix64 */
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (unsigned)((z ^ z >> 31) % limit);
}

static int one_in(unsigned n) { return below(n) == 0; }

static struct {
    dev_t device;
    ino_t inode;
} known[NODES + 4];
static char directories[NODES + 1][PATH_MAX];
static unsigned node_count, directory_count;

static void remember(const char *path) {
    struct stat st;
    if (lstat(path, &st)) return;
    known[node_count].device = st.st_dev;
    known[node_count++].inode = st.st_ino;
}

/* The number of what a descriptor is open on, 99 for what is no part of the tree. */
static unsigned which(int fd) {
    struct stat st;
    if (fstat(fd, &st)) return 98;
    for (unsigned i = 0; i < node_count; i++)
        if (known[i].device == st.st_dev && known[i].inode == st.st_ino) return i;
    return 99;
}

static void components(char *path) {
    static const char *const words[] = {"a", "b", "c", "d", "..", "..", ".", "a", "b", "c"};
    for (unsigned left = 1 + below(5); left; left--) {
        strcat(path, words[below(10)]);
        if (left > 1 || one_in(7)) strcat(path, one_in(12) ? "//" : "/");
    }
}

static const char *random_path(void) {
    static char path[PATH_MAX];
    path[0] = 0;
    switch (below(16)) {
    case 0: strcpy(path, "/"); break;
    case 1: case 2: snprintf(path, sizeof path, "%s/", base); break;
    case 3: strcpy(path, "/proc/self/cwd/"); break;
    case 4: snprintf(path, sizeof path, "/proc/self/fd/%d%s", HELD, one_in(4) ? "" : "/"); break;
    case 5: snprintf(path, sizeof path, "/proc/self/root%s/", base); break;
    default: break;
    }
    if (path[0] == 0 || path[strlen(path) - 1] == '/') components(path);
    return path;
}

static void plant(void) {
    node_count = directory_count = 0;
    snprintf(base, sizeof base, "/work/walk/t%u", tree);
    mkdir(base, 0755);
    remember("/");
    remember("/work");
    remember("/work/walk");
    remember(base);
    strcpy(directories[directory_count++], base);
    while (node_count < NODES) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%.4000s/%c", directories[below(directory_count)], 'a' + (int)below(4));
        unsigned kind = below(10), made = 0;
        if (kind < 4) {
            made = mkdir(path, 0755) == 0;
            if (made) strcpy(directories[directory_count++], path);
        } else if (kind < 5) {
            int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
            made = fd >= 0;
            close(fd);
        } else {
            made = symlink(random_path(), path) == 0;
        }
        if (made) remember(path);
        else if (one_in(30)) break;
    }
}

static void mounts(void) {
    for (unsigned left = below(3); left; left--) {
        const char *from = directories[below(directory_count)], *to = directories[below(directory_count)];
        mount(from, to, NULL, MS_BIND, NULL);
    }
}

static void uproot(void) {
    for (int i = 0; i < 4; i++)
        for (unsigned j = 0; j < directory_count; j++) umount2(directories[j], MNT_DETACH);
}

static void result(const char *call, unsigned walk, const char *path, long ret) {
    int error = errno;
    char tag[32];
    snprintf(tag, sizeof tag, "t%u_%u", tree, walk);
    if (ret < 0) say(call, tag, "%s %s", path, errname(error));
    else say(call, tag, "%s %ld", path, ret);
}

static void reached(const char *call, unsigned walk, const char *path, int fd) {
    if (fd < 0) {
        result(call, walk, path, -1);
        return;
    }
    result(call, walk, path, (long)which(fd));
    close(fd);
}

static void walk_once(unsigned walk) {
    static const int flags[] = {O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY, O_RDONLY | O_NOFOLLOW, O_PATH | O_DIRECTORY,
                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW};
    const char *path = random_path();
    int from = one_in(3) ? HELD : AT_FDCWD, how = flags[below(6)], tries = 1000;
    struct stat st;
    char text[PATH_MAX] = "";
    long ret;
    switch (below(8)) {
    case 0: case 1: case 2: {
        /* Each kind of restriction alone and together. */
        struct open_how request = {.flags = (uint64_t)how, .resolve = below(32)};
        if (one_in(2)) request.resolve &= below(32);
        int fd;
        /* The host may be renaming or mounting something somewhere. */
        do fd = (int)syscall(SYS_openat2, from, path, &request, sizeof request);
        while (fd < 0 && errno == EAGAIN && --tries);
        snprintf(text, sizeof text, "%.4000s flags=%#x resolve=%#x", path, how, (unsigned)request.resolve);
        reached("openat2", walk, text, fd);
        break;
    }
    case 3:
        snprintf(text, sizeof text, "%.4000s flags=%#x", path, how);
        reached("openat", walk, text, openat(from, path, how));
        break;
    case 4:
        ret = fstatat(from, path, &st, one_in(2) ? AT_SYMLINK_NOFOLLOW : 0);
        result("newfstatat", walk, path, ret < 0 ? ret : (long)(st.st_mode & S_IFMT));
        break;
    case 5:
        ret = readlinkat(from, path, text, sizeof text - 1);
        result("readlinkat", walk, path, ret);
        break;
    case 6:
        ret = mkdirat(from, path, 0755);
        result("mkdirat", walk, path, ret);
        if (ret == 0) result("unlinkat", walk, path, unlinkat(from, path, AT_REMOVEDIR));
        break;
    default:
        ret = chdir(path);
        if (ret == 0) reached("chdir", walk, path, open(".", O_PATH));
        else result("chdir", walk, path, ret);
    }
}

static void walks(void) {
    int fd = open(directories[below(directory_count)], O_PATH | O_DIRECTORY);
    dup2(fd, HELD);
    close(fd);
    const char *root = directories[below(directory_count)], *cwd = directories[below(directory_count)];
    unsigned where = below(4);
    if (where == 2 && chdir(cwd)) return;
    if (where >= 2 && getuid() == 0 && chroot(root)) return;
    if (where == 3 && chdir("/")) return;
    if (where < 2 && chdir(cwd)) return;
    for (unsigned walk = 0; walk < WALKS; walk++) walk_once(walk);
}

static void trees(void) {
    uint64_t seed = 1;
    FILE *file = fopen("/work/walk-seed", "r");
    if (file && fscanf(file, "%lu", &seed) != 1) seed = 1;
    if (file) fclose(file);
    mkdir("/work/walk", 0755);
    for (tree = 0; tree < TREES; tree++) {
        state = seed + tree;
        plant();
        if (getuid() == 0) mounts();
        pid_t child = fork();
        if (child == 0) {
            walks();
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        if (status) say("fork", "ended", "%s", ended(status));
        uproot();
    }
}

FAMILY(walk) { SECTION(trees); }
