#include "app/cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cmd_misused(const struct cmd *c, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "v2sp %s: ", c->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nTry: v2sp %s --help\n", c->name);
    return 2;
}

int cmd_help(const struct cmd *c)
{
    fputs(c->usage, stdout);
    return 0;
}

static bool is_named(const char *name, const char *arg, size_t len)
{
    return name != NULL && strlen(name) == len && memcmp(name, arg, len) == 0;
}

/* One argument that begins with '-'; *@i moves on when its value is the next word. */
static int take_option(const struct cmd *c, int argc, char **argv, int *i,
                       const struct cmd_option *options)
{
    const char *arg = argv[*i], *equals = strncmp(arg, "--", 2) == 0 ? strchr(arg, '=') : NULL;
    size_t len = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
    const struct cmd_option *o = options;
    while (o->name != NULL && !is_named(o->name, arg, len) && !is_named(o->other, arg, len))
        o++;
    if (o->name == NULL)
        return cmd_misused(c, "there is no option %.*s", (int)len, arg);
    if (o->flag != NULL) {
        *o->flag = equals == NULL || strcmp(equals, "=true") == 0;
        if (!*o->flag && strcmp(equals, "=false") != 0)
            return cmd_misused(c, "%s takes no value, or true or false", o->name);
        return CMD_GO_ON;
    }
    if (equals == NULL && *i + 1 >= argc)
        return cmd_misused(c, "%s needs a value", o->name);
    *o->value = equals != NULL ? equals + 1 : argv[++*i];
    if (**o->value == '\0')
        return cmd_misused(c, "the value of %s is empty", o->name);
    return CMD_GO_ON;
}

int cmd_parse(const struct cmd *c, int argc, char **argv, const struct cmd_option *options,
              const char **words, int max, int *count)
{
    bool more_options = true;
    *count = 0;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (more_options && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0))
            return cmd_help(c);
        if (more_options && strcmp(arg, "--") == 0) {
            more_options = false;
        } else if (more_options && arg[0] == '-' && arg[1] != '\0') {
            int rc = take_option(c, argc, argv, &i, options);
            if (rc != CMD_GO_ON)
                return rc;
        } else if (*count == max) {
            return cmd_misused(c, "unexpected \"%s\"", arg);
        } else {
            words[(*count)++] = arg;
        }
    }
    return CMD_GO_ON;
}
