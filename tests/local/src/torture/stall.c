/* Flushes wait while there is a file `stall` in the folder that the server runs in, which is its data folder: a disk
 * that hangs. Loaded before the C library, by torture alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

static void wait_for_disk(void) {
    while (access("stall", F_OK) == 0)
        usleep(20000);
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_for_disk();
    return real(file);
}

int fsync(int file) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_for_disk();
    return real(file);
}
