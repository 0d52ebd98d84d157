/* panelserver/schema.h - the tables of the panel's database, as steps from one version to the next.
 * Private to db.c. */
#ifndef PANELSERVER_SCHEMA_H
#define PANELSERVER_SCHEMA_H

/* The version this program writes (PRAGMA user_version). */
int schema_version(void);
/* SQL that brings version @from (0 = an empty file) to @from + 1. */
const char *schema_step(int from);

#endif
