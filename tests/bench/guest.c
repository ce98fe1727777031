/*
 * The micro-benchmarks, run unchanged on the host and in every sandbox: gcc -O2 -static -pthread.
 *
 * Prints one line per test: "<name> <nanoseconds per operation>", the median of BATCHES batches. A batch
 * runs for about BATCH_NS, so that slow and fast kernels take the same time. With an argument it runs only
 * the test of that name.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 7 };
static const double BATCH_NS = 15e6;
#define FILE_NAME "/etc/passwd"
#define DATA_FILE "/bin/true"

static void fail(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int data_fd;
static char buffer[4096];

static void bench_getppid(long count)
{
	while (count--)
		syscall(SYS_getppid);
}

static void bench_stat(long count)
{
	struct stat status;
	while (count--)
		if (stat(FILE_NAME, &status))
			fail("stat");
}

static void bench_open_close(long count)
{
	while (count--) {
		int fd = open(FILE_NAME, O_RDONLY);
		if (fd < 0)
			fail("open");
		close(fd);
	}
}

static void bench_pread(long count)
{
	while (count--)
		if (pread(data_fd, buffer, sizeof buffer, 0) != sizeof buffer)
			fail("pread");
}

static void bench_write_null(long count)
{
	static int null_fd;
	if (!null_fd && (null_fd = open("/dev/null", O_WRONLY)) < 0)
		fail("open /dev/null");
	while (count--)
		if (write(null_fd, buffer, 64) != 64)
			fail("write");
}

static void bench_fork_exit(long count)
{
	while (count--) {
		pid_t child = fork();
		if (child < 0)
			fail("fork");
		if (!child)
			_exit(0);
		if (waitpid(child, NULL, 0) != child)
			fail("waitpid");
	}
}

static void bench_fork_exec(long count)
{
	while (count--) {
		int status;
		pid_t child = fork();
		if (child < 0)
			fail("fork");
		if (!child) {
			char *arguments[] = { "true", NULL };
			char *environment[] = { NULL };
			execve("/bin/true", arguments, environment);
			_exit(127);
		}
		if (waitpid(child, &status, 0) != child || status)
			fail("fork+exec of /bin/true");
	}
}

/* 1 MiB of anonymous memory: map, touch every page, unmap. */
static void bench_touch_1mib(long count)
{
	while (count--) {
		char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			fail("mmap");
		for (size_t offset = 0; offset < 1 << 20; offset += 4096)
			((volatile char *)memory)[offset] = 1;
		munmap(memory, 1 << 20);
	}
}

/*
 * Both partners of a ping on one CPU: whether they share one is otherwise the scheduler's luck and changes a
 * ping by a factor of ten. A kernel that knows better may refuse. The pings come last for this reason.
 */
static void stay_on_one_cpu(void)
{
	static int done;
	cpu_set_t set;
	if (done)
		return;
	done = 1;
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof set, &set))
		return;
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
		if (CPU_ISSET(cpu, &set)) {
			CPU_ZERO(&set);
			CPU_SET(cpu, &set);
			sched_setaffinity(0, sizeof set, &set);
			return;
		}
	}
}

/* A partner process that answers every byte: one operation is there and back. */
static void answer(int in, int out)
{
	char byte;
	while (read(in, &byte, 1) == 1)
		if (write(out, &byte, 1) != 1)
			break;
	_exit(0);
}

static int pipe_out, pipe_in, socket_fd;

static void start_pipe_partner(void)
{
	int there[2], back[2];
	stay_on_one_cpu();
	if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
		fail("pipe");
	pid_t child = fork();
	if (child < 0)
		fail("fork");
	if (!child) {
		close(there[1]);
		close(back[0]);
		answer(there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	pipe_out = there[1];
	pipe_in = back[0];
}

static void bench_pipe_ping(long count)
{
	char byte = 0;
	if (!pipe_out)
		start_pipe_partner();
	while (count--)
		if (write(pipe_out, &byte, 1) != 1 || read(pipe_in, &byte, 1) != 1)
			fail("pipe ping");
}

static void bench_socket_ping(long count)
{
	char byte = 0;
	if (!socket_fd) {
		int pair[2];
		stay_on_one_cpu();
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			fail("socketpair");
		pid_t child = fork();
		if (child < 0)
			fail("fork");
		if (!child) {
			close(pair[0]);
			answer(pair[1], pair[1]);
		}
		close(pair[1]);
		socket_fd = pair[0];
	}
	while (count--)
		if (send(socket_fd, &byte, 1, 0) != 1 || recv(socket_fd, &byte, 1, 0) != 1)
			fail("socket ping");
}

static int turn;

static void hand_over(int from, int to)
{
	int seen;
	while ((seen = __atomic_load_n(&turn, __ATOMIC_SEQ_CST)) != from)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	__atomic_store_n(&turn, to, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *futex_partner(void *unused)
{
	for (;;)
		hand_over(1, 0);
	return unused;
}

static void bench_futex_ping(long count)
{
	static pthread_t partner;
	stay_on_one_cpu();
	if (!partner && pthread_create(&partner, NULL, futex_partner, NULL))
		fail("pthread_create");
	while (count--)
		hand_over(0, 1);
}

static const struct {
	const char *name;
	void (*run)(long count);
} tests[] = {
	{ "getppid", bench_getppid },       { "stat", bench_stat },
	{ "open+close", bench_open_close }, { "pread 4 KiB", bench_pread },
	{ "write 64 B to /dev/null", bench_write_null },
	{ "touch 1 MiB", bench_touch_1mib },
	{ "fork+exit", bench_fork_exit },   { "fork+exec", bench_fork_exec },
	{ "pipe ping", bench_pipe_ping },   { "socket ping", bench_socket_ping },
	{ "futex ping", bench_futex_ping },
};

static int compare(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;
	return (difference > 0) - (difference < 0);
}

static double median_ns(void (*run)(long count))
{
	double results[BATCHES];
	long count = 1;
	run(1);
	for (;;) {
		double start = now_ns();
		run(count);
		double taken = now_ns() - start;
		if (taken >= BATCH_NS / 2)
			break;
		count = taken < BATCH_NS / 20 ? count * 4 : (long)(count * BATCH_NS / taken) + 1;
	}
	for (int batch = 0; batch < BATCHES; batch++) {
		double start = now_ns();
		run(count);
		results[batch] = (now_ns() - start) / count;
	}
	qsort(results, BATCHES, sizeof results[0], compare);
	return results[BATCHES / 2];
}

int main(int argc, char **argv)
{
	if ((data_fd = open(DATA_FILE, O_RDONLY | O_CLOEXEC)) < 0)
		fail(DATA_FILE);
	for (size_t index = 0; index < sizeof tests / sizeof tests[0]; index++) {
		if (argc > 1 && strcmp(argv[1], tests[index].name))
			continue;
		printf("%s\t%.1f\n", tests[index].name, median_ns(tests[index].run));
		fflush(stdout);
	}
	return 0;
}
