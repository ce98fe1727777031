# gdb and strace: breakpoints, stacks, watchpoints, threads, signals, children and programs that they execute.
mkdir -p /tmp/d && cd /tmp/d
cat > a.c <<'END'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static int total;
static int factorial(int n) { return n < 2 ? 1 : n * factorial(n - 1); }
static void *count(void *argument) { total += *(int *)argument; return argument; }
static void handler(int signal) { total += signal; }
int main(int argc, char **argv) {
    int three = 3;
    pthread_t thread;
    signal(SIGUSR1, handler);
    total = factorial(5);
    pthread_create(&thread, NULL, count, &three);
    pthread_join(thread, NULL);
    raise(SIGUSR1);
    if (argc > 1 && fork() == 0) execl("/bin/echo", "echo", argv[1], NULL);
    wait(NULL);
    printf("%d\n", total);
    return total & 7;
}
END
gcc -g -O0 -pthread -o a a.c || exit 1
plain() { sed -E 's/0x[0-9a-f]+/ADDR/g; s/(LWP|process|pid|Thread) [0-9]+(\.[0-9]+)?/\1 N/g; s/si_(pid|uid)=[0-9]+/si_\1=N/g'; }
strace -o log ./a; echo "status $?"; grep -E '^(execve|rt_sigaction\(SIGUSR1|tgkill|---|exit_group|\+\+\+)' log | plain | sed -E 's/tgkill\([0-9]+, [0-9]+/tgkill(N, N/; s/sa_restorer=.*//'
rm log; strace -ff -o log ./a child 2> /dev/null; echo "status $?"
cat log.* | grep -oE '(execve\("[^"]*".* = 0|exited with [0-9]+|SIGCHLD|write\(1, .*)' | plain | sort
strace -f -c -o log ./a child > /dev/null; grep -cE ' (execve|wait4|write)$' log
strace -o log -e inject=getpid:retval=77 sh -c 'exec 2>&1; echo done'; echo "status $?"
sleep 100 & strace -o log -p $! 2> /dev/null & until grep -q TracerPid:.*[1-9] /proc/$!/status || grep -q 'TracerPid:.*[1-9]' /proc/$(pgrep -x sleep)/status; do sleep 0.1; done
kill %1; wait 2> /dev/null; grep -E '^(---|\+\+\+)' log | plain
debug() { gdb -q -nx -batch -ex 'set pagination off' -ex 'set debuginfod enabled off' -ex 'handle SIGUSR1 nostop noprint' "$@" 2>&1 | grep -vE '^(warning|Signal +Stop|SIGUSR1 +(No|Yes)|Download|Using host|\[Thread debugging|\[New Thread|\[Thread ADDR|\[Switching|$)' | plain | grep -vE '^\[(New|Thread|Switching)'; }
debug -ex 'break factorial if n == 2' -ex run -ex bt -ex 'up 2' -ex 'print n' -ex finish -ex 'delete' -ex continue ./a
debug -ex 'break main' -ex run -ex 'watch total' -ex continue -ex continue -ex 'info watchpoints' -ex delete -ex continue ./a
debug -ex 'break count' -ex run -ex 'print *(int *)argument' -ex 'set var *(int *)argument = 1000' -ex delete -ex continue ./a
debug -ex 'handle SIGUSR1 stop print' -ex run -ex 'signal 0' ./a
debug -ex 'set follow-fork-mode child' -ex 'catch exec' -ex run -ex 'info inferiors' -ex continue --args ./a child | grep -vE '^(\*|133)'
debug -ex 'break handler' -ex run -ex 'stepi 5' -ex next -ex 'call factorial(6)' -ex kill ./a
