/* execve(2), execveat(2) and what a new program finds. */
#include "guest.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#define GUEST "/bin/syscall-guest"
static char *const nothing[] = {NULL};

/* Runs in the new program: says what it was given. */
int exec_report(int argc, char **argv, char **envp) {
    family = "exec";
    const char *tag = argv[2];
    say("execve", tag, "argc=%d argv0=%s", argc, argv[0]);
    for (int i = 3; i < argc; i++) say("execve", tag, "argv%d=%s", i, argv[i]);
    for (int i = 0; envp[i]; i++) say("execve", tag, "env%d=%s", i, envp[i]);
    say("execve", tag, "uid=%d euid=%d gid=%d egid=%d secure=%lu auxuid=%lu,%lu", getuid(), geteuid(), getgid(), getegid(),
        getauxval(AT_SECURE), getauxval(AT_UID), getauxval(AT_EUID));
    say("execve", tag, "execfn=%s pagesz=%lu clktck=%lu entry=%d platform=%s", (char *)getauxval(AT_EXECFN), getauxval(AT_PAGESZ),
        getauxval(AT_CLKTCK), getauxval(AT_ENTRY) != 0, (char *)getauxval(AT_PLATFORM));
    char comm[17] = {0};
    prctl(PR_GET_NAME, comm);
    say("execve", tag, "comm=%s umask=%o", comm, umask(0));
    for (int fd = 0; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0) say("execve", tag, "fd%d open", fd);
    char exe[256] = {0};
    if (readlink("/proc/self/exe", exe, 255) > 0) say("execve", tag, "exe=%s", exe);
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    say("execve", tag, "usr1_default=%d", action.sa_handler == SIG_DFL);
    sigaction(SIGUSR2, NULL, &action);
    say("execve", tag, "usr2_ignored=%d", action.sa_handler == SIG_IGN);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    say("execve", tag, "hup_blocked=%d", sigismember(&mask, SIGHUP));
    void *low = sbrk(0);
    say("execve", tag, "brk=%d", low != (void *)-1 && sbrk(4096) == low);
    say("execve", tag, "cmdline=%s", get("/proc/self/cmdline"));
    return 33;
}

static void noop_handler(int signal) { (void)signal; }

static void good(void) {
    signal(SIGUSR1, noop_handler);
    signal(SIGUSR2, SIG_IGN);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    if (open("/work/file", O_RDONLY | O_CLOEXEC) < 0 || open("/work/file", O_RDONLY) < 0) say("open", "setup", "failed");
    umask(031);
    char *argv[] = {"zero", "--exec", "plain", "a", "", "c d", NULL}, *envp[] = {"A=1", "B=", NULL};
    T("plain", execve, GUEST, argv, envp);
}

static void child_exec(const char *tag, const char *path, char *const argv[], char *const envp[]) {
    pid_t child = fork();
    if (child == 0) {
        T(tag, execve, path, argv, envp);
        _exit(99);
    }
    int status;
    waitpid(child, &status, 0);
    say("execve", tag, "-> %s", ended(status));
}

static void kinds(void) {
    char *script[] = {"script", "one", "two", NULL}, *env[] = {"PATH=/bin", NULL};
    child_exec("script", "/work/script.sh", script, env);
    child_exec("script_arg", "/work/script-arg.sh", script, env);
    child_exec("script_script", "/work/script-script.sh", script, env);
    child_exec("script_none", "/work/script-none.sh", script, env);
    child_exec("script_empty", "/work/script-empty.sh", script, env);
    child_exec("no_shebang", "/work/no-shebang.sh", script, env);
    child_exec("empty_file", "/work/empty", script, env);
    child_exec("garbage_elf", "/work/garbage.elf", script, env);
    child_exec("short_elf", "/work/short.elf", script, env);
    char *viaink[] = {"link", "--exec", "via_link", NULL};
    child_exec("via_link", "/work/guestlink", viaink, env);
    char *suid[] = {"suid", "--exec", "suid", NULL};
    child_exec("suid", "/work/suid", suid, env);
    char *sgid[] = {"sgid", "--exec", "sgid", NULL};
    child_exec("sgid", "/work/sgid", sgid, env);
    char *noread[] = {"x", "--exec", "xonly", NULL};
    child_exec("execute_only", "/work/xonly", noread, env);
    char *self[] = {"self", "--exec", "self", NULL};
    child_exec("proc_self_exe", "/proc/self/exe", self, env);
    char *noargs[] = {NULL};
    child_exec("empty_argv", "/work/script.sh", noargs, env);
    child_exec("null_argv", "/work/true.sh", NULL, NULL);
    char *busy[] = {"sh", "-c", "echo exec::execve.busybox $0 $1", "zero", "one", NULL};
    child_exec("busybox", "/bin/sh", busy, env);
}

