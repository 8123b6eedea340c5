/*
 * A PKCS#11 module that stands in front of another one and adds what a software token
 * lacks: a retry counter for each PIN that survives the process, as real tokens have.
 *
 *   - 10 user and 15 SO tries per token serial, kept in <state>/<serial>.tries.
 *   - A try is spent, and the spending is on disk, BEFORE the target sees the PIN. Whoever
 *     kills the process in between has lost the try, not won a free guess.
 *   - With no tries left the answer is CKR_PIN_LOCKED, for the right PIN too, and the target
 *     is not asked.
 *   - CKR_OK refills the counter, CKR_PIN_INCORRECT keeps the try spent, any other answer
 *     means that no PIN was compared and gives the try back.
 *   - One process at a time (flock), because the target is not safe for several.
 *   - Tests can arm faults in <state>/faults; see pass_fault_point().
 *
 * It is configured by a file beside it (token.so reads token.conf), not by the environment,
 * so that any program that can load a module by its path sees the same token.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

enum who { USER = 0, SO = 1 };

struct tries {
    int left[2];
};

static const struct tries FULL = {{10, 15}};

/* One guarded call: the lock it holds, the token it is about, the tries as they were. */
struct turn {
    int lock;
    bool counted; /* false for a token that is not initialised: it has no PIN to guess */
    char serial[17];
    struct tries tries;
};

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static CK_FUNCTION_LIST *target; /* the module behind */
static CK_FUNCTION_LIST ours;    /* its functions, with ours where PINs are concerned */
static char target_path[PATH_MAX], state_path[PATH_MAX], softhsm2_conf[PATH_MAX];

static void complain(const char *what, const char *which)
{
    fprintf(stderr, "retry_module: %s: %s\n", what, which);
}

/* ---- the counter file ---------------------------------------------------------------- */

static bool state_file(char out[PATH_MAX], const char *name, const char *suffix)
{
    int length = snprintf(out, PATH_MAX, "%s/%s%s", state_path, name, suffix);
    return length > 0 && length < PATH_MAX;
}

static int format_tries(char out[32], const struct tries *tries)
{
    return snprintf(out, 32, "user %02d so %02d\n", tries->left[USER], tries->left[SO]);
}

/* No file means that nothing was ever tried. A file that is not exactly what we write is an
 * error: a damaged counter must not turn into a full one. */
static bool read_tries(const char *serial, struct tries *tries)
{
    char path[PATH_MAX], text[32] = "", again[32];
    if (!state_file(path, serial, ".tries"))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *tries = FULL;
        return errno == ENOENT;
    }
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length > 0 && sscanf(text, "user %2d so %2d", &tries->left[USER], &tries->left[SO]) == 2) {
        format_tries(again, tries);
        if (strcmp(text, again) == 0 && tries->left[USER] >= 0 && tries->left[SO] >= 0 &&
            tries->left[USER] <= FULL.left[USER] && tries->left[SO] <= FULL.left[SO])
            return true;
    }
    complain("damaged counter file", path);
    return false;
}

/* Write beside, sync, rename, sync the directory: whenever we die, the file holds the old
 * tries or the new ones, and once this has returned it holds the new ones. */
static bool write_tries(const char *serial, const struct tries *tries)
{
    char path[PATH_MAX], fresh[PATH_MAX], text[32];
    if (!state_file(path, serial, ".tries") || !state_file(fresh, serial, ".tries.new"))
        return false;
    int length = format_tries(text, tries);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, text, (size_t)length) == length && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    good = good && rename(fresh, path) == 0;
    int directory = good ? open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    good = directory >= 0 && fsync(directory) == 0;
    if (directory >= 0)
        close(directory);
    if (!good)
        complain("cannot write counter file", path);
    return good;
}

/* ---- a turn: lock, spend, call, settle ------------------------------------------------ */

/* The serial as a file name: without the padding, and without anything but letters and digits. */
static void name_of_token(char out[17], const CK_TOKEN_INFO *info)
{
    size_t length = sizeof info->serialNumber;
    while (length > 0 && (info->serialNumber[length - 1] == ' ' || !info->serialNumber[length - 1]))
        length--;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = info->serialNumber[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        out[i] = plain ? (char)c : '_';
    }
    out[length] = '\0';
}

