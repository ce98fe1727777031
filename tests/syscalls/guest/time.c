/* Clocks, timers and sleeping. */
#include "guest.h"

#include <sys/time.h>
#include <sys/times.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>

static void clocks(void) {
    struct timespec now;
    for (int clock = 0; clock < 12; clock++) {
        char tag[16];
        snprintf(tag, sizeof tag, "c%d", clock);
        T(tag, clock_gettime, clock, &now);
        T(tag, clock_getres, clock, &now);
    }
    T("efault", clock_gettime, 0, BAD);
    struct timeval tv;
    T("now", gettimeofday, &tv, NULL);
    T("efault", gettimeofday, BAD, NULL);
    TOK("now", time, NULL);
    struct tms used;
    TOK("used", times, &used);
    struct timespec little = {0, 1000000}, bad = {0, 2000000000};
    T("little", nanosleep, &little, NULL);
    T("bad", nanosleep, &bad, NULL);
    T("efault", nanosleep, BAD, NULL);
    T("little", clock_nanosleep, CLOCK_MONOTONIC, 0, &little, NULL);
    T("bad_clock", clock_nanosleep, 99, 0, &little, NULL);
    struct timex adjust = {0};
    TOK("read", adjtimex, &adjust);
    TOK("read", clock_adjtime, CLOCK_REALTIME, &adjust);
    adjust.modes = ADJ_FREQUENCY;
    T("write", adjtimex, &adjust);
    T("write", clock_adjtime, CLOCK_REALTIME, &adjust);
    adjust.modes = 0x8000;
    T("read_and_write", adjtimex, &adjust);
    adjust.modes = ADJ_OFFSET_SS_READ;
    TOK("old_style", adjtimex, &adjust);
    T("efault", adjtimex, BAD);
    adjust.modes = 0;
    T("monotonic", clock_adjtime, CLOCK_MONOTONIC, &adjust);
    T("none", clock_adjtime, 99, &adjust);
    struct timespec one = {1, 0};
    T("realtime", clock_settime, CLOCK_REALTIME, &one);
    T("realtime", settimeofday, &tv, NULL);
}

static volatile int alarms;
static void count(int signal) { (void)signal; alarms++; }

static void timers(void) {
    signal(SIGALRM, count);
    struct itimerval value = {{0, 0}, {0, 10000}};
    T("real", setitimer, ITIMER_REAL, &value, NULL);
    pause();
    say("setitimer", "fired", "%d", alarms);
    T("real", getitimer, ITIMER_REAL, &value);
    T("bad", setitimer, 9, &value, NULL);
    T("efault", setitimer, ITIMER_REAL, BAD, NULL);
    T("set", alarm, 100);
    T("replace", alarm, 0);
    int id;
    T("monotonic", timer_create, CLOCK_MONOTONIC, NULL, &id);
    struct itimerspec when = {{0, 0}, {0, 10000000}};
    T("once", timer_settime, id, 0, &when, NULL);
    pause();
    say("timer_settime", "fired", "%d", alarms);
    T("get", timer_gettime, id, &when);
    T("overrun", timer_getoverrun, id);
    T("delete", timer_delete, id);
    T("again", timer_delete, id);
    T("bad", timer_create, 99, NULL, &id);
    int fd = (int)T("monotonic", timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC);
    when = (struct itimerspec){{0, 0}, {0, 5000000}};
    T("once", timerfd_settime, fd, 0, &when, NULL);
    uint64_t expirations = 0;
    T("timerfd", read, fd, &expirations, 8);
    say("timerfd_settime", "expired", "%lu", expirations);
    T("get", timerfd_gettime, fd, &when);
    T("bad", timerfd_create, 99, 0);
}

FAMILY(time) {
    SECTION(clocks);
    SECTION(timers);
}
