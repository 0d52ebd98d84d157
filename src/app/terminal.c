#include "app/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* Alternate screen, no cursor, long lines are cut; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
#define CAUGHT (sizeof(caught) / sizeof(caught[0]))

static struct {
    bool open, keys;
    struct termios saved;
    struct sigaction old[CAUGHT];
    sigset_t mask; /* as it was */
} term;
/* Set by the handlers. They run in ppoll only, where alone the signals are not blocked. */
static volatile sig_atomic_t ended, stopped, resized;

static void on_signal(int signo)
{
    if (signo == SIGWINCH)
        resized = 1;
    else if (signo == SIGTSTP)
        stopped = 1;
    else
        ended = 1;
}

static void put(const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* the terminal is gone: a signal or the end of input tells */
        text += n;
        len -= (size_t)n;
    }
}

static void enter(void)
{
    put(ENTER, strlen(ENTER));
    if (!term.keys)
        return;
    struct termios raw = term.saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* ^C and ^Z stay signals */
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

static void leave(void)
{
    put(LEAVE, strlen(LEAVE));
    if (term.keys)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &term.saved);
}

bool terminal_open(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    sigset_t block;

    if (!isatty(STDOUT_FILENO))
        return false;
    term.keys = tcgetattr(STDIN_FILENO, &term.saved) == 0;
    sigemptyset(&block);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaddset(&block, caught[i]);
    sigprocmask(SIG_BLOCK, &block, &term.mask);
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &sa, &term.old[i]);
    ended = stopped = resized = 0;
    enter();
    term.open = true;
    return true;
}

void terminal_close(void)
{
    if (!term.open)
        return;
    leave();
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &term.old[i], NULL);
    sigprocmask(SIG_SETMASK, &term.mask, NULL);
    term.open = false;
}

struct terminal_size terminal_get_size(void)
{
    struct winsize w = {.ws_col = 0};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0 || w.ws_row == 0)
        return (struct terminal_size){.columns = 80, .lines = 24};
    return (struct terminal_size){.columns = w.ws_col, .lines = w.ws_row};
}

void terminal_draw(const char *text, size_t len)
{
    put("\033[H", 3);
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end != NULL ? (size_t)(end - (text + at)) : len - at;
        put(text + at, n);
        put("\033[K", 3);
        at += n;
        if (end != NULL && ++at < len)
            put("\r\n", 2);
    }
    put("\033[J", 3);
}

/* To the background, and back. */
static void sleep_in_background(void)
{
    stopped = 0;
    leave();
    raise(SIGSTOP);
    enter();
}

uint64_t terminal_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int terminal_wait(uint64_t until_ms)
{
    sigset_t none;

    sigemptyset(&none);
    for (;;) {
        struct pollfd in = {.fd = term.keys ? STDIN_FILENO : -1, .events = POLLIN};
        uint64_t now = terminal_now(), rest = now < until_ms ? until_ms - now : 0;
        struct timespec ts = {.tv_sec = (time_t)(rest / 1000),
                              .tv_nsec = (long)(rest % 1000) * 1000000};
        unsigned char key;
        int n = ppoll(&in, 1, &ts, &none);
        if (ended)
            return TERMINAL_END;
        if (stopped) {
            sleep_in_background();
            return TERMINAL_RESIZED;
        }
        if (resized) {
            resized = 0;
            return TERMINAL_RESIZED;
        }
        if (n == 0)
            return TERMINAL_TIME;
        if (n < 0)
            continue;
        ssize_t got = read(STDIN_FILENO, &key, 1);
        if (got == 1)
            return key;
        if (got == 0 || errno != EINTR)
            return TERMINAL_END;
    }
}