/* The target rewrites a token's file by truncating it, and a process that reads it at that
 * moment finds no token. So everything that touches that file takes its turn: PINs, token info
 * and initialising. One lock for the store, opened anew each time, so that it also keeps apart
 * the threads of one process. Closing it is unlocking; a killed process unlocks by itself. */
static int lock_store(void)
{
    char path[PATH_MAX];
    int lock = state_file(path, "lock", "") ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    int locked = lock < 0 ? -1 : 0;
    if (lock >= 0)
        do
            locked = flock(lock, LOCK_EX);
        while (locked != 0 && errno == EINTR);
    if (locked != 0) {
        complain("cannot lock", state_path);
        if (lock >= 0)
            close(lock);
        return -1;
    }
    return lock;
}

static void end_turn(struct turn *turn)
{
    close(turn->lock);
}

static CK_RV begin_turn(struct turn *turn, CK_SLOT_ID slot)
{
    CK_TOKEN_INFO info;
    turn->lock = lock_store();
    if (turn->lock < 0)
        return CKR_DEVICE_ERROR;
    turn->tries = FULL;
    CK_RV rv = target->C_GetTokenInfo(slot, &info);
    if (rv == CKR_OK) {
        name_of_token(turn->serial, &info);
        turn->counted = info.flags & CKF_TOKEN_INITIALIZED;
        if (turn->counted && !read_tries(turn->serial, &turn->tries))
            rv = CKR_DEVICE_ERROR;
    }
    if (rv != CKR_OK)
        end_turn(turn);
    return rv;
}

static CK_RV begin_session_turn(struct turn *turn, CK_SESSION_HANDLE session, CK_STATE *state)
{
    CK_SESSION_INFO info;
    CK_RV rv = target->C_GetSessionInfo(session, &info);
    if (rv != CKR_OK)
        return rv;
    *state = info.state;
    return begin_turn(turn, info.slotID);
}

/* Takes one try and makes that durable. Not CKR_OK: the target must not be called. */
static CK_RV spend(const struct turn *turn, enum who who)
{
    struct tries fewer = turn->tries;
    if (!turn->counted)
        return CKR_OK;
    if (fewer.left[who] == 0)
        return CKR_PIN_LOCKED;
    fewer.left[who]--;
    return write_tries(turn->serial, &fewer) ? CKR_OK : CKR_DEVICE_ERROR;
}

/* Books the target's answer to a guess. A counter that cannot be written stays spent, which
 * is the safe side, and the answer stays the target's: the call did what it did. */
static void settle(const struct turn *turn, enum who who, CK_RV rv)
{
    struct tries after = turn->tries;
    if (!turn->counted || rv == CKR_PIN_INCORRECT)
        return;
    if (rv == CKR_OK)
        after.left[who] = FULL.left[who];
    write_tries(turn->serial, &after);
}

/* ---- faults ------------------------------------------------------------------------- */

/*
 * <state>/faults holds lines "before|after Login|InitPIN|SetPIN N kill|delay MS|return 0xCKR":
 * at the Nth such call since the line was written, once. "before" is after the try is spent
 * and before the target is called; "after" is when the target's answer is booked. A kill thus
 * never happens inside the target, which would destroy its store. "before … return X" treats X
 * as if the target had said it; "after … return X" says X although the effect has happened.
 *
 * The file is read at each call, so that another process can arm it, and edited in place under
 * its own lock. Returns true if *rv was replaced.
 */
