/* app/notify.h - tells systemd what the program does: the protocol of sd_notify(3), lines in one
 * datagram to $NOTIFY_SOCKET. Without that variable nothing happens. */
#ifndef APP_NOTIFY_H
#define APP_NOTIFY_H

#include <stdbool.h>

/* Serves: READY=1, and this process is the main one now (MAINPID). */
void notify_ready(void);
/* RELOADING=1; notify_ready follows. */
void notify_reloading(void);
void notify_stopping(void);
/* False: systemd has started this process and does not listen to it (Type=simple): it would take
 * its end for the end of the service, and end a successor as well. */
bool notify_allows_upgrade(void);
/* systemd, or who stands for it, listens. */
bool notify_is_heard(void);

#endif
