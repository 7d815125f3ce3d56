/* Moves the wall clock of the process it is loaded into (LD_PRELOAD) by the seconds that CLOCK_OFFSET_FILE holds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
	const char *path = getenv("CLOCK_OFFSET_FILE");
	char text[32];
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (file < 0) return 0;
	ssize_t length = read(file, text, sizeof text - 1);
	close(file);
	if (length <= 0) return 0;
	text[length] = 0;
	return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
	static int (*real)(clockid_t, struct timespec *);
	if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(clock, now);
	if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += offset();
	return result;
}
