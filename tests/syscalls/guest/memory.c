/* Address space: mmap(2), brk(2), memfd_create(2) and friends. */
#include "guest.h"

static void mappings(void) {
    int fd = open("/work/file", O_RDONLY), fresh = open("/work/map", O_RDWR | O_CREAT, 0644), path = open("/work/file", O_PATH);
    if (ftruncate(fresh, 8192)) return;
    char *p = (char *)TOK("anonymous", mmap, 0L, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
    p[0] = 1;
    T("same_place", munmap, p, 8192);
    p = (char *)TOK("file", mmap, 0L, 4096, PROT_READ, MAP_PRIVATE, fd, 0L);
    say("mmap", "content", "%.5s", p);
    TOK("file_exec", mmap, 0L, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0L);
    T("file_shared_write", mmap, 0L, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
    char *shared = (char *)TOK("shared", mmap, 0L, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fresh, 0L);
    memcpy(shared, "written", 7);
    T("shared", msync, shared, 8192, 4);
    char buffer[8] = {0};
    if (pread(fresh, buffer, 7, 0) == 7) say("mmap", "shared", "%s", buffer);
    T("ebadf", mmap, 0L, 4096, PROT_READ, MAP_PRIVATE, 99L, 0L);
    T("path", mmap, 0L, 4096, PROT_READ, MAP_PRIVATE, (long)path, 0L);
    T("zero", mmap, 0L, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
    T("unaligned", mmap, 0L, 4096, PROT_READ, MAP_PRIVATE, fd, 100L);
    T("huge", mmap, 0L, 1UL << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
    T("null_fixed", mmap, 0L, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1L, 0L);
    T("kernel_fixed", mmap, KERNEL_POINTER, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1L, 0L);
    T("noexec_mount", mmap, 0L, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, (long)open("/noexec/true", O_RDONLY), 0L);
    T("read", mprotect, shared, 4096, PROT_READ);
    T("unaligned", mprotect, shared + 1, 4096, PROT_READ);
    T("exec", mprotect, p, 4096, PROT_READ | PROT_EXEC);
    char *moved = (char *)TOK("grow", mremap, shared, 8192, 16384, 1);
    T("unmapped", mremap, 4096L, 4096, 8192, 1);
    T("dontneed", madvise, moved, 4096, 4);
    T("bad", madvise, moved, 4096, 999);
    unsigned char resident[4];
    T("query", mincore, moved, 4096, resident);
    T("page", mlock, moved, 4096);
    T("page", munlock, moved, 4096);
    T("onfault", mlock2, moved, 4096, 1);
    T("bad", mlockall, 99);
    T("all", munlockall);
    long top = TOK("query", brk, 0);
    TOK("grow", brk, top + 8192);
    ((char *)top)[100] = 1;
    TOK("shrink", brk, top);
    T("bad", remap_file_pages, 0, 0, 0, 0, 0);
    T("membarrier", membarrier, 0, 0, 0);
    long key = T("alloc", pkey_alloc, 0, 0);
    T("free", pkey_free, key);
    T("page", pkey_mprotect, moved, 4096, PROT_READ | PROT_WRITE, -1);
    T("node", set_mempolicy_home_node, moved, 4096, 0, 1);
    struct { uint64_t off, len; } range = {0, 4096};
    uint64_t cached[5];
    T("file", cachestat, fd, &range, cached, 0);
    T("ebadf", cachestat, 99, &range, cached, 0);
    T("flags", map_shadow_stack, 0, 4096, 0x100);
    T("flags", mseal, moved, 4096, 1);
    T("mbind", mbind, moved, 4096, 0, NULL, 0, 0);
    T("policy", get_mempolicy, NULL, NULL, 0, NULL, 0);
    T("policy", set_mempolicy, 0, NULL, 0);
}

static void memory_files(void) {
    int fd = (int)T("plain", memfd_create, "name", 3);
    T("long_name", memfd_create, LONG_NAME LONG_NAME, 0);
    T("efault", memfd_create, BAD, 0);
    T("flags", memfd_create, "x", 0x100000);
    if (fd < 0) return;
    T("size", ftruncate, fd, 4096L);
    T("write", pwrite64, fd, "hello", 5, 0L);
    T("seal", fcntl, fd, 1033, 2 | 4);
    T("seals", fcntl, fd, 1034, 0);
    T("sealed_grow", ftruncate, fd, 8192L);
    char name[40], link[64] = {0};
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    T("link", readlink, name, link, 63);
    say("readlink", "memfd", "%s", link);
    struct stat st;
    fstat(fd, &st);
    say("fstat", "memfd", "mode=%o uid=%d size=%ld", st.st_mode, (int)st.st_uid, (long)st.st_size);
    T("reopen", open, name, O_RDWR);
}

static void exec_from_memory(void) {
    int fd = memfd_create("program", MFD_CLOEXEC), from = open("/bin/syscall-guest", O_RDONLY);
    static char buffer[65536];
    ssize_t n;
    while ((n = read(from, buffer, sizeof buffer)) > 0)
        if (write(fd, buffer, (size_t)n) != n) return;
    char *argv[] = {"memory", "--exec", "memfd", NULL}, *envp[] = {NULL};
    close(from);
    T("memfd", execveat, fd, "", argv, envp, AT_EMPTY_PATH);
}

FAMILY(memory) {
    SECTION(mappings);
    SECTION(memory_files);
    SECTION(exec_from_memory);
}
