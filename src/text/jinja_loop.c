/* text/jinja_loop.c: the `loop` variable.  Items are fetched one at a time, since a loop's filter may look at what
 * the body has set so far; loop.last and loop.nextitem look one ahead, loop.length fetches the rest. */
#include "text/jinja_ast.h"
#include "text/jinja_run.h"

/* The next item that passes the filter, from the source itself. */
static vmt_status fetch(vmt_jrun *run, vmt_jloop *loop, vmt_jval *item, bool *got) {
    for (;;) {
        VMT_TRY(vmt_jiter_next(run, &loop->it, item, got));
        if (!*got || loop->test_frame == NULL) return VMT_OK;
        vmt_jframe *outer = run->frame;
        vmt_jval passes;
        run->frame = loop->test_frame;
        VMT_TRY(vmt_jassign(run, loop->node->a, *item));
        VMT_TRY(vmt_jeval(run, loop->node->c, &passes));
        run->frame = outer;
        if (vmt_jtruthy(passes)) return VMT_OK;
    }
}

static vmt_status take(vmt_jrun *run, vmt_jloop *loop, vmt_jval *item, bool *got) {
    if (loop->rest == NULL) return fetch(run, loop, item, got);
    *got = loop->rest->pos < loop->rest->count;
    if (*got) *item = loop->rest->items[loop->rest->pos++];
    return VMT_OK;
}

static vmt_status peek(vmt_jrun *run, vmt_jloop *loop, bool *got) {
    if (!loop->has_peeked) {
        VMT_TRY(take(run, loop, &loop->after, got));
        if (!*got) loop->after.kind = VMT_JABSENT;
        loop->has_peeked = true;
    }
    *got = loop->after.kind != VMT_JABSENT;
    return VMT_OK;
}

vmt_status vmt_jloop_next(vmt_jrun *run, vmt_jloop *loop, vmt_jval *item, bool *got) {
    if (loop->has_peeked) {
        *got = loop->after.kind != VMT_JABSENT;
        *item = loop->after;
        loop->has_peeked = false;
    } else {
        VMT_TRY(take(run, loop, item, got));
    }
    if (!*got) return VMT_OK;
    loop->before = loop->current;
    loop->current = *item;
    loop->index0++;
    return VMT_OK;
}

vmt_status vmt_jloop_length(vmt_jrun *run, vmt_jloop *loop, int64_t *out) {
    *out = loop->length;
    if (loop->length >= 0) return VMT_OK;
    if (loop->test_frame == NULL && vmt_jhas_len(loop->it.over)) {
        VMT_TRY(vmt_jlen(run, loop->it.over, out));
    } else {
        vmt_jlist *rest;
        VMT_TRY(vmt_jlist_new(run, 8, &rest));
        for (;;) {
            vmt_jval item;
            bool got;
            VMT_TRY(take(run, loop, &item, &got));
            if (!got) break;
            VMT_TRY(vmt_jlist_push(run, rest, item));
        }
        loop->rest = rest;
        *out = (int64_t)rest->count + loop->index0 + 1;
        if (loop->has_peeked && loop->after.kind != VMT_JABSENT) ++*out;
    }
    loop->length = *out;
    return VMT_OK;
}

enum loop_attr {
    INDEX,
    INDEX0,
    REVINDEX,
    REVINDEX0,
    FIRST,
    LAST,
    LENGTH,
    DEPTH,
    DEPTH0,
    PREVITEM,
    NEXTITEM,
    NO_ATTR
};

static const char *const attr_names[] = {
    [INDEX] = "index",   [INDEX0] = "index0",     [REVINDEX] = "revindex", [REVINDEX0] = "revindex0",
    [FIRST] = "first",   [LAST] = "last",         [LENGTH] = "length",     [DEPTH] = "depth",
    [DEPTH0] = "depth0", [PREVITEM] = "previtem", [NEXTITEM] = "nextitem",
};

vmt_status vmt_jloop_attr(vmt_jrun *run, vmt_jloop *loop, vmt_str name, vmt_jval *out, bool *found) {
    int attr = 0;
    while (attr < NO_ATTR && !vmt_str_eq_c(name, attr_names[attr])) attr++;
    *found = attr < NO_ATTR;
    int64_t length = 0;
    bool got;
    if (attr == LENGTH || attr == REVINDEX || attr == REVINDEX0) VMT_TRY(vmt_jloop_length(run, loop, &length));
    switch ((enum loop_attr)attr) {
    case INDEX: *out = vmt_jint(loop->index0 + 1); break;
    case INDEX0: *out = vmt_jint(loop->index0); break;
    case REVINDEX: *out = vmt_jint(length - loop->index0); break;
    case REVINDEX0: *out = vmt_jint(length - loop->index0 - 1); break;
    case FIRST: *out = vmt_jbool(loop->index0 == 0); break;
    case LAST:
        VMT_TRY(peek(run, loop, &got));
        *out = vmt_jbool(!got);
        break;
    case LENGTH: *out = vmt_jint(length); break;
    case DEPTH: *out = vmt_jint(loop->depth0 + 1); break;
    case DEPTH0: *out = vmt_jint(loop->depth0); break;
    case PREVITEM:
        *out =
            loop->index0 == 0 ? vmt_jundef(VMT_JUNDEF_HINT, VMT_STR("there is no previous item")) : loop->before;
        break;
    case NEXTITEM:
        VMT_TRY(peek(run, loop, &got));
        *out = got ? loop->after : vmt_jundef(VMT_JUNDEF_HINT, VMT_STR("there is no next item"));
        break;
    case NO_ATTR: break;
    }
    return VMT_OK;
}