static void bad(void) {
    char *argv[] = {"x", NULL};
    T("enoent", execve, "/work/none", argv, nothing);
    T("empty", execve, "", argv, nothing);
    T("dir", execve, "/work/dir", argv, nothing);
    T("noexec", execve, "/work/file", argv, nothing);
    T("notdir", execve, "/work/file/x", argv, nothing);
    T("loop", execve, "/work/loop", argv, nothing);
    T("locked", execve, "/work/locked/inner", argv, nothing);
    T("fifo", execve, "/work/fifo", argv, nothing);
    T("noexec_mount", execve, "/noexec/true", argv, nothing);
    T("efault_path", execve, BAD, argv, nothing);
    T("efault_argv", execve, "/bin/sh", BAD, nothing);
    T("efault_envp", execve, "/bin/sh", argv, BAD);
    T("enoent_before_argv", execve, "/work/none", BAD, nothing);
    T("locked_before_argv", execve, "/work/locked/inner", BAD, BAD);
    T("noexec_after_argv", execve, "/work/file", BAD, nothing);
    T("dir_before_argv", execve, "/work/dir", BAD, nothing);
    char *badarg[] = {"x", BAD, NULL};
    T("efault_argument", execve, "/bin/sh", badarg, nothing);
    T("efault_kernel", execve, KERNEL_POINTER, argv, nothing);
    T("toolong", execve, endless_path(), argv, nothing);
    T("unterminated", execve, unterminated(), argv, nothing);
    size_t big = 200000;
    char *huge = malloc(big + 1);
    memset(huge, 'x', big);
    huge[big] = 0;
    char *e2big[] = {"x", huge, NULL};
    T("one_argument_too_big", execve, "/bin/sh", e2big, nothing);
    size_t count = 400;
    char **many = calloc(count + 1, sizeof *many);
    huge[100000] = 0;
    for (size_t i = 0; i < count; i++) many[i] = huge;
    T("all_too_big", execve, "/bin/sh", many, nothing);
    int writer = open("/work/busy", O_WRONLY | O_CREAT, 0755);
    (void)writer;
    T("text_busy_or_empty", execve, "/work/busy", argv, nothing);
}

static void big_arguments(void) {
    size_t each = 100000;
    char *text = malloc(each + 1);
    memset(text, 'y', each);
    text[each] = 0;
    char *argv[] = {"sh", "-c", "echo exec::execve.big ${#1} ${#2} $#", "sh", text, text, text, text, NULL}, *env[] = {"PATH=/bin", NULL};
    child_exec("big_arguments", "/bin/sh", argv, env);
}

static void at_fd(const char *tag, int fd, const char *path, int flags) {
    pid_t child = fork();
    char *argv[] = {"at", "--exec", (char *)tag, NULL};
    if (child == 0) {
        T(tag, execveat, fd, path, argv, nothing, flags);
        _exit(99);
    }
    int status;
    waitpid(child, &status, 0);
    say("execveat", tag, "-> %s", ended(status));
}

