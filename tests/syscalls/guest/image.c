/* What execve(2) takes and what it makes of a process: files that change meanwhile, interpreters, limits, threads. */
#include "guest.h"

#include <elf.h>
#include <sched.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

static char *const environment[] = {"PATH=/bin", NULL};

/* How an exec in a child ended: the errno of its failure, or what the program did. */
static void tries(const char *tag, const char *path, char *const argv[], char *const envp[]) {
    pid_t child = fork();
    if (child == 0) {
        T(tag, execve, path, argv, envp);
        _exit(99);
    }
    int status;
    waitpid(child, &status, 0);
    say("execve", tag, "-> %s", ended(status));
}

static void script(const char *path, const char *text, unsigned mode) {
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    if (write(fd, text, strlen(text)) < 0) say("write", path, "%s", errname(errno));
    fchmod(fd, mode);
    close(fd);
}

static char *const plain[] = {"zero", "one", NULL};

static void interpreters(void) {
    char previous[64], name[64], line[400];
    script("/work/i0", "#!/bin/echo last\n", 0755);
    for (int i = 1; i <= 7; i++) {
        snprintf(previous, sizeof previous, "#!/work/i%d\n", i - 1);
        snprintf(name, sizeof name, "/work/i%d", i);
        script(name, previous, 0755);
        char tag[24];
        snprintf(tag, sizeof tag, "chain%d", i);
        tries(tag, name, plain, environment);
    }
    script("/work/s1", "#! /bin/echo\ta  b \t\n", 0755);
    tries("blanks", "/work/s1", plain, environment);
    script("/work/s2", "#!/bin/echo no newline", 0755);
    tries("no_newline", "/work/s2", plain, environment);
    script("/work/s3", "#!bin/echo\n", 0755);
    tries("relative", "/work/s3", plain, environment);
    script("/work/s4", "#!/work\n", 0755);
    tries("directory", "/work/s4", plain, environment);
    script("/work/s5", "#!/work/file\n", 0755);
    tries("not_executable", "/work/s5", plain, environment);
    script("/work/s6", "#!/bin/echo\r\n", 0755);
    tries("carriage_return", "/work/s6", plain, environment);
    script("/work/s7", " #!/bin/echo\n", 0755);
    tries("leading_blank", "/work/s7", plain, environment);
    script("/work/s8", "#!/work/s8\n", 0755);
    tries("itself", "/work/s8", plain, environment);
    for (int length = 240; length <= 260; length++) {
        snprintf(line, sizeof line, "#!/bin/echo ");
        size_t at = strlen(line);
        memset(line + at, 'x', (size_t)length - at);
        strcpy(line + length, "\n");
        script("/work/s9", line, 0755);
        char tag[24];
        snprintf(tag, sizeof tag, "line%d", length);
        pid_t child = fork();
        if (child == 0) {
            int null = open("/dev/null", O_WRONLY);
            dup2(null, 1);
            execve("/work/s9", plain, environment);
            _exit(errno == ENOEXEC ? 98 : 99);
        }
        int status;
        waitpid(child, &status, 0);
        say("execve", tag, "%s", ended(status));
    }
    snprintf(line, sizeof line, "#!");
    memset(line + 2, '/', 300);
    strcpy(line + 302, "bin/echo\n");
    script("/work/s10", line, 0755);
    tries("long_interpreter", "/work/s10", plain, environment);
    script("/work/s11", "#!/bin/echo", 0711);
    tries("execute_only", "/work/s11", plain, environment);
    script("/work/s12", "#!/bin/echo\n", 0644);
    tries("mode_644", "/work/s12", plain, environment);
    script("/work/s13", "#!/bin/echo\n", 0001);
    tries("mode_001", "/work/s13", plain, environment);
    script("/work/s14", "#!/bin/echo\n", 0000);
    tries("mode_000", "/work/s14", plain, environment);
    tries("ro_mount", "/ro/true", plain, environment);
    tries("trailing_slash", "/bin/sh/", plain, environment);
    tries("dot", ".", plain, environment);
    tries("device", "/dev/null", plain, environment);
    tries("proc_file", "/proc/self/status", plain, environment);
    tries("socket", "/work/socket", plain, environment);
}

