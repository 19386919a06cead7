/* Preloaded into a process (LD_PRELOAD), counts the calls that change files below a folder, logs them, and stops the process before each of them.

   Python's audit hooks do not see what Delta, DuckDB and Arrow write; the C library's functions, which all of them call, do. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 65536
static char root[PATH_MAX];
static int stops = 0;
static volatile long count = 0;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static int log_to = -1;
static char written[MOST_FILES];
enum { READ_ONLY, FRESH, BEGUN };

void file_calls_watch(const char *folder, int stop, int log) {
    strncpy(root, folder, sizeof root - 1);
    stops = stop;
    count = 0;
    log_to = log;
}

long file_calls_count(void) { return count; }

/* What the folder `at` and the name mean together, as far as text can say. */
static void resolve(int at, const char *name, char *whole) {
    char link[64], base[PATH_MAX];
    if (name == NULL || name[0] == '/') {
        snprintf(whole, PATH_MAX, "%s", name ? name : "");
        return;
    }
    snprintf(link, sizeof link, at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
    base[length > 0 ? length : 0] = 0;
    snprintf(whole, PATH_MAX, "%.2000s/%.2000s", base, name);
}

/* Whether the file is below the folder; the log's records end with a zero byte. */
static int record(const char *call, int at, const char *name) {
    char path[PATH_MAX], line[PATH_MAX + 64];
    if (!root[0]) return 0;
    resolve(at, name, path);
    if (strncmp(path, root, strlen(root)) != 0) return 0;
    if (log_to >= 0) syscall(SYS_write, log_to, line, snprintf(line, sizeof line, "%s\t%s", call, path) + 1);
    return 1;
}

/* A stop takes effect in the calling thread before the call is made, and stops all others: what is on the disk then is what a kill leaves. */
static void note(const char *call, int at, const char *name) {
    if (!record(call, at, name)) return;
    pthread_mutex_lock(&one_at_a_time);
    count++;
    if (stops) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSTOP);
    pthread_mutex_unlock(&one_at_a_time);
}

static void note_write(int file) {
    char link[64];
    if (!root[0] || file < 0 || file >= MOST_FILES || written[file] != FRESH) return;
    written[file] = BEGUN; /* before the first byte: the file is there and empty */
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    char target[PATH_MAX];
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, target, sizeof target - 1);
    if (length <= 0) return;
    target[length] = 0;
    note("write", AT_FDCWD, target);
}

static int opened(int file, int changes) {
    if (file >= 0 && file < MOST_FILES) written[file] = changes ? FRESH : READ_ONLY;
    return file;
}

static int open_at(int at, const char *name, int flags, int mode) {
    int changes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
    if (changes) note("open", at, name);
    return opened(syscall(SYS_openat, at, name, flags, mode), changes);
}

static int mode_of(int flags, va_list more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0; }

#define OPEN(function)                                                                                                                     \
    int function(const char *name, int flags, ...) {                                                                                       \
        va_list more;                                                                                                                      \
        va_start(more, flags);                                                                                                             \
        int mode = mode_of(flags, more);                                                                                                   \
        va_end(more);                                                                                                                      \
        return open_at(AT_FDCWD, name, flags, mode);                                                                                       \
    }
#define OPENAT(function)                                                                                                                   \
    int function(int at, const char *name, int flags, ...) {                                                                               \
        va_list more;                                                                                                                      \
        va_start(more, flags);                                                                                                             \
        int mode = mode_of(flags, more);                                                                                                   \
        va_end(more);                                                                                                                      \
        return open_at(at, name, flags, mode);                                                                                             \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int creat(const char *name, mode_t mode) { return open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

static FILE *open_stream(const char *function, const char *name, const char *mode) {
    FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, function);
    if (mode[0] != 'r' || strchr(mode, '+')) note("open", AT_FDCWD, name);
    return real(name, mode);
}
FILE *fopen(const char *name, const char *mode) { return open_stream("fopen", name, mode); }
FILE *fopen64(const char *name, const char *mode) { return open_stream("fopen64", name, mode); }

ssize_t write(int file, const void *bytes, size_t size) {
    note_write(file);
    return syscall(SYS_write, file, bytes, size);
}
ssize_t writev(int file, const struct iovec *parts, int number) {
    note_write(file);
    return syscall(SYS_writev, file, parts, number);
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) {
    note_write(file);
    return syscall(SYS_pwrite64, file, bytes, size, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) { return pwrite(file, bytes, size, at); }
int ftruncate(int file, off_t size) {
    note_write(file);
    return syscall(SYS_ftruncate, file, size);
}
int ftruncate64(int file, off64_t size) { return ftruncate(file, size); }
int truncate(const char *name, off_t size) {
    note("truncate", AT_FDCWD, name);
    return syscall(SYS_truncate, name, size);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    record("rename", from, old);
    note("rename to", to, new);
    return syscall(SYS_renameat2, from, old, to, new, flags);
}
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
int unlinkat(int at, const char *name, int flags) {
    note("remove", at, name);
    return syscall(SYS_unlinkat, at, name, flags);
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
    struct stat found;
    return unlinkat(AT_FDCWD, name, lstat(name, &found) == 0 && S_ISDIR(found.st_mode) ? AT_REMOVEDIR : 0);
}
int mkdirat(int at, const char *name, mode_t mode) {
    note("mkdir", at, name);
    return syscall(SYS_mkdirat, at, name, mode);
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    note("link", to, new);
    return syscall(SYS_linkat, from, old, to, new, flags);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
int symlinkat(const char *old, int to, const char *new) {
    note("symlink", to, new);
    return syscall(SYS_symlinkat, old, to, new);
}
int symlink(const char *old, const char *new) { return symlinkat(old, AT_FDCWD, new); }
int fchmodat(int at, const char *name, mode_t mode, int flags) {
    (void)flags;
    record("chmod", at, name);
    return syscall(SYS_fchmodat, at, name, mode);
}
int chmod(const char *name, mode_t mode) { return fchmodat(AT_FDCWD, name, mode, 0); }
