/* Loaded before the C library: the time of day is off by OVOMESH_CLOCK_OFF_S seconds. All other clocks are right. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t off;

__attribute__((constructor)) static void read_off(void) {
    const char *text = getenv("OVOMESH_CLOCK_OFF_S");
    off = text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (!failed && clock == CLOCK_REALTIME)
        at->tv_sec += off;
    return failed;
}
