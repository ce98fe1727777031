/* What the system says of itself, and privileged switches of the whole system. */
#include "guest.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/quota.h>
#include <sched.h>
#include <time.h>

static void names(void) {
    struct utsname name;
    T("get", uname, &name);
    say("uname", "get", "sysname=%s node=%s machine=%s domain=%s", name.sysname, name.nodename, name.machine, name.domainname);
    T("efault", uname, BAD);
    T("set", sethostname, "changed", 7);
    T("negative", sethostname, "x", -1);
    T("long", sethostname, LONG_NAME, 65);
    T("efault", sethostname, BAD, 4);
    T("set", setdomainname, "changed", 7);
    uname(&name);
    say("uname", "after", "node=%s", name.nodename);
}

static void information(void) {
    struct sysinfo info;
    T("get", sysinfo, &info);
    say("sysinfo", "sane", "mem=%d unit=%u procs=%d", info.totalram > 0, info.mem_unit, info.procs > 0);
    T("efault", sysinfo, BAD);
    double shown = atof(get("/proc/loadavg"));
    sysinfo(&info);
    double told = (double)info.loads[0] / (1 << SI_LOAD_SHIFT);
    say("sysinfo", "loads", "%d", told - shown < 0.5 && shown - told < 0.5);
    unsigned cpu, node;
    T("get", getcpu, &cpu, &node, NULL);
    T("efault", getcpu, BAD, NULL, NULL);
    char buffer[32];
    T("bytes", getrandom, buffer, 32, 0);
    T("flags", getrandom, buffer, 32, 99);
    T("efault", getrandom, BAD, 32, 0);
    T("all", sync);
    char type[64] = {0};
    TOK("count", sysfs, 3, 0, 0);
    long index = TOK("index", sysfs, 1, "proc", 0);
    T("name", sysfs, 2, index, type);
    say("sysfs", "name", "%s", type);
    T("unknown", sysfs, 1, "none such", 0);
    T("efault", sysfs, 1, BAD, 0);
    T("beyond", sysfs, 2, 100000, type);
    T("efault_name", sysfs, 2, 0, BAD);
    T("option", sysfs, 4, 0, 0);
    T("read", syslog, 3, buffer, 32);
    T("size", syslog, 10, NULL, 0);
    T("clear", syslog, 5, NULL, 0);
}

static void switches(void) {
    T("cad_off", reboot, 0xfee1dead, 672274793, 0, NULL);
    T("magic", reboot, 1, 2, 3, NULL);
    T("restart", reboot, 0xfee1dead, 672274793, 0x1234, NULL);
    T("on", acct, "/work/file");
    T("off", acct, NULL);
    T("get", quotactl, QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL);
    T("calls", vhangup);
    T("ports", ioperm, 0x80, 1, 1);
    T("level", iopl, 3);
    T("level0", iopl, 0);
    T("load", init_module, BAD, 10, "");
    T("load", finit_module, 0, "", 0);
    T("unload", delete_module, "none", 0);
    T("load", kexec_load, 0, 0, NULL, 0);
    struct timespec now = {1, 0};
    T("realtime", clock_settime, CLOCK_REALTIME, &now);
    T("tod", settimeofday, &now, NULL);
    T("efault", settimeofday, BAD, NULL);
    T("efault_zone", settimeofday, NULL, BAD);
    T("efault", clock_settime, CLOCK_REALTIME, BAD);
    struct timeval wrong = {100, -1}, large = {100, 1000001};
    T("negative", settimeofday, &wrong, NULL);
    T("large", settimeofday, &large, NULL);
    struct timespec nanos = {100, 1000000000}, before = {-1, 0};
    T("nanos", clock_settime, CLOCK_REALTIME, &nanos);
    T("before", clock_settime, CLOCK_REALTIME, &before);
    T("monotonic", clock_settime, CLOCK_MONOTONIC, &now);
    T("none", clock_settime, 99, &now);
    T("process_time", clock_settime, CLOCK_PROCESS_CPUTIME_ID, &now);
}

FAMILY(system) {
    SECTION(names);
    SECTION(information);
    SECTION(switches);
}
