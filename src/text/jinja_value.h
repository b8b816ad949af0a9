/* text/jinja_value.h: the values a chat template computes with, and Python's rules for them.
 *
 * A value is 24 bytes and is passed by copy; what it points to lives in the arena of one rendering (or in the
 * template, or in the caller's JSON) and never changes once built.  Exceptions, as in Python: a namespace's
 * attributes, and the read position of a generator, cycler or joiner.  Strings are valid UTF-8 and behave as sequences
 * of code points.  Integers are int64, plus uint64 for numbers that JSON brought in; results past that are an error.
 *
 * Everything here that can take long charges the rendering's budget for it.  One thread per rendering. */
#ifndef VMT_TEXT_JINJA_VALUE_H
#define VMT_TEXT_JINJA_VALUE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "json/json.h"

typedef struct vmt_jrun vmt_jrun;     /* one rendering, jinja_run.h */
typedef struct vmt_jnode vmt_jnode;   /* jinja_ast.h */
typedef struct vmt_jframe vmt_jframe; /* jinja_run.h */
typedef struct vmt_jbuiltin vmt_jbuiltin;

typedef enum vmt_jkind {
    VMT_JABSENT, /* no value at all: an argument that was not given */
    VMT_JUNDEF,  /* jinja2's Undefined; s names it, sub says how it came about */
    VMT_JNONE,
    VMT_JBOOL,
    VMT_JINT,
    VMT_JUINT, /* above INT64_MAX */
    VMT_JFLOAT,
    VMT_JSTR, /* sub 1: markupsafe's Markup, made by the filters safe and escape: + escapes the other side */
    VMT_JLIST,
    VMT_JTUPLE, /* sub 1: a group of the groupby filter, with .grouper and .list */
    VMT_JDICT,
    VMT_JRANGE,
    VMT_JVIEW,      /* dict.items(), keys(), values(): a list, sub is enum vmt_jview */
    VMT_JGENERATOR, /* what lazy filters give: can be walked once */
    VMT_JNAMESPACE,
    VMT_JLOOP,
    VMT_JMACRO,
    VMT_JMETHOD,
    VMT_JFUNCTION,
    VMT_JCYCLER,
    VMT_JJOINER,
} vmt_jkind;

enum vmt_jview { VMT_JVIEW_ITEMS, VMT_JVIEW_KEYS, VMT_JVIEW_VALUES };

/* How an undefined value came about, for the message when it is used. */
enum vmt_jundef {
    VMT_JUNDEF_NAME,   /* 's' is undefined */
    VMT_JUNDEF_ATTR,   /* 'dict object' has no attribute 's'; aux is the object's kind */
    VMT_JUNDEF_HINT,   /* s is the whole message */
    VMT_JUNDEF_UNSAFE, /* access to attribute 's' of 'dict' object is unsafe. */
};

typedef struct vmt_jlist vmt_jlist;
typedef struct vmt_jdict vmt_jdict;
typedef struct vmt_jrange vmt_jrange;
typedef struct vmt_jloop vmt_jloop;
typedef struct vmt_jmacro vmt_jmacro;
typedef struct vmt_jmethod vmt_jmethod;
typedef struct vmt_jcycler vmt_jcycler;

typedef struct vmt_jval {
    uint8_t kind; /* vmt_jkind */
    uint8_t sub;
    uint8_t aux;
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double f;
        vmt_str s;
        vmt_jlist *list; /* LIST, TUPLE, VIEW, GENERATOR */
        vmt_jdict *dict; /* DICT, NAMESPACE */
        vmt_jrange *range;
        vmt_jloop *loop;
        vmt_jmacro *macro;
        vmt_jmethod *method;
        const vmt_jbuiltin *builtin;
        vmt_jcycler *cycler; /* CYCLER, JOINER */
    };
} vmt_jval;

struct vmt_jlist {
    vmt_jval *items;
    size_t count, cap;
    size_t pos; /* of a generator: items before it were taken */
};

typedef struct vmt_jentry {
    vmt_jval key, value;
    uint64_t hash;
} vmt_jentry;

/* In order of insertion.  index is an open-addressing table of entry numbers + 1; none while the dict is small. */
struct vmt_jdict {
    vmt_jentry *entries;
    size_t count, cap;
    uint32_t *index;
    size_t index_cap;
};

struct vmt_jrange {
    int64_t start, stop, step;
    int64_t count;
};

struct vmt_jmethod {
    vmt_jval self;
    const vmt_jbuiltin *builtin;
};

struct vmt_jcycler {
    vmt_jlist *items; /* of a joiner: the separator alone */
    size_t pos;
};

#define VMT_JVALUE_DEPTH_MAX 512u /* nesting that printing, comparing and tojson follow; JSON input has 256 */

