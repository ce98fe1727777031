/* Extended attributes by path, by link and by descriptor. */
#include "guest.h"

#include <sys/xattr.h>

struct args { uint64_t value; uint32_t size, flags; };

static void by_path(void) {
    char buffer[256] = {0};
    put("/work/x", "x");
    symlink("x", "/work/xl");
    T("set", setxattr, "/work/x", "user.one", "value", 5, 0);
    T("create_exists", setxattr, "/work/x", "user.one", "value", 5, XATTR_CREATE);
    T("replace", setxattr, "/work/x", "user.one", "other", 5, XATTR_REPLACE);
    T("replace_none", setxattr, "/work/x", "user.two", "other", 5, XATTR_REPLACE);
    T("flags", setxattr, "/work/x", "user.one", "v", 1, 9);
    T("flags_first", setxattr, "/work/x", NULL, NULL, 0, 0xff);
    T("empty_value", setxattr, "/work/x", "user.empty", "", 0, 0);
    T("null_value", setxattr, "/work/x", "user.null", NULL, 0, 0);
    T("efault_value", setxattr, "/work/x", "user.one", BAD, 5, 0);
    T("efault_name", setxattr, "/work/x", BAD, "v", 1, 0);
    T("efault_path", setxattr, BAD, "user.one", "v", 1, 0);
    T("enoent", setxattr, "/work/none", "user.one", "v", 1, 0);
    T("too_big", setxattr, "/work/x", "user.one", buffer, 65537, 0);
    T("huge", setxattr, "/work/x", "user.one", buffer, 1UL << 40, 0);
    T("no_namespace", setxattr, "/work/x", "one", "v", 1, 0);
    T("long_name", setxattr, "/work/x", "user." LONG_NAME, "v", 1, 0);
    T("empty_name", setxattr, "/work/x", "", "v", 1, 0);
    T("trusted", setxattr, "/work/x", "trusted.one", "v", 1, 0);
    T("on_fifo", setxattr, "/work/fifo", "user.one", "v", 1, 0);
    T("rofs", setxattr, "/ro/file", "user.one", "v", 1, 0);
    T("others", setxattr, "/work/secret", "user.one", "v", 1, 0);
    T("dir", setxattr, "/work/dir", "user.one", "v", 1, 0);
    T("capability", setxattr, "/work/x", "security.capability", "garbage", 7, 0);
    T("security", setxattr, "/work/x", "security.one", "v", 1, 0);
    T("security", getxattr, "/work/x", "security.one", buffer, 10);
    T("security", removexattr, "/work/x", "security.one");
    T("get", getxattr, "/work/x", "user.one", buffer, sizeof buffer);
    say("getxattr", "value", "%s", buffer);
    T("size", getxattr, "/work/x", "user.one", NULL, 0);
    T("erange", getxattr, "/work/x", "user.one", buffer, 2);
    T("empty", getxattr, "/work/x", "user.empty", buffer, 10);
    T("enodata", getxattr, "/work/x", "user.none", buffer, 10);
    T("enoent", getxattr, "/work/none", "user.none", buffer, 10);
    T("efault", getxattr, "/work/x", "user.one", BAD, 10);
    T("huge", getxattr, "/work/x", "user.one", buffer, 1UL << 40);
    T("unsupported", getxattr, "/work/x", "nonsense.x", buffer, 10);
    T("proc", getxattr, "/proc/self/status", "user.one", buffer, 10);
    T("acl", getxattr, "/work/x", "system.posix_acl_access", buffer, 100);
    memset(buffer, 0, sizeof buffer);
    TOK("list", listxattr, "/work/x", buffer, sizeof buffer);
    say("listxattr", "has_one", "%d", memmem(buffer, sizeof buffer, "user.one", 9) != NULL);
    TOK("size", listxattr, "/work/x", NULL, 0);
    T("erange", listxattr, "/work/x", buffer, 2);
    T("none", listxattr, "/work/file", buffer, 100);
    T("enoent", listxattr, "/work/none", buffer, 100);
    T("efault", listxattr, "/work/x", BAD, 100);
    T("huge", listxattr, "/work/file", buffer, 1UL << 40);
    T("remove", removexattr, "/work/x", "user.one");
    T("again", removexattr, "/work/x", "user.one");
    T("enoent", removexattr, "/work/none", "user.one");
    T("efault", removexattr, "/work/x", BAD);
    T("rofs", removexattr, "/ro/file", "user.one");
    T("set_on_link", lsetxattr, "/work/xl", "user.l", "v", 1, 0);
    T("set_on_file", lsetxattr, "/work/x", "user.l", "v", 1, 0);
    T("get", lgetxattr, "/work/x", "user.l", buffer, 10);
    T("get_link", lgetxattr, "/work/xl", "user.l", buffer, 10);
    T("list_link", llistxattr, "/work/xl", buffer, 10);
    TOK("list", llistxattr, "/work/x", buffer, 100);
    T("remove", lremovexattr, "/work/x", "user.l");
    T("remove_link", lremovexattr, "/work/xl", "user.l");
    T("on_tmpfs", setxattr, "/tmp", "user.t", "v", 1, 0);
}

