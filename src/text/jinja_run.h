/* text/jinja_run.h: one rendering: budgets, output, scopes, and how built-in functions are called.
 *
 * Errors: every fallible verb returns a status; the first vmt_jrun_fail() of a rendering is the one reported.
 * Memory: values come from an arena with a cap and are freed together.  Text under construction is built at the end
 * of the one output buffer, between vmt_jtext_begin() and vmt_jtext_end(), which nest. */
#ifndef VMT_TEXT_JINJA_RUN_H
#define VMT_TEXT_JINJA_RUN_H

#include "base/utf8.h"
#include "text/chat_template.h"
#include "text/jinja_value.h"

typedef struct vmt_jslot {
    uint32_t name_id;
    vmt_jval value;
} vmt_jslot;

/* The names assigned in one scope: the template, one iteration, a macro call, a block. */
struct vmt_jframe {
    vmt_jframe *parent;
    vmt_jslot *slots;
    uint32_t count, cap;
    bool is_captured; /* a macro defined here outlives the iteration */
};

struct vmt_jrun {
    vmt_arena *arena;
    vmt_buf out;
    uint64_t steps_left;
    uint32_t depth;       /* nodes being evaluated, one inside the other */
    uint32_t value_depth; /* containers being printed or compared, one inside the other */
    vmt_jframe *frame;
    vmt_jval *globals; /* by name id: the caller's variables, then built-in functions */
    uint32_t num_globals;
    vmt_jval block_input; /* what the innermost filter of a filter block is applied to */
    int64_t now_unix_s;
    vmt_hash_key hash_key;
    enum { VMT_JFLOW_NEXT, VMT_JFLOW_BREAK, VMT_JFLOW_CONTINUE } flow;
    vmt_jval *arg_stack; /* arguments of the calls in progress; room for VMT_JARGS_MAX */
    size_t num_args;
    char *tail_end; /* the string that ends here can grow in place by tail_room bytes */
    size_t tail_room;

    vmt_status code; /* of the first failure */
    bool is_raised;  /* raise_exception(): the message is the template's own */
    uint32_t line;   /* where it happened */
    char msg[VMT_ERR_MESSAGE_MAX];
};

#define VMT_JARGS_MAX 4096u

/* Evaluation levels, one inside the other: with this many the stack stays below 512 KiB, the least a thread has on the
 * systems we build for. */
#define VMT_JRUN_DEPTH_MAX 500u

/* Records the first failure; returns code. */
vmt_status vmt_jrun_fail(vmt_jrun *run, vmt_status code, const char *fmt, ...) VMT_PRINTF(3, 4);
/* A TypeError and its like. */
#define vmt_jinvalid(run, ...) vmt_jrun_fail((run), VMT_E_INVALID, __VA_ARGS__)
/* Takes work off the budget. */
vmt_status vmt_jrun_charge(vmt_jrun *run, uint64_t steps);
/* Uninitialised memory of the rendering. */
vmt_status vmt_jrun_alloc(vmt_jrun *run, size_t bytes, void **out);
#define VMT_JNEW(run, count, pointer) \
    vmt_jrun_alloc((run), (size_t)(count) * sizeof(**(pointer)), (void **)(pointer))

/* Text under construction: append to run->out in between. */
static inline size_t vmt_jtext_begin(vmt_jrun *run) {
    return run->out.len;
}
vmt_status vmt_jtext_end(vmt_jrun *run, size_t begin, vmt_str *out);
vmt_status vmt_jtext_end_value(vmt_jrun *run, size_t begin, vmt_jval *out);
/* Appends n copies of s to the text; fails early if they can't fit. */
vmt_status vmt_jtext_repeat(vmt_jrun *run, vmt_str s, int64_t n);
/* a followed by b; grows a in place when it was the last one made here. */
vmt_status vmt_jconcat(vmt_jrun *run, vmt_str a, vmt_str b, vmt_str *out);

/* A call in progress. */
typedef struct vmt_jkwarg {
    vmt_str name;
    vmt_jval value;
} vmt_jkwarg;