/* ELF headers, each with one thing wrong. */
static void elf_with(const char *tag, size_t offset, const void *bytes, size_t length, size_t keep) {
    static char image[4 << 20];
    static size_t size;
    if (!size) {
        int fd = open("/bin/syscall-guest", O_RDONLY);
        size = (size_t)read(fd, image, sizeof image);
        close(fd);
    }
    char saved[256];
    memcpy(saved, image + offset, length);
    memcpy(image + offset, bytes, length);
    unlink("/work/elf");
    int fd = open("/work/elf", O_WRONLY | O_CREAT | O_TRUNC, 0755);
    if (write(fd, image, keep ? keep : size) < 0) say("write", tag, "%s", errname(errno));
    close(fd);
    memcpy(image + offset, saved, length);
    tries(tag, "/work/elf", plain, environment);
}

static void headers(void) {
    uint8_t byte;
    uint16_t half;
    uint64_t word;
    elf_with("elf_class", EI_CLASS, (byte = ELFCLASS32, &byte), 1, 0);
    elf_with("elf_data", EI_DATA, (byte = ELFDATA2MSB, &byte), 1, 0);
    elf_with("elf_type", offsetof(Elf64_Ehdr, e_type), (half = ET_REL, &half), 2, 0);
    elf_with("elf_type_core", offsetof(Elf64_Ehdr, e_type), (half = ET_CORE, &half), 2, 0);
    elf_with("elf_machine", offsetof(Elf64_Ehdr, e_machine), (half = EM_AARCH64, &half), 2, 0);
    elf_with("elf_no_headers", offsetof(Elf64_Ehdr, e_phnum), (half = 0, &half), 2, 0);
    elf_with("elf_many_headers", offsetof(Elf64_Ehdr, e_phnum), (half = 5000, &half), 2, 0);
    elf_with("elf_entry_size", offsetof(Elf64_Ehdr, e_phentsize), (half = 55, &half), 2, 0);
    elf_with("elf_far_headers", offsetof(Elf64_Ehdr, e_phoff), (word = 1UL << 40, &word), 8, 0);
    elf_with("elf_only_header", 0, "\177", 1, sizeof(Elf64_Ehdr));
    elf_with("elf_half_header", 0, "\177", 1, 40);
}

