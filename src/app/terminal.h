/* app/terminal.h - a screen of our own on the controlling terminal, and the keys pressed there,
 * with escape sequences that every terminal of today knows. One a process: signals have no other
 * place to go. Whatever ends the program by a signal it can catch, the terminal is left as it was.
 *
 * Life: terminal_open -> (terminal_draw | terminal_wait)* -> terminal_close. */
#ifndef APP_TERMINAL_H
#define APP_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum terminal_event {
    TERMINAL_TIME = -1,    /* nothing happened so long */
    TERMINAL_RESIZED = -2, /* other size, or back from the background: draw again */
    TERMINAL_END = -3,     /* SIGINT, SIGTERM, SIGHUP, SIGQUIT, or no more input */
};

struct terminal_size {
    unsigned columns, lines;
};

/* False: standard output is no terminal; nothing was done. Keys are read if standard input is
 * one. */
bool terminal_open(void);
void terminal_close(void); /* harmless twice */
struct terminal_size terminal_get_size(void);
/* Shows @len bytes of lines from the top, the rest of the screen is empty; lines that are too long
 * are cut by the terminal. */
void terminal_draw(const char *text, size_t len);
/* Milliseconds of a clock that only goes forward. */
uint64_t terminal_now(void);
/* Waits till terminal_now() is @until_ms at most. A key (> 0), or enum terminal_event. */
int terminal_wait(uint64_t until_ms);

#endif