static void execveat_calls(void) {
    int dir = open("/bin", O_RDONLY), file = open(GUEST, O_RDONLY), path = open(GUEST, O_PATH | O_CLOEXEC), work = open("/work", O_RDONLY);
    at_fd("relative", dir, "syscall-guest", 0);
    at_fd("absolute", -1, GUEST, 0);
    at_fd("cwd", AT_FDCWD, "bin/syscall-guest", 0);
    at_fd("enoent", dir, "none", 0);
    at_fd("ebadf", 99, "none", 0);
    at_fd("notdir", file, "none", 0);
    at_fd("flags", dir, "syscall-guest", 1);
    at_fd("nofollow_link", work, "guestlink", AT_SYMLINK_NOFOLLOW);
    at_fd("efault", dir, BAD, 0);
    at_fd("script_dirfd", work, "true.sh", 0);
    for (int which = 0; which < 2; which++) {
        const char *tag = which ? "empty_opath" : "empty_path";
        pid_t child = fork();
        char *argv[] = {"at", "x", NULL};
        if (child == 0) {
            T(tag, execveat, which ? path : file, "", argv, nothing, AT_EMPTY_PATH);
            _exit(99);
        }
        int status;
        waitpid(child, &status, 0);
        say("execveat", tag, "-> %s", ended(status));
    }
}

static void *sleeper(void *argument) {
    while (argument == NULL) pause();
    return NULL;
}

static void from_threads(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, sleeper, NULL);
    millis(20);
    char *argv[] = {"threads", "--exec", "threads", NULL};
    T("threads", execve, GUEST, argv, nothing);
}

static void *executor(void *argument) {
    char *argv[] = {"other", "--exec", "other_thread", NULL};
    T("other_thread", execve, GUEST, argv, nothing);
    return argument;
}

static void from_other_thread(void) {
    pthread_t thread;
    pid_t before = getpid();
    char text[32];
    snprintf(text, sizeof text, "%d", before);
    pthread_create(&thread, NULL, executor, NULL);
    pthread_join(thread, NULL);
}

static void via_vfork(void) {
    int status;
    for (volatile int i = 0; i < 20; i++) {
        pid_t child = vfork();
        if (child == 0) {
            char *argv[] = {"sh", "-c", "exit 4", NULL};
            execve("/bin/sh", argv, nothing);
            _exit(98);
        }
        waitpid(child, &status, 0);
        if (WEXITSTATUS(status) != 4) say("execve", "vfork", "%d: %s", i, ended(status));
    }
    say("execve", "vfork", "-> %s", ended(status));
}

static void in_parallel(void) {
    int good_ones = 0;
    for (int i = 0; i < 40; i++) {
        if (fork() == 0) {
            char *argv[] = {"sh", "-c", "exit 6", NULL};
            execve("/bin/sh", argv, nothing);
            _exit(98);
        }
    }
    int status;
    while (wait(&status) > 0) good_ones += WEXITSTATUS(status) == 6;
    say("execve", "parallel", "%d", good_ones);
}

/* A program that has made processes is busy as long as it runs, and no longer. */
static void busy_until_its_end(void) {
    static char bytes[65536];
    int in = open("/bin/sh", O_RDONLY), out = open("/tmp/forker", O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t count;
    while ((count = read(in, bytes, sizeof bytes)) > 0)
        if (write(out, bytes, count) != count) return;
    close(in);
    close(out);
    int to[2], from[2];
    if (pipe(to) || pipe(from)) return;
    pid_t child = fork();
    if (child == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        char *argv[] = {"sh", "-c", "(exit 0); (exit 0); echo; read x", NULL};
        execve("/tmp/forker", argv, nothing);
        _exit(98);
    }
    if (read(from[0], bytes, 1) != 1) return;
    T("runs", open, "/tmp/forker", O_WRONLY);
    T("runs", truncate, "/tmp/forker", 1);
    if (write(to[1], "\n", 1) != 1) return;
    int status;
    waitpid(child, &status, 0);
    int file = open("/tmp/forker", O_WRONLY);
    say("open", "ended", "opened=%d", file >= 0);
    close(file);
    T("ended", truncate, "/tmp/forker", 1);
    unlink("/tmp/forker");
}

FAMILY(exec) {
    SECTION(good);
    SECTION(kinds);
    SECTION(bad);
    SECTION(big_arguments);
    SECTION(execveat_calls);
    SECTION(from_threads);
    SECTION(from_other_thread);
    SECTION(via_vfork);
    SECTION(in_parallel);
    SECTION(busy_until_its_end);
}