static void busy(void) {
    unlink("/work/b");
    int from = open("/bin/busybox", O_RDONLY), to = open("/work/b", O_RDWR | O_CREAT | O_TRUNC, 0755);
    char block[65536];
    ssize_t n;
    while ((n = read(from, block, sizeof block)) > 0)
        if (write(to, block, (size_t)n) != n) say("write", "busy", "%s", errname(errno));
    char *sleeps[] = {"sleep", "20", NULL}, *echoes[] = {"echo", "image::execve.busy_echo", NULL};
    tries("open_for_writing", "/work/b", echoes, environment);
    close(to);
    pid_t child = fork();
    if (child == 0) {
        execve("/work/b", sleeps, environment);
        _exit(1);
    }
    for (int i = 0; i < 1000; i++) {
        char path[40], comm[16];
        snprintf(path, sizeof path, "/proc/%d/comm", child);
        snprintf(comm, sizeof comm, "%.8s", get(path));
        if (!strncmp(comm, "b\\n", 3)) break;
        millis(2);
    }
    millis(50);
    T("running_write", open, "/work/b", O_WRONLY);
    T("running_rdwr", open, "/work/b", O_RDWR);
    T("running_trunc", open, "/work/b", O_RDONLY | O_TRUNC);
    T("running_truncate", truncate, "/work/b", 10L);
    T("running_read", access, "/work/b", R_OK);
    T("running_chmod", chmod, "/work/b", 0755);
    T("running_rename", rename, "/work/b", "/work/b2");
    T("running_unlink", unlink, "/work/b2");
    char exe[128] = {0}, path[40];
    snprintf(path, sizeof path, "/proc/%d/exe", child);
    if (readlink(path, exe, 127) > 0) say("readlink", "deleted", "%s", exe);
    tries("deleted_by_proc", path, echoes, environment);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void sizes(void) {
    /* A third of what all strings together may take, by the stack limit. */
    static const unsigned long limits[] = {8UL << 20, 1UL << 20, 128UL << 10, RLIM_INFINITY};
    static const size_t counts[] = {1, 1000, 30000, 200000};
    static const size_t lengths[] = {10, 4000, 131071, 131072};
    for (size_t l = 0; l < 4; l++)
        for (size_t c = 0; c < 4; c++)
            for (size_t s = 0; s < 4; s++) {
                if (counts[c] * lengths[s] > 20000000) continue;
                pid_t child = fork();
                if (child == 0) {
                    struct rlimit limit = {limits[l], RLIM_INFINITY};
                    if (setrlimit(RLIMIT_STACK, &limit)) _exit(97);
                    char *text = malloc(lengths[s] + 1);
                    memset(text, 'a', lengths[s]);
                    text[lengths[s] - 1] = 0;
                    char **argv = calloc(counts[c] + 2, sizeof *argv);
                    argv[0] = "true";
                    for (size_t i = 1; i <= counts[c]; i++) argv[i] = text;
                    execve("/bin/true", argv, environment);
                    _exit(errno == E2BIG ? 98 : 99);
                }
                int status;
                waitpid(child, &status, 0);
                say("execve", "sizes", "limit=%lx count=%zu length=%zu %s", limits[l], counts[c], lengths[s], ended(status));
            }
}

static void *sleeps_for_ever(void *argument) {
    for (;;) pause();
    return argument;
}

static void *executes(void *argument) {
    char *argv[] = {"sh", "-c", "echo image::execve.by_thread $PPID_OK", NULL};
    execve("/bin/sh", argv, environment);
    return argument;
}

static void with_threads(void) {
    pthread_t thread;
    pid_t child = fork();
    int status;
    if (child == 0) {
        for (int i = 0; i < 8; i++) pthread_create(&thread, NULL, sleeps_for_ever, NULL);
        char *argv[] = {"sh", "-c", "echo image::execve.many_threads; ls /proc/self/task | wc -l", NULL};
        execve("/bin/sh", argv, environment);
        _exit(1);
    }
    waitpid(child, &status, 0);
    say("execve", "threads", "%s", ended(status));
    child = fork();
    if (child == 0) {
        pthread_create(&thread, NULL, executes, NULL);
        for (;;) pause();
    }
    waitpid(child, &status, 0);
    say("execve", "other_thread", "%s", ended(status));
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 6; i++) pthread_create(&thread, NULL, executes, NULL);
        executes(NULL);
        _exit(0);
    }
    waitpid(child, &status, 0);
    say("execve", "threads_race", "%s", ended(status));
}