#define VMT_JPARAMS_MAX 6u

typedef struct vmt_jcall {
    vmt_jval self; /* the filtered, tested or receiving value */
    const vmt_jval *args;
    size_t num_args;
    const vmt_jkwarg *kwargs;
    size_t num_kwargs;
    vmt_jval param[VMT_JPARAMS_MAX]; /* arguments by the row's parameter names; ABSENT if not given */
} vmt_jcall;

/* A row of a table of built-in filters, tests, methods or functions. */
struct vmt_jbuiltin {
    const char *name;
    vmt_status (*run)(vmt_jrun *run, vmt_jcall *call, vmt_jval *out);
    const char *params; /* "width first blank"; NULL: takes any arguments as they come */
    uint32_t required;  /* that many of them must be given */
    uint32_t kinds;     /* methods: bit set of the receivers' kinds */
};

#define VMT_JKIND_BIT(kind) (1u << (kind))

const vmt_jbuiltin *vmt_jfilter_find(vmt_str name); /* NULL: no such filter */
const vmt_jbuiltin *vmt_jtest_find(vmt_str name);
const vmt_jbuiltin *vmt_jmethod_find(vmt_jval receiver, vmt_str name);
const vmt_jbuiltin *vmt_jglobal_find(vmt_str name);
/* The tables of each file, ended by a row without name. */
extern const vmt_jbuiltin vmt_jfilters_text[], vmt_jfilters_seq[], vmt_jfilters_select[];
extern const vmt_jbuiltin vmt_jmethods_str[], vmt_jmethods_str_is[], vmt_jmethods_other[];

/* Binds the arguments to the row's parameters and calls it. */
vmt_status vmt_jbuiltin_call(vmt_jrun *run, const vmt_jbuiltin *row, vmt_jcall *call, vmt_jval *out);
/* Calls a value: macro, bound method, function.  call->self is not used. */
vmt_status vmt_jcall_value(vmt_jrun *run, vmt_jval callee, vmt_jcall *call, vmt_jval *out);

/* object.name and object[key], with jinja2's fallbacks from one to the other. */
vmt_status vmt_jgetattr(vmt_jrun *run, vmt_jval object, vmt_str name, vmt_jval *out);
vmt_status vmt_jgetitem(vmt_jrun *run, vmt_jval object, vmt_jval key, vmt_jval *out);
/* object[start:stop:step]; ABSENT and None both mean "not given". */
vmt_status vmt_jslice(vmt_jrun *run, vmt_jval object, const vmt_jval bounds[3], vmt_jval *out);

/* jinja_ops.c: + - * / // % ** by their token. */
vmt_status vmt_jarith(vmt_jrun *run, int op, vmt_jval a, vmt_jval b, vmt_jval *out);
vmt_status vmt_jnegate(vmt_jrun *run, vmt_jval v, vmt_jval *out);

/* jinja_filters.c: s with & < > ' " as HTML entities. */
vmt_status vmt_jescape(vmt_jrun *run, vmt_str s, vmt_str *out);

/* jinja_repr.c: appends Python's str() or repr() of v to the text. */
vmt_status vmt_jwrite_str(vmt_jrun *run, vmt_jval v);
vmt_status vmt_jwrite_repr(vmt_jrun *run, vmt_jval v);
vmt_status vmt_jto_str(vmt_jrun *run, vmt_jval v, vmt_str *out);
#define VMT_JFLOAT_TEXT_MAX 40u
/* repr(float); returns the length. */
size_t vmt_jfloat_repr(double f, char out[VMT_JFLOAT_TEXT_MAX]);

/* jinja_json.c */
typedef struct vmt_jdump {
    bool ascii_only, sort_keys, is_indented;
    vmt_str indent, item_separator, key_separator;
} vmt_jdump;
vmt_status vmt_jdump_write(vmt_jrun *run, const vmt_jdump *how, vmt_jval v);

