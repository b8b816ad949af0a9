/* cli/man_page.h: the manual page, written from the commands' tables; docs/vmetal.1 is its output. */
#ifndef VMT_CLI_MAN_PAGE_H
#define VMT_CLI_MAN_PAGE_H

#include "cli/commands.h"

/* Appends the whole page in roff's man macros. */
void vmt_man_page(vmt_buf *out);

#endif