/* What a new program keeps. */
static void keeps(void) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(1);
        char *argv[] = {"sleep", "20", NULL};
        execve("/bin/sleep", argv, environment);
        _exit(1);
    }
    waitpid(child, &status, 0);
    say("execve", "alarm", "%s", ended(status));
    child = fork();
    if (child == 0) {
        struct itimerval soon = {{0, 0}, {0, 50000}};
        setitimer(ITIMER_REAL, &soon, NULL);
        char *argv[] = {"sleep", "20", NULL};
        execve("/bin/sleep", argv, environment);
        _exit(1);
    }
    waitpid(child, &status, 0);
    say("execve", "itimer", "%s", ended(status));
    child = fork();
    if (child == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        raise(SIGTERM);
        char *argv[] = {"grep", "-E", "^(SigPnd|ShdPnd|SigBlk|SigIgn|NoNewPrivs|Threads)", "/proc/self/status", NULL};
        int out = open("/work/kept", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        dup2(out, 1);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        signal(SIGUSR1, SIG_IGN);
        execve("/bin/grep", argv, environment);
        _exit(1);
    }
    waitpid(child, &status, 0);
    say("execve", "kept", "%s", get("/work/kept"));
    child = fork();
    if (child == 0) {
        struct rlimit limit = {77, 88};
        setrlimit(RLIMIT_NOFILE, &limit);
        umask(0157);
        nice(3);
        setpgid(0, 0);
        if (chdir("/work/dir")) _exit(1);
        prctl(PR_SET_NAME, "renamed");
        prctl(PR_SET_DUMPABLE, 0);
        prctl(PR_SET_TIMERSLACK, 123456);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        int out = open("/work/kept", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        dup2(out, 1);
        char *argv[] = {"sh", "-c", "ulimit -n; ulimit -Hn; umask; pwd; nice; cat /proc/self/comm", NULL};
        execve("/bin/sh", argv, environment);
        _exit(1);
    }
    waitpid(child, &status, 0);
    say("execve", "kept_state", "%s %s", ended(status), get("/work/kept"));
    /* Standard descriptors that are closed stay closed. */
    child = fork();
    if (child == 0) {
        int out = open("/work/kept", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        dup2(out, 1);
        dup2(out, 10);
        close(0);
        close(2);
        char *argv[] = {"sh", "-c", "ls /proc/self/fd | tr '\\n' ' '", NULL};
        execve("/bin/sh", argv, environment);
        _exit(1);
    }
    waitpid(child, &status, 0);
    say("execve", "closed_streams", "%s %s", ended(status), get("/work/kept"));
}

/* Descriptors that close on exec, and one table shared with another process. */
static int executes_true(void *argument) {
    (void)argument;
    char *argv[] = {"true", NULL};
    execve("/bin/true", argv, environment);
    return 1;
}

static void shared_table(void) {
    static char stack[65536] __attribute__((aligned(16)));
    int fd = open("/work/file", O_RDONLY | O_CLOEXEC), status;
    pid_t child = clone(executes_true, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL);
    waitpid(child, &status, 0);
    say("execve", "shared_table", "%s cloexec_fd_lives=%d", ended(status), fcntl(fd, F_GETFD) >= 0);
    child = clone(executes_true, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    waitpid(child, &status, 0);
    say("execve", "shared_memory", "%s", ended(status));
    child = clone(executes_true, stack + sizeof stack, CLONE_FS | SIGCHLD, NULL);
    waitpid(child, &status, 0);
    say("execve", "shared_fs", "%s", ended(status));
    child = clone(executes_true, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL);
    waitpid(child, &status, 0);
    say("execve", "shared_handlers", "%s", ended(status));
}

static void at_descriptors(void) {
    char *argv[] = {"echo", "image::execveat.ran", NULL};
    int dir = open("/bin", O_RDONLY | O_CLOEXEC), exe = open("/bin/busybox", O_RDONLY | O_CLOEXEC), file = open("/work/file", O_RDONLY);
    T("ebadf", execveat, 99, "", argv, environment, AT_EMPTY_PATH);
    T("ebadf_path", execveat, 99, "true", argv, environment, 0);
    T("empty_no_flag", execveat, exe, "", argv, environment, 0);
    T("notdir", execveat, file, "true", argv, environment, 0);
    T("enoent", execveat, dir, "none", argv, environment, 0);
    T("flags", execveat, dir, "true", argv, environment, 1);
    T("efault", execveat, dir, BAD, argv, environment, 0);
    T("null", execveat, exe, NULL, argv, environment, AT_EMPTY_PATH);
    T("directory", execveat, dir, "", argv, environment, AT_EMPTY_PATH);
    T("plain_file", execveat, file, "", argv, environment, AT_EMPTY_PATH);
    T("nofollow_link", execveat, AT_FDCWD, "/work/guestlink", argv, environment, AT_SYMLINK_NOFOLLOW);
    T("nofollow_file", execveat, AT_FDCWD, "/work/file", argv, environment, AT_SYMLINK_NOFOLLOW);
    T("cwd_empty", execveat, AT_FDCWD, "", argv, environment, AT_EMPTY_PATH);
    int noexec = open("/noexec/true", O_RDONLY);
    T("noexec_mount", execveat, noexec, "", argv, environment, AT_EMPTY_PATH);
    int writer = open("/work/w", O_RDWR | O_CREAT, 0755);
    if (write(writer, "#!/bin/true\n", 12) != 12) return;
    T("own_writer", execveat, writer, "", argv, environment, AT_EMPTY_PATH);
    pid_t child = fork();
    if (child == 0) {
        T("by_descriptor", execveat, exe, "", argv, environment, AT_EMPTY_PATH);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    say("execveat", "by_descriptor", "%s", ended(status));
    unlink("/work/w2");
    script("/work/w2", "#!/bin/echo\n", 0755);
    int deleted = open("/work/w2", O_RDONLY);
    unlink("/work/w2");
    child = fork();
    if (child == 0) {
        T("deleted", execveat, deleted, "", argv, environment, AT_EMPTY_PATH);
        _exit(1);
    }
    waitpid(child, &status, 0);
    say("execveat", "deleted", "%s", ended(status));
}

/* A program of three instructions: writes to where its second segment is, and ends with 7. */
struct crafted {
    Elf64_Ehdr header;
    Elf64_Phdr segments[3];
    unsigned char code[24];
    char interpreter[2];
};

static void craft(const char *path, uint32_t zero_flags, uint32_t third_kind) {
    struct crafted file = {
        .header = {{0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, ET_EXEC, EM_X86_64, EV_CURRENT, 0x400000 + offsetof(struct crafted, code), sizeof(Elf64_Ehdr), 0, 0, sizeof(Elf64_Ehdr), sizeof(Elf64_Phdr), 3, 0, 0, 0},
        .segments = {
            {PT_LOAD, PF_R | PF_X, 0, 0x400000, 0x400000, sizeof file, sizeof file, 4096},
            {PT_LOAD, zero_flags, 0, 0x500000, 0x500000, 0, 4096, 4096},
            {third_kind, PF_R, offsetof(struct crafted, interpreter), 0, 0, 2, 2, 1},
        },
        /* mov %eax,0x500010; mov $60,%eax; mov $7,%edi; syscall */
        .code = {0x89, 0x04, 0x25, 0x10, 0x00, 0x50, 0x00, 0xb8, 60, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05},
    };
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    if (write(fd, &file, sizeof file) < 0) say("write", path, "%s", errname(errno));
    close(fd);
}

static void crafted_programs(void) {
    craft("/work/zero", PF_R | PF_W, PT_NULL);
    tries("zero_segment", "/work/zero", plain, environment);
    craft("/work/zero-read", PF_R, PT_NULL);
    tries("zero_segment_read_only", "/work/zero-read", plain, environment);
    craft("/work/no-name", PF_R, PT_INTERP);
    tries("interpreter_without_name", "/work/no-name", plain, environment);
}

/* The same program with one number changed, in its first segment unless `at` says otherwise. */
static void misfit(const char *tag, uint16_t type, size_t at, uint64_t value) {
    craft("/work/misfit", PF_R | PF_W, PT_NULL);
    int fd = open("/work/misfit", O_WRONLY);
    pwrite(fd, &type, sizeof type, offsetof(struct crafted, header.e_type));
    if (at) pwrite(fd, &value, sizeof value, (off_t)at);
    close(fd);
    tries(tag, "/work/misfit", plain, environment);
}

static void misfits(void) {
    size_t first = offsetof(struct crafted, segments), second = first + sizeof(Elf64_Phdr);
    misfit("fits", ET_EXEC, 0, 0);
    misfit("unaligned_offset", ET_EXEC, first + offsetof(Elf64_Phdr, p_offset), 1);
    misfit("beyond_the_end", ET_DYN, first + offsetof(Elf64_Phdr, p_vaddr), 0xfffffffffffff000UL - sizeof(struct crafted));
    misfit("beyond_user_space", ET_EXEC, second + offsetof(Elf64_Phdr, p_vaddr), 0x7ffffffff000UL);
    misfit("too_large", ET_EXEC, second + offsetof(Elf64_Phdr, p_memsz), 0x7fffffff0000UL);
    misfit("larger_in_file", ET_EXEC, first + offsetof(Elf64_Phdr, p_memsz), 1);
    misfit("nothing", ET_DYN, first + offsetof(Elf64_Phdr, p_type), PT_NOTE);
    craft("/work/empty", PF_R | PF_W, PT_NULL);
    int fd = open("/work/empty", O_WRONLY);
    pwrite(fd, &(uint32_t){PT_NOTE}, 4, (off_t)first);
    pwrite(fd, &(uint32_t){PT_NOTE}, 4, (off_t)second);
    close(fd);
    tries("no_segment", "/work/empty", plain, environment);
    misfit("first_page", ET_EXEC, second + offsetof(Elf64_Phdr, p_vaddr), 0);
    misfit("no_room", ET_DYN, second + offsetof(Elf64_Phdr, p_vaddr), 0x7f0000000000UL);
    signal(SIGSEGV, SIG_IGN);
    misfit("ignored", ET_EXEC, first + offsetof(Elf64_Phdr, p_offset), 1);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    misfit("blocked", ET_EXEC, first + offsetof(Elf64_Phdr, p_offset), 1);
}

FAMILY(image) {
    SECTION(interpreters);
    SECTION(headers);
    SECTION(busy);
    SECTION(sizes);
    SECTION(with_threads);
    SECTION(keeps);
    SECTION(shared_table);
    SECTION(at_descriptors);
    SECTION(crafted_programs);
    SECTION(misfits);
}
