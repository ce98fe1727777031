/* capget(2), capset(2) and the capability part of prctl(2). */
#include "guest.h"

#include <linux/capability.h>
#include <sys/prctl.h>

static void show(const char *tag) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    long r = syscall(SYS_capget, &header, data);
    say("capget", tag, "%ld eff=%x%08x perm=%x%08x inh=%x%08x", r, data[1].effective, data[0].effective,
        data[1].permitted, data[0].permitted, data[1].inheritable, data[0].inheritable);
}

static void get_calls(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    T("self", capget, &header, data);
    header.pid = getpid();
    T("own_pid", capget, &header, data);
    header.pid = 1;
    T("init", capget, &header, data);
    header.pid = 99999;
    T("none", capget, &header, data);
    header.pid = -1;
    T("negative", capget, &header, data);
    header = (struct __user_cap_header_struct){0x12345, 0};
    T("version", capget, &header, data);
    say("capget", "version_seen", "%x", header.version);
    header = (struct __user_cap_header_struct){0, 0};
    T("probe", capget, &header, NULL);
    say("capget", "probe_seen", "%x", header.version);
    T("efault", capget, BAD, data);
    header = (struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, 0};
    T("efault_data", capget, &header, BAD);
    header = (struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_1, 0};
    T("version1", capget, &header, data);
    show("start");
    for (int cap = 0; cap <= 41; cap++) {
        char tag[32];
        snprintf(tag, sizeof tag, "bounding_%d", cap);
        T(tag, prctl, PR_CAPBSET_READ, cap, 0, 0, 0);
    }
}

static void set(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_capget, &header, data);
    T("same", capset, &header, data);
    data[0].effective |= 1u << CAP_SYS_ADMIN;
    T("more_effective", capset, &header, data);
    data[0].permitted |= 1u << CAP_SYS_ADMIN;
    T("more_permitted", capset, &header, data);
    T("efault", capset, &header, BAD);
    header.pid = 1;
    T("other", capset, &header, data);
    header.pid = 0;
    syscall(SYS_capget, &header, data);
    data[0].effective &= ~(1u << CAP_DAC_OVERRIDE);
    T("without_override", capset, &header, data);
    show("without_override");
    T("secret", openat, AT_FDCWD, "/work/mine", O_RDONLY);
    T("locked", openat, AT_FDCWD, "/work/theirs", O_RDONLY);
    memset(data, 0, sizeof data);
    T("nothing", capset, &header, data);
    show("nothing");
    T("chown", fchownat, AT_FDCWD, "/work/file", 5, 5, 0);
    T("setuid", setuid, 55);
    header.version = 1;
    T("version", capset, &header, data);
}

static void ambient(void) {
    T("is_set", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0);
    T("raise", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_capget, &header, data);
    data[0].inheritable |= data[0].permitted & (1u << CAP_CHOWN);
    T("inheritable", capset, &header, data);
    T("raise_now", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0);
    T("is_set_now", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0);
    T("clear", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    T("cleared", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0);
    T("bad", prctl, PR_CAP_AMBIENT, 99, 0, 0, 0);
    T("drop", prctl, PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0);
    T("dropped", prctl, PR_CAPBSET_READ, CAP_KILL, 0, 0, 0);
    T("drop_bad", prctl, PR_CAPBSET_DROP, 99, 0, 0, 0);
    T("read_bad", prctl, PR_CAPBSET_READ, 99, 0, 0, 0);
}

static void uid_change(void) {
    syscall(SYS_setresuid, -1, 1000, -1);
    show("euid_1000");
    syscall(SYS_setresuid, -1, 0, -1);
    show("euid_0_again");
    T("keepcaps", prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
    T("keepcaps_get", prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0);
    syscall(SYS_setresuid, 1000, 1000, 1000);
    show("kept");
    T("securebits", prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
    T("securebits_set", prctl, PR_SET_SECUREBITS, 1, 0, 0, 0);
}

FAMILY(capability) {
    SECTION(get_calls);
    SECTION(set);
    SECTION(ambient);
    SECTION(uid_change);
}