static void by_descriptor(void) {
    char buffer[256] = {0};
    put("/work/fx", "x");
    int fd = open("/work/fx", O_RDWR), path = open("/work/fx", O_PATH), reader = open("/work/fx", O_RDONLY);
    T("set", fsetxattr, fd, "user.f", "value", 5, 0);
    T("reader", fsetxattr, reader, "user.r", "value", 5, 0);
    T("path", fsetxattr, path, "user.f", "value", 5, 0);
    T("ebadf", fsetxattr, 99, "user.f", "value", 5, 0);
    T("efault", fsetxattr, fd, "user.f", BAD, 5, 0);
    T("get", fgetxattr, fd, "user.f", buffer, sizeof buffer);
    say("fgetxattr", "value", "%s", buffer);
    T("path", fgetxattr, path, "user.f", buffer, sizeof buffer);
    T("ebadf", fgetxattr, 99, "user.f", buffer, sizeof buffer);
    T("efault", fgetxattr, fd, "user.f", BAD, 10);
    TOK("list", flistxattr, fd, buffer, sizeof buffer);
    T("ebadf", flistxattr, 99, buffer, sizeof buffer);
    T("remove", fremovexattr, fd, "user.f");
    T("again", fremovexattr, fd, "user.f");
    T("ebadf", fremovexattr, 99, "user.f");
    int pipes[2];
    if (pipe(pipes) == 0) T("pipe", fsetxattr, pipes[0], "user.f", "v", 1, 0);
}

static void at_calls(void) {
    char buffer[64] = {0};
    put("/work/ax", "x");
    int dir = open("/work", O_RDONLY), fd = open("/work/ax", O_RDWR);
    struct args args = {(uint64_t)"value", 5, 0};
    T("set", setxattrat, dir, "ax", 0, "user.a", &args, sizeof args);
    T("empty_path", setxattrat, fd, "", AT_EMPTY_PATH, "user.b", &args, sizeof args);
    T("flags", setxattrat, dir, "ax", 1, "user.a", &args, sizeof args);
    T("small", setxattrat, dir, "ax", 0, "user.a", &args, 4);
    T("efault", setxattrat, dir, "ax", 0, "user.a", BAD, sizeof args);
    T("ebadf", setxattrat, 99, "ax", 0, "user.a", &args, sizeof args);
    args = (struct args){(uint64_t)buffer, sizeof buffer, 0};
    T("get", getxattrat, dir, "ax", 0, "user.a", &args, sizeof args);
    say("getxattrat", "value", "%s", buffer);
    args.flags = 1;
    T("flags_in_args", getxattrat, dir, "ax", 0, "user.a", &args, sizeof args);
    TOK("list", listxattrat, dir, "ax", 0, buffer, sizeof buffer);
    T("ebadf", listxattrat, 99, "ax", 0, buffer, sizeof buffer);
    T("remove", removexattrat, dir, "ax", 0, "user.a");
    T("again", removexattrat, dir, "ax", 0, "user.a");
    T("flags", removexattrat, dir, "ax", 1, "user.a");
    args = (struct args){(uint64_t)"value", 5, 0};
    symlink("ax", "/work/axl");
    T("link", setxattrat, dir, "axl", 0, "user.c", &args, sizeof args);
    T("link_itself", setxattrat, dir, "axl", AT_SYMLINK_NOFOLLOW, "user.c", &args, sizeof args);
    T("null_path", setxattrat, fd, NULL, AT_EMPTY_PATH, "user.d", &args, sizeof args);
    T("null_path_plain", setxattrat, fd, NULL, 0, "user.d", &args, sizeof args);
    T("empty_plain", setxattrat, fd, "", 0, "user.d", &args, sizeof args);
    T("absolute", setxattrat, 99, "/work/ax", 0, "user.e", &args, sizeof args);
    T("enoent", setxattrat, dir, "none", 0, "user.e", &args, sizeof args);
    T("notdir", setxattrat, fd, "ax", 0, "user.e", &args, sizeof args);
    T("huge_size", setxattrat, dir, "ax", 0, "user.e", &args, 5000);
    struct { struct args args; uint64_t more; } longer = {args, 0};
    T("longer", setxattrat, dir, "ax", 0, "user.f", &longer, sizeof longer);
    longer.more = 1;
    T("longer_nonzero", setxattrat, dir, "ax", 0, "user.f", &longer, sizeof longer);
    args.flags = XATTR_CREATE;
    T("create_exists", setxattrat, dir, "ax", 0, "user.c", &args, sizeof args);
    args.flags = 9;
    T("bad_flags", setxattrat, dir, "ax", 0, "user.c", &args, sizeof args);
    args = (struct args){0, 0, 0};
    T("size", getxattrat, dir, "ax", 0, "user.c", &args, sizeof args);
    T("by_descriptor", getxattrat, fd, "", AT_EMPTY_PATH, "user.d", &args, sizeof args);
    T("none", getxattrat, dir, "ax", 0, "user.none", &args, sizeof args);
    T("small", getxattrat, dir, "ax", 0, "user.c", &args, 15);
    TOK("size", listxattrat, dir, "ax", 0, NULL, 0);
    TOK("by_descriptor", listxattrat, fd, "", AT_EMPTY_PATH, buffer, sizeof buffer);
    T("flags", listxattrat, dir, "ax", 1, buffer, sizeof buffer);
    T("link_itself", listxattrat, dir, "axl", AT_SYMLINK_NOFOLLOW, buffer, sizeof buffer);
    T("by_descriptor", removexattrat, fd, "", AT_EMPTY_PATH, "user.d");
    TOK("cwd", listxattrat, AT_FDCWD, "", AT_EMPTY_PATH, buffer, sizeof buffer);
    T("cwd", setxattrat, AT_FDCWD, "", AT_EMPTY_PATH, "user.d", &args, sizeof args);
    T("cwd", getxattrat, AT_FDCWD, "", AT_EMPTY_PATH, "user.d", &args, sizeof args);
    T("cwd", removexattrat, AT_FDCWD, "", AT_EMPTY_PATH, "user.d");
}

FAMILY(xattr) {
    SECTION(by_path);
    SECTION(by_descriptor);
    SECTION(at_calls);
}