static inline vmt_jval vmt_jnone(void) {
    return (vmt_jval){.kind = VMT_JNONE};
}
static inline vmt_jval vmt_jbool(bool b) {
    return (vmt_jval){.kind = VMT_JBOOL, .b = b};
}
static inline vmt_jval vmt_jint(int64_t i) {
    return (vmt_jval){.kind = VMT_JINT, .i = i};
}
static inline vmt_jval vmt_jfloat(double f) {
    return (vmt_jval){.kind = VMT_JFLOAT, .f = f};
}
static inline vmt_jval vmt_jstr(vmt_str s) {
    return (vmt_jval){.kind = VMT_JSTR, .s = s};
}
static inline vmt_jval vmt_jof_list(vmt_jkind kind, vmt_jlist *list) {
    return (vmt_jval){.kind = (uint8_t)kind, .list = list};
}
static inline vmt_jval vmt_jof_dict(vmt_jdict *dict) {
    return (vmt_jval){.kind = VMT_JDICT, .dict = dict};
}
static inline vmt_jval vmt_jundef(enum vmt_jundef how, vmt_str s) {
    return (vmt_jval){.kind = VMT_JUNDEF, .sub = (uint8_t)how, .s = s};
}
static inline vmt_jval vmt_jundef_attr(vmt_jval object, vmt_str name) {
    return (vmt_jval){.kind = VMT_JUNDEF, .sub = VMT_JUNDEF_ATTR, .aux = object.kind, .s = name};
}
static inline bool vmt_jis_seq(vmt_jval v) {
    return v.kind == VMT_JLIST || v.kind == VMT_JTUPLE;
}
/* bool counts as a number, as in Python. */
static inline bool vmt_jis_number(vmt_jval v) {
    return v.kind == VMT_JBOOL || v.kind == VMT_JINT || v.kind == VMT_JUINT || v.kind == VMT_JFLOAT;
}

const char *vmt_jtype_name(vmt_jval v); /* "str", "dict", "NoneType": for messages */
bool vmt_jtruthy(vmt_jval v);
/* The int64 of an int or bool; false for other kinds. */
bool vmt_jget_int(vmt_jval v, int64_t *out);
double vmt_jget_float(vmt_jval number);
/* Python's `is`, where it can be told: scalars by value, the rest by address. */
bool vmt_jsame(vmt_jval a, vmt_jval b);

/* len(); VMT_E_INVALID with a message for kinds that have none. */
vmt_status vmt_jlen(vmt_jrun *run, vmt_jval v, int64_t *out);
bool vmt_jhas_len(vmt_jval v);
vmt_status vmt_jequal(vmt_jrun *run, vmt_jval a, vmt_jval b, bool *out);
/* -1, 0 or 1 into *out, 2 if one is a NaN; kinds that Python can't order are an error. */
vmt_status vmt_jcompare(vmt_jrun *run, vmt_jval a, vmt_jval b, int *out);
/* item in container. */
vmt_status vmt_jcontains(vmt_jrun *run, vmt_jval container, vmt_jval item, bool *out);

/* Lists under construction. */
vmt_status vmt_jlist_new(vmt_jrun *run, size_t cap, vmt_jlist **out);
vmt_status vmt_jlist_push(vmt_jrun *run, vmt_jlist *list, vmt_jval v);
/* list(v): every item of an iterable. */
vmt_status vmt_jlist_from(vmt_jrun *run, vmt_jval iterable, vmt_jlist **out);
vmt_status vmt_jpair(vmt_jrun *run, vmt_jval a, vmt_jval b, vmt_jval *out);

vmt_status vmt_jdict_new(vmt_jrun *run, size_t cap, vmt_jdict **out);
/* Replaces or adds; a key that Python can't hash is an error. */
vmt_status vmt_jdict_set(vmt_jrun *run, vmt_jdict *dict, vmt_jval key, vmt_jval value);
/* *out is NULL if there is no such key, also for one that can't be hashed. */
vmt_status vmt_jdict_get(vmt_jrun *run, const vmt_jdict *dict, vmt_jval key, const vmt_jval **out);
const vmt_jval *vmt_jdict_find(vmt_jrun *run, const vmt_jdict *dict, vmt_str key);

/* Walking an iterable: for strings code points, for dicts keys. */
typedef struct vmt_jiter {
    vmt_jval over;
    size_t pos;
} vmt_jiter;
vmt_status vmt_jiter_init(vmt_jrun *run, vmt_jiter *it, vmt_jval over);
vmt_status vmt_jiter_next(vmt_jrun *run, vmt_jiter *it, vmt_jval *item, bool *got);
bool vmt_jis_iterable(vmt_jval v);

/* JSON input as values.  Strings are borrowed. */
vmt_status vmt_jfrom_json(vmt_jrun *run, vmt_json json, vmt_jval *out);

/* The error of using an undefined value. */
vmt_status vmt_jundef_fail(vmt_jrun *run, vmt_jval undef);

#endif