/* jinja_format.c: 'format' % value, 'format'.format(...), and one number or string by a format spec. */
vmt_status vmt_jformat_percent(vmt_jrun *run, vmt_str format, vmt_jval args, vmt_jval *out);
vmt_status vmt_jformat_braces(vmt_jrun *run, vmt_str format, const vmt_jcall *call, vmt_jval *out);

/* jinja_loop.c: the loop variable, and the iteration behind it. */
struct vmt_jloop {
    vmt_jiter it;
    const vmt_jnode *node;           /* the for statement, for its filter */
    vmt_jframe *test_frame;          /* where the filter is evaluated; NULL without one */
    vmt_jval before, current, after; /* ABSENT: none */
    bool has_peeked;                 /* after is valid */
    vmt_jlist *rest;                 /* items fetched ahead for loop.length */
    int64_t index0, length;          /* length -1: not known yet */
    uint32_t depth0;
    vmt_jval changed; /* what loop.changed() last saw */
};
vmt_status vmt_jloop_next(vmt_jrun *run, vmt_jloop *loop, vmt_jval *item, bool *got);
/* loop.name; *found is false if there is no such attribute. */
vmt_status vmt_jloop_attr(vmt_jrun *run, vmt_jloop *loop, vmt_str name, vmt_jval *out, bool *found);
vmt_status vmt_jloop_length(vmt_jrun *run, vmt_jloop *loop, int64_t *out);

/* jinja_eval.c */
struct vmt_jmacro {
    const vmt_jnode *node; /* the macro or call block */
    vmt_jframe *frame;     /* where it was defined */
};
vmt_status vmt_jeval(vmt_jrun *run, const vmt_jnode *node, vmt_jval *out);
/* The call node (CALL, FILTER, TEST) of a value on a row or, if row is NULL, on callee.  extra: one more keyword. */
typedef struct vmt_jtarget {
    const vmt_jbuiltin *row;
    vmt_jval self, callee;
    const vmt_jkwarg *extra;
} vmt_jtarget;
vmt_status vmt_jeval_call(vmt_jrun *run, const vmt_jnode *node, const vmt_jtarget *target, vmt_jval *out);
/* The callee of a CALL node and the call itself. */
vmt_status vmt_jeval_call_node(vmt_jrun *run, const vmt_jnode *node, const vmt_jkwarg *extra, vmt_jval *out);

/* jinja_exec.c */
vmt_status vmt_jframe_new(vmt_jrun *run, vmt_jframe *parent, uint32_t cap, vmt_jframe **out);
vmt_status vmt_jframe_set(vmt_jrun *run, vmt_jframe *frame, uint32_t name_id, vmt_jval value);
const vmt_jval *vmt_jframe_find(const vmt_jframe *frame, uint32_t name_id);
vmt_status vmt_jexec(vmt_jrun *run, const vmt_jnode *body);
vmt_status vmt_jassign(vmt_jrun *run, const vmt_jnode *target, vmt_jval value);
vmt_status vmt_jmacro_call(vmt_jrun *run, vmt_jmacro *macro, vmt_jcall *call, vmt_jval *out);

/* jinja_sort.c: stable, as Python's sorted(). */
/* items are pairs (key, value); sorted by key. */
vmt_status vmt_jsort_pairs(vmt_jrun *run, vmt_jlist *pairs, bool reverse);

/* jinja_filters_select.c: item.a.b.0 by a path "a.b.0" or an index; ABSENT and None: item itself.  fallback replaces
 * what is undefined, unless it is ABSENT or None. */
vmt_status vmt_jattr_path(vmt_jrun *run, vmt_jval item, vmt_jval path, vmt_jval fallback, vmt_jval *out);

/* Helpers of the tables. */
/* call->param[i] as an int64, or fallback if not given or None. */
vmt_status vmt_jparam_int(vmt_jrun *run, const vmt_jcall *call, uint32_t i, int64_t fallback, int64_t *out);
bool vmt_jparam_true(const vmt_jcall *call, uint32_t i);
/* call->param[i] must be a string. */
vmt_status vmt_jparam_str(vmt_jrun *run, const vmt_jcall *call, uint32_t i, vmt_str fallback, vmt_str *out);

#endif