static bool pass_fault_point(const char *when, const char *function, CK_RV *rv)
{
    char path[PATH_MAX], text[4096] = "", rest[4096] = "", *save = NULL;
    bool kill_now = false, replaced = false;
    unsigned long delay = 0;
    int fd = state_file(path, "faults", "") ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX) == 0 && read(fd, text, sizeof text - 1) > 0) {
        size_t used = 0;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            char at[8], name[8], action[8];
            unsigned long count, value = 0;
            int fields = sscanf(line, "%7s %7s %lu %7s %li", at, name, &count, action, (long *)&value);
            if (fields < 4) {
                complain("fault line dropped", line);
                continue;
            }
            if (strcmp(at, when) == 0 && strcmp(name, function) == 0 && --count == 0) {
                kill_now |= strcmp(action, "kill") == 0;
                delay += strcmp(action, "delay") == 0 ? value : 0;
                if (strcmp(action, "return") == 0) {
                    *rv = value;
                    replaced = true;
                }
                continue; /* consumed */
            }
            used += (size_t)snprintf(rest + used, sizeof rest - used, "%s %s %lu %s %#lx\n", at, name,
                                     count, action, value);
            if (used >= sizeof rest) /* more lines than any test arms: the last ones are lost */
                used = sizeof rest - 1;
        }
        if (ftruncate(fd, 0) != 0 || pwrite(fd, rest, used, 0) != (ssize_t)used)
            complain("cannot rewrite", path);
    }
    close(fd);
    if (delay > 0) {
        struct timespec pause = {(time_t)(delay / 1000), (long)(delay % 1000) * 1000000};
        nanosleep(&pause, NULL);
    }
    if (kill_now)
        kill(getpid(), SIGKILL);
    return replaced;
}

/* ---- the functions that we put in the target's place ---------------------------------- */

static CK_RV retry_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin,
                           unsigned long length)
{
    struct turn turn;
    CK_STATE state;
    enum who who = user == CKU_SO ? SO : USER; /* context-specific is the user's PIN again */
    CK_RV rv = begin_session_turn(&turn, session, &state);
    if (rv != CKR_OK)
        return rv;
    rv = spend(&turn, who);
    if (rv == CKR_OK) {
        if (!pass_fault_point("before", "Login", &rv))
            rv = target->C_Login(session, user, pin, length);
        settle(&turn, who, rv);
        pass_fault_point("after", "Login", &rv);
    }
    end_turn(&turn);
    return rv;
}

static CK_RV retry_C_SetPIN(CK_SESSION_HANDLE session, unsigned char *old, unsigned long old_length,
                            unsigned char *fresh, unsigned long fresh_length)
{
    struct turn turn;
    CK_STATE state;
    CK_RV rv = begin_session_turn(&turn, session, &state);
    if (rv != CKR_OK)
        return rv;
    /* The old PIN is a guess as well: the SO's in an SO session, else the user's, logged in or not. */
    enum who who = state == CKS_RW_SO_FUNCTIONS ? SO : USER;
    rv = spend(&turn, who);
    if (rv == CKR_OK) {
        if (!pass_fault_point("before", "SetPIN", &rv))
            rv = target->C_SetPIN(session, old, old_length, fresh, fresh_length);
        settle(&turn, who, rv);
        pass_fault_point("after", "SetPIN", &rv);
    }
    end_turn(&turn);
    return rv;
}

static CK_RV retry_C_InitPIN(CK_SESSION_HANDLE session, unsigned char *pin, unsigned long length)
{
    struct turn turn;
    CK_STATE state;
    CK_RV rv = begin_session_turn(&turn, session, &state);
    if (rv != CKR_OK)
        return rv;
    if (!pass_fault_point("before", "InitPIN", &rv))
        rv = target->C_InitPIN(session, pin, length);
    if (rv == CKR_OK) /* no guess in it; success is what unblocks the user */
        settle(&turn, USER, rv);
    pass_fault_point("after", "InitPIN", &rv);
    end_turn(&turn);
    return rv;
}

static CK_RV retry_C_InitToken(CK_SLOT_ID slot, unsigned char *pin, unsigned long length,
                               unsigned char *label)
{
    struct turn turn;
    CK_RV rv = begin_turn(&turn, slot);
    if (rv != CKR_OK)
        return rv;
    rv = spend(&turn, SO);
    if (rv == CKR_OK) {
        rv = target->C_InitToken(slot, pin, length, label);
        if (rv == CKR_OK)
            turn.tries = FULL; /* a formatted token starts anew, for both PINs */
        settle(&turn, SO, rv);
    }
    end_turn(&turn);
    return rv;
}

