/*
 * PID 1 of the guests of these tests: serves a shell on vsock port 1. The first line of a connection is a
 * command, whose standard streams are the connection. Also the programs that busybox has not:
 *   /init connect PORT   copy standard input to the host's port, and what comes back to standard output
 *   /init mark NUMBER    write NUMBER to the monitor's port: 0 shuts down
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMAND_PORT 1
#define MONITOR_PORT 0xca5

static void fail(const char *what)
{
	printf("init: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	reboot(RB_AUTOBOOT);
	exit(1);
}

static int mark(int number)
{
	unsigned char byte = number;
	int ports = open("/dev/port", O_WRONLY);

	return ports < 0 || pwrite(ports, &byte, 1, MONITOR_PORT) != 1;
}

/* Nanoseconds, for scripts: busybox's date has seconds only. */
static int now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return printf("%lld\n", time.tv_sec * 1000000000LL + time.tv_nsec) < 0;
}

static int copy(int from, int to)
{
	char buffer[65536];
	ssize_t count;

	while ((count = read(from, buffer, sizeof buffer)) > 0)
		for (ssize_t done = 0; done < count;) {
			ssize_t written = write(to, buffer + done, count - done);
			if (written < 0)
				return 1;
			done += written;
		}
	return count < 0;
}

static int connect_host(unsigned port)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
	int stream = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (stream < 0 || connect(stream, (struct sockaddr *)&address, sizeof address) != 0) {
		perror("connect");
		return 1;
	}
	if (copy(0, stream) != 0 || shutdown(stream, SHUT_WR) != 0)
		return 1;
	return copy(stream, 1);
}

static void serve(int stream)
{
	char line[4096];
	size_t length = 0;

	while (length < sizeof line - 1 && read(stream, line + length, 1) == 1 && line[length] != '\n')
		length++;
	line[length] = 0;
	for (int fd = 0; fd < 3; fd++)
		dup2(stream, fd);
	close(stream);
	execl("/bin/busybox", "sh", "-c", line, NULL);
	exit(127);
}

/* For kernels that have not everything built in. */
static void load_modules(void)
{
	char name[256], path[300];
	FILE *order = fopen("/modules/order", "r");

	while (order && fscanf(order, "%255s", name) == 1) {
		snprintf(path, sizeof path, "/modules/%s.ko", name);
		int module = open(path, O_RDONLY | O_CLOEXEC);
		if (syscall(SYS_finit_module, module, "", 0) != 0 && errno != EEXIST)
			fail(path);
		close(module);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = COMMAND_PORT };

	if (argc == 3 && strcmp(argv[1], "connect") == 0)
		return connect_host(strtoul(argv[2], NULL, 10));
	if (argc == 3 && strcmp(argv[1], "mark") == 0)
		return mark(atoi(argv[2]));
	if (argc == 2 && strcmp(argv[1], "now") == 0)
		return now();
	/* The port is a device. */
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mark(1);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	setenv("PATH", "/bin:/sbin", 1);
	if (fork() == 0) {
		execl("/bin/busybox", "busybox", "--install", "-s", "/bin", NULL);
		exit(127);
	}
	int status;
	if (wait(&status) < 0 || status != 0)
		fail("busybox --install");
	load_modules();
	signal(SIGCHLD, SIG_IGN);
	int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0)
		fail("vsock");
	printf("init: ready\n");
	fflush(stdout);
	mark(2);
	if (access("/bench", R_OK) == 0 && fork() == 0) {
		signal(SIGCHLD, SIG_DFL);
		execl("/bin/busybox", "sh", "/bench", NULL);
		exit(127);
	}
	for (;;) {
		int stream = accept(listener, NULL, NULL);
		if (stream < 0)
			fail("accept");
		if (fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			serve(stream);
		}
		close(stream);
	}
}
