/* cli/launch_tools.h: what each coding tool has to be told to talk to a server; a row per tool.
 *
 * Environment and arguments are preferred, because they end with the program; a settings file is changed only where the
 * tool takes nothing else. */
#ifndef VMT_CLI_LAUNCH_TOOLS_H
#define VMT_CLI_LAUNCH_TOOLS_H

#include "base/arena.h"
#include "base/buf.h"

#define VMT_LAUNCH_ITEMS_MAX 16 /* variables, and arguments, of one tool */

typedef struct vmt_launch_server {
    vmt_str url;         /* "http://127.0.0.1:8000", without /v1 */
    vmt_str model;       /* as requests name it */
    vmt_str key;         /* what the tool sends; never empty, since tools insist on one */
    int64_t context_max; /* tokens of prompt and answer together; 0: the server does not say */
} vmt_launch_server;

typedef struct vmt_launch_variable {
    const char *name;
    vmt_str value; /* NUL-terminated; ptr NULL: the variable is taken away */
} vmt_launch_variable;

typedef struct vmt_launch_plan {
    vmt_arena *arena; /* all strings of the plan */
    vmt_launch_variable variables[VMT_LAUNCH_ITEMS_MAX];
    uint32_t num_variables;
    const char *args[VMT_LAUNCH_ITEMS_MAX]; /* before the person's own */
    uint32_t num_args;
    vmt_str settings; /* the member's JSON value or the list item's YAML lines; for tools with a file */
    bool failed;      /* no memory */
} vmt_launch_plan;

typedef struct vmt_launch_tool {
    const char *name, *title, *program, *install; /* install: the end of "NAME is not here; " */
    bool program_is_optional;                     /* an editor reads the file: there may be nothing to start */
    int64_t context_wanted;                       /* tokens: its own instructions and tools, and room to work */
    /* The settings file; NULL: none is touched. */
    const char *config_file; /* below $XDG_CONFIG_HOME or ~/.config */
    const char *home_file;   /* below ~ */
    const char *json_path[3], *yaml_list, *yaml_head;
    const char *after; /* what the person does next; or NULL */
    void (*plan)(vmt_launch_plan *plan, const vmt_launch_server *server);
} vmt_launch_tool;

extern const vmt_launch_tool vmt_launch_tools[];
extern const uint32_t vmt_num_launch_tools;

/* NULL: none of that name. */
const vmt_launch_tool *vmt_launch_tool_find(vmt_str name);
static inline bool vmt_launch_tool_has_file(const vmt_launch_tool *tool) {
    return tool->config_file != NULL || tool->home_file != NULL;
}
/* The tool's settings file with the plan's part in it; a vmt_settings_change for settings_file.h. */
typedef struct vmt_launch_edit {
    const vmt_launch_tool *tool;
    const vmt_launch_plan *plan;
} vmt_launch_edit;
vmt_status vmt_launch_tool_edit(void *edit, vmt_str text, vmt_buf *out, vmt_err *err);

#endif