static CK_RV retry_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    static const CK_FLAGS low[2] = {CKF_USER_PIN_COUNT_LOW, CKF_SO_PIN_COUNT_LOW};
    static const CK_FLAGS final[2] = {CKF_USER_PIN_FINAL_TRY, CKF_SO_PIN_FINAL_TRY};
    static const CK_FLAGS locked[2] = {CKF_USER_PIN_LOCKED, CKF_SO_PIN_LOCKED};
    struct turn turn;
    CK_RV rv = begin_turn(&turn, slot);
    if (rv != CKR_OK)
        return rv;
    rv = target->C_GetTokenInfo(slot, info);
    for (int who = USER; rv == CKR_OK && turn.counted && who <= SO; who++) {
        int left = turn.tries.left[who];
        info->flags &= ~(low[who] | final[who] | locked[who]); /* the target's own opinion */
        info->flags |= left < FULL.left[who] ? low[who] : 0;
        info->flags |= left == 1 ? final[who] : 0;
        info->flags |= left == 0 ? locked[who] : 0;
    }
    end_turn(&turn);
    return rv;
}

static CK_RV retry_C_Initialize(void *arguments)
{
    /* A caller that gives no arguments gets no locking from the target, and some such callers
     * have threads all the same. */
    CK_C_INITIALIZE_ARGS with_locks = {0};
    with_locks.flags = CKF_OS_LOCKING_OK;

    /* The target finds its store by the environment alone. Several of us, each with a store of
     * its own, may live in this process, and it may start others: so only for this moment. */
    int lock = lock_store();
    if (lock < 0)
        return CKR_DEVICE_ERROR;
    pthread_mutex_lock(&loading);
    const char *present = getenv("SOFTHSM2_CONF");
    char *before = present ? strdup(present) : NULL;
    setenv("SOFTHSM2_CONF", softhsm2_conf, 1);
    CK_RV rv = target->C_Initialize(arguments ? arguments : &with_locks);
    if (before)
        setenv("SOFTHSM2_CONF", before, 1);
    else
        unsetenv("SOFTHSM2_CONF");
    free(before);
    pthread_mutex_unlock(&loading);
    close(lock);
    return rv;
}

/* ---- loading ------------------------------------------------------------------------ */

static bool read_configuration(void)
{
    static const char *const names[] = {"target", "state", "softhsm2_conf"};
    char *const values[] = {target_path, state_path, softhsm2_conf};
    char path[PATH_MAX], line[PATH_MAX + 32];
    Dl_info self;
    if (!dladdr((void *)&ours, &self) || !realpath(self.dli_fname, path))
        return complain("cannot find", "its own path"), false;
    size_t length = strlen(path);
    if (length < 4 || strcmp(path + length - 3, ".so") != 0 || length + 3 > sizeof path)
        return complain("its name does not end in .so", path), false;
    strcpy(path + length - 3, ".conf");
    FILE *file = fopen(path, "re");
    if (!file)
        return complain("missing file", path), false;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = '\0';
        for (int i = 0; i < 3; i++) {
            size_t name = strlen(names[i]);
            if (strncmp(line, names[i], name) == 0 && line[name] == '=' &&
                strlen(line + name + 1) < PATH_MAX)
                strcpy(values[i], line + name + 1);
        }
    }
    fclose(file);
    for (int i = 0; i < 3; i++)
        if (values[i][0] != '/')
            return complain("missing in its .conf (an absolute path)", names[i]), false;
    return true;
}

static bool load_target(void)
{
    if (!read_configuration())
        return false;
    /* Local: a second copy of the target for another store must not bind to this one's symbols. */
    void *library = dlopen(target_path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return complain("cannot load target", dlerror()), false;
    CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
    if (!get || get(&target) != CKR_OK)
        return complain("no function list in target", target_path), false;
    ours = *target;
    ours.C_Initialize = retry_C_Initialize;
    ours.C_GetTokenInfo = retry_C_GetTokenInfo;
    ours.C_InitToken = retry_C_InitToken;
    ours.C_InitPIN = retry_C_InitPIN;
    ours.C_SetPIN = retry_C_SetPIN;
    ours.C_Login = retry_C_Login;
    ours.C_GetFunctionList = C_GetFunctionList;
    return true;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static bool loaded = false;
    if (!list)
        return CKR_ARGUMENTS_BAD;
    pthread_mutex_lock(&loading);
    loaded = loaded || load_target();
    pthread_mutex_unlock(&loading);
    *list = loaded ? &ours : NULL;
    return loaded ? CKR_OK : CKR_GENERAL_ERROR;
}
