/* What Linux promises of files, tried in the directory that is the first argument. Prints what is not so, and "done". */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int failures;

#define TRUE(what)                                                                      \
	do {                                                                            \
		errno = 0;                                                              \
		if (!(what)) {                                                          \
			printf("line %d: %s (errno %d)\n", __LINE__, #what, errno);     \
			failures++;                                                     \
		}                                                                       \
	} while (0)
#define FAILS(what, error) TRUE((what) < 0 && errno == (error))

static int create(const char *name)
{
	return open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

/* The status of a child that does this; -1 if a signal ended it. */
#define CHILD(...)                                                                      \
	({                                                                              \
		int status = -1;                                                        \
		pid_t pid = fork();                                                     \
		if (pid == 0) {                                                         \
			__VA_ARGS__;                                                           \
			_exit(0);                                                       \
		}                                                                       \
		waitpid(pid, &status, 0);                                               \
		WIFEXITED(status) ? WEXITSTATUS(status) : -1;                           \
	})

static void maps(void)
{
	char text[5] = "";
	struct stat before, after;
	int fd = create("map");
	TRUE(ftruncate(fd, 8192) == 0 && fstat(fd, &before) == 0);
	char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	TRUE(shared != MAP_FAILED && private != MAP_FAILED);
	memcpy(shared + 4094, "maps", 4);
	TRUE(pread(fd, text, 4, 4094) == 4 && memcmp(text, "maps", 4) == 0);
	TRUE(pwrite(fd, "page", 4, 100) == 4 && memcmp(shared + 100, "page", 4) == 0);
	private[0] = 'p';
	TRUE(shared[0] == 0);
	TRUE(CHILD(shared[1] = 'c') == 0 && shared[1] == 'c');
	TRUE(msync(shared, 8192, MS_SYNC) == 0);
	/* Beyond the end there is nothing, whoever has made it shorter. */
	TRUE(ftruncate(fd, 0) == 0);
	TRUE(CHILD(signal(SIGBUS, SIG_DFL); *(volatile char *)shared = 1) == -1);
	TRUE(fstat(fd, &after) == 0 && after.st_size == 0 && after.st_ino == before.st_ino);
	munmap(shared, 8192);
	munmap(private, 8192);
	/* A mapping keeps what has no name any more. */
	TRUE(pwrite(fd, "kept", 4, 0) == 4 && unlink("map") == 0);
	char *kept = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	TRUE(kept != MAP_FAILED && memcmp(kept, "kept", 4) == 0);
	munmap(kept, 4096);
}

static struct flock range(short type, off_t start, off_t length)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static void locks(void)
{
	int fd = create("lock"), other = open("lock", O_RDWR | O_CLOEXEC);
	struct flock held = range(F_WRLCK, 0, 10);
	TRUE(flock(fd, LOCK_EX) == 0);
	FAILS(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	TRUE(flock(fd, LOCK_SH) == 0 && flock(other, LOCK_SH | LOCK_NB) == 0);
	TRUE(fcntl(fd, F_SETLK, &held) == 0);
	int status = CHILD({
		struct flock wanted = range(F_WRLCK, 5, 10), asked = range(F_RDLCK, 0, 0);
		FAILS(fcntl(other, F_SETLK, &wanted), EAGAIN);
		TRUE(fcntl(other, F_GETLK, &asked) == 0 && asked.l_pid == getppid());
		wanted = range(F_WRLCK, 10, 10);
		TRUE(fcntl(other, F_SETLK, &wanted) == 0);
		fflush(stdout);
		_exit(failures);
	});
	TRUE(status == 0);
	struct flock own = range(F_WRLCK, 20, 1);
	TRUE(fcntl(fd, F_OFD_SETLK, &own) == 0);
	FAILS(fcntl(other, F_OFD_SETLK, &own), EAGAIN);
	close(fd);
	TRUE(fcntl(other, F_OFD_SETLK, &own) == 0);
	close(other);
	TRUE(unlink("lock") == 0);
}

static void unnamed(void)
{
	char text[8], path[64];
	struct stat stat_of;
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	TRUE(fd >= 0 && write(fd, "unnamed", 7) == 7);
	TRUE(fstat(fd, &stat_of) == 0 && stat_of.st_nlink == 0 && (stat_of.st_mode & 0777) == 0600);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	TRUE(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
	TRUE(fstat(fd, &stat_of) == 0 && stat_of.st_nlink == 1);
	/* Open, and removed. */
	TRUE(unlink("named") == 0 && fstat(fd, &stat_of) == 0 && stat_of.st_nlink == 0);
	TRUE(pread(fd, text, 7, 0) == 7 && memcmp(text, "unnamed", 7) == 0);
	TRUE(ftruncate(fd, 3) == 0 && fchmod(fd, 0640) == 0 && fsync(fd) == 0);
	TRUE(fstat(fd, &stat_of) == 0 && stat_of.st_size == 3 && (stat_of.st_mode & 0777) == 0640);
	int again = open(path, O_RDONLY);
	TRUE(again >= 0 && pread(again, text, 8, 0) == 3);
	close(again);
	close(fd);
	/* A directory that goes while somebody is in it. */
	TRUE(mkdir("gone", 0755) == 0);
	int folder = open("gone", O_RDONLY | O_DIRECTORY);
	TRUE(rmdir("gone") == 0);
	FAILS(openat(folder, "file", O_CREAT | O_RDWR, 0644), ENOENT);
	TRUE(fstat(folder, &stat_of) == 0 && stat_of.st_nlink == 0);
	close(folder);
}

static void attributes(void)
{
	char value[64], names[256];
	int fd = create("attributes");
	/* Not every host's file system has them: a name is all that is asked first. */
	if (setxattr("attributes", "user.one", "1", 1, XATTR_CREATE) < 0 && errno == EOPNOTSUPP) {
		close(fd);
		unlink("attributes");
		return;
	}
	FAILS(setxattr("attributes", "user.one", "1", 1, XATTR_CREATE), EEXIST);
	FAILS(setxattr("attributes", "user.two", "2", 1, XATTR_REPLACE), ENODATA);
	TRUE(fsetxattr(fd, "user.empty", "", 0, 0) == 0);
	TRUE(fgetxattr(fd, "user.one", NULL, 0) == 1 && fgetxattr(fd, "user.one", value, 64) == 1);
	TRUE(setxattr("attributes", "user.one", "longer", 6, XATTR_REPLACE) == 0);
	FAILS(getxattr("attributes", "user.one", value, 2), ERANGE);
	ssize_t length = listxattr("attributes", names, sizeof names);
	TRUE(length == 20 && memmem(names, length, "user.one", 9) && memmem(names, length, "user.empty", 11));
	TRUE(removexattr("attributes", "user.one") == 0);
	FAILS(getxattr("attributes", "user.one", value, 64), ENODATA);
	FAILS(removexattr("attributes", "user.one"), ENODATA);
	TRUE(symlink("attributes", "link") == 0);
	FAILS(lgetxattr("link", "user.empty", value, 64), ENODATA);
	TRUE(getxattr("link", "user.empty", value, 64) == 0);
	close(fd);
	TRUE(unlink("attributes") == 0 && unlink("link") == 0);
}

static void names(void)
{
	char text[8] = "";
	struct stat one, two;
	int old = create("old"), new = create("new");
	TRUE(write(old, "old", 3) == 3 && write(new, "newer", 5) == 5);
	/* Over one that is open. */
	TRUE(rename("new", "old") == 0 && fstat(old, &one) == 0 && one.st_nlink == 0);
	TRUE(pread(old, text, 8, 0) == 3 && stat("old", &two) == 0 && two.st_size == 5);
	FAILS(access("new", F_OK), ENOENT);
	close(old);
	close(new);
	close(create("other"));
	FAILS(renameat2(AT_FDCWD, "old", AT_FDCWD, "other", RENAME_NOREPLACE), EEXIST);
	TRUE(renameat2(AT_FDCWD, "old", AT_FDCWD, "other", RENAME_EXCHANGE) == 0);
	TRUE(stat("other", &one) == 0 && one.st_size == 5 && stat("old", &two) == 0 && two.st_size == 0);
	/* Several names of one file. */
	TRUE(link("other", "second") == 0 && stat("second", &one) == 0 && stat("other", &two) == 0);
	TRUE(one.st_nlink == 2 && two.st_nlink == 2 && one.st_ino == two.st_ino && one.st_dev == two.st_dev);
	TRUE(chmod("second", 0600) == 0 && stat("other", &two) == 0 && (two.st_mode & 0777) == 0600);
	TRUE(unlink("other") == 0 && stat("second", &one) == 0 && one.st_nlink == 1);
	/* Directories: moved with what is in them, and not into themselves. */
	TRUE(mkdir("a", 0755) == 0 && mkdir("a/b", 0755) == 0 && rename("old", "a/b/file") == 0);
	FAILS(rename("a", "a/b/c"), EINVAL);
	FAILS(rmdir("a"), ENOTEMPTY);
	TRUE(rename("a", "z") == 0 && access("z/b/file", F_OK) == 0);
	int folder = open("z/b", O_RDONLY | O_DIRECTORY);
	TRUE(rename("z/b", "moved") == 0 && faccessat(folder, "file", F_OK, 0) == 0);
	close(folder);
	TRUE(unlink("moved/file") == 0 && rmdir("moved") == 0 && rmdir("z") == 0 && unlink("second") == 0);
	FAILS(open("x", O_CREAT | O_EXCL | O_DIRECTORY, 0644), EINVAL);
	char longest[300];
	memset(longest, 'n', sizeof longest);
	longest[255] = 0;
	TRUE(close(create(longest)) == 0 && unlink(longest) == 0);
	longest[255] = 'n', longest[256] = 0;
	FAILS(open(longest, O_CREAT, 0644), ENAMETOOLONG);
}

static void listings(void)
{
	char name[32];
	int seen = 0;
	struct dirent *entry;
	TRUE(mkdir("many", 0755) == 0 && chdir("many") == 0);
	for (int number = 0; number < 500; number++) {
		snprintf(name, sizeof name, "file-%d", number);
		close(create(name));
	}
	DIR *folder = opendir(".");
	while ((entry = readdir(folder)))
		if (entry->d_name[0] == 'f') {
			TRUE(unlink(entry->d_name) == 0);
			seen++;
		}
	TRUE(seen == 500);
	close(create("late"));
	rewinddir(folder);
	for (seen = 0; (entry = readdir(folder)); seen++)
		;
	TRUE(seen == 3);
	closedir(folder);
	TRUE(unlink("late") == 0 && chdir("..") == 0 && rmdir("many") == 0);
}

static void content(void)
{
	char text[16] = "";
	struct stat stat_of;
	int fd = create("sparse"), copy = create("copy");
	TRUE(pwrite(fd, "end", 3, 1 << 20) == 3 && fstat(fd, &stat_of) == 0);
	TRUE(stat_of.st_size == (1 << 20) + 3 && stat_of.st_blocks * 512 < 1 << 20);
	TRUE(lseek(fd, 0, SEEK_DATA) == 1 << 20 && lseek(fd, 0, SEEK_HOLE) == 0);
	FAILS(lseek(fd, 2 << 20, SEEK_DATA), ENXIO);
	TRUE(fallocate(fd, 0, 0, 8192) == 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 << 20, 4096) == 0);
	TRUE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096) == 0);
	TRUE(pread(fd, text, 3, 1 << 20) == 3 && text[0] == 0);
	TRUE(pwrite(fd, "0123456789", 10, 0) == 10);
	off_t from = 2, to = 0;
	TRUE(copy_file_range(fd, &from, copy, &to, 5, 0) == 5 && pread(copy, text, 16, 0) == 5);
	TRUE(memcmp(text, "23456", 5) == 0);
	close(fd);
	/* Two who append at once lose nothing. */
	int status = CHILD({
		int mine = open("copy", O_WRONLY | O_APPEND);
		for (int count = 0; count < 200; count++)
			if (write(mine, "x", 1) != 1)
				_exit(1);
	});
	int mine = open("copy", O_WRONLY | O_APPEND);
	for (int count = 0; count < 200; count++)
		TRUE(write(mine, "y", 1) == 1);
	TRUE(status == 0 && fstat(copy, &stat_of) == 0 && stat_of.st_size == 405);
	TRUE(pwrite(mine, "z", 1, 0) == 1 && fstat(copy, &stat_of) == 0 && stat_of.st_size == 406);
	close(mine);
	TRUE(fdatasync(copy) == 0 && sync_file_range(copy, 0, 0, SYNC_FILE_RANGE_WRITE) == 0);
	int folder = open(".", O_RDONLY | O_DIRECTORY);
	TRUE(fsync(folder) == 0 && syncfs(folder) == 0);
	close(folder);
	close(copy);
	TRUE(unlink("sparse") == 0 && unlink("copy") == 0);
}

static void times(void)
{
	struct stat one, two;
	struct timespec set[2] = {{1000000000, 123456789}, {-5, 1}};
	int fd = create("times");
	TRUE(futimens(fd, set) == 0 && fstat(fd, &one) == 0);
	TRUE(one.st_atim.tv_sec == 1000000000 && one.st_atim.tv_nsec == 123456789);
	TRUE(one.st_mtim.tv_sec == -5 && one.st_mtim.tv_nsec == 1);
	struct timespec some[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
	TRUE(utimensat(AT_FDCWD, "times", some, 0) == 0 && stat("times", &two) == 0);
	TRUE(two.st_atim.tv_nsec == 123456789 && two.st_mtim.tv_sec > 1000000000);
	TRUE(symlink("times", "link") == 0 && utimensat(AT_FDCWD, "link", set, AT_SYMLINK_NOFOLLOW) == 0);
	TRUE(lstat("link", &one) == 0 && one.st_mtim.tv_sec == -5);
	TRUE(stat("link", &one) == 0 && one.st_mtim.tv_sec == two.st_mtim.tv_sec);
	/* Writing and renaming show in them. */
	TRUE(futimens(fd, set) == 0 && write(fd, "x", 1) == 1 && fstat(fd, &one) == 0);
	TRUE(one.st_mtim.tv_sec > 1000000000);
	close(fd);
	TRUE(unlink("times") == 0 && unlink("link") == 0);
	struct statvfs space;
	TRUE(statvfs(".", &space) == 0 && space.f_blocks > 0 && space.f_bsize > 0 && space.f_namemax == 255);
	TRUE(space.f_bavail <= space.f_bfree && space.f_bfree <= space.f_blocks);
}

int main(int count, char **arguments)
{
	if (count != 2 || chdir(arguments[1]) < 0) {
		perror("chdir");
		return 2;
	}
	umask(022);
	maps();
	locks();
	unnamed();
	attributes();
	names();
	listings();
	content();
	times();
	puts(failures ? "failed" : "done");
	return failures != 0;
}
